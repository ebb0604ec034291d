/** The code with a rule of the protocol broken, through its settings or by what comes between it and the store. */
import { layout } from "../../../shared/registry/layout.ts";
import type { StorageDriver } from "../../../shared/storage/driver.ts";
import { TIMES } from "../support.ts";
import type { Focus } from "./choose.ts";
import type { Mutation, Stage } from "./stage.ts";

export interface Mutant {
  /** By the name of the model's, where it has one. */
  readonly what: string;
  readonly scenario: string;
  readonly mutation: Mutation;
  readonly focus?: Focus;
}

const SECOND = 1000;
const AGE = TIMES.horizonMs + 2 * SECOND;
/** All is old, and nobody waits for long. */
const AT_ONCE: Focus = { ageMs: AGE, rests: [0, SECOND], pauses: [0, SECOND], verdicts: [] };
/** The same, and a run begins that may delete. */
const RIPE: Focus = { ...AT_ONCE, condemnedMs: TIMES.settleMs + SECOND };
/** Two nights pass while somebody does something else. */
const NIGHTS: Focus = {
  ageMs: AGE,
  rests: [0, SECOND, 2 * TIMES.takeoverMs],
  pauses: [TIMES.settleMs + SECOND],
  verdicts: [],
};
/** A run does not hear of its deletes, and others go on when they may. */
const LATE: Focus = {
  ...RIPE,
  rests: [TIMES.takeoverMs + SECOND],
  pauses: [TIMES.takeoverMs + SECOND],
  verdicts: ["late", "killed before", "killed after"],
};

const MARKS = `${layout.root}_gc/marks/`;
const MINUTE = 60_000;

const HEAD = "HEAD, then manifest";
const UPLOAD = "upload, then manifest";
const FOLDER = "upload, then manifest, in a folder";
const INDEX = "index with a child";
const SUBJECT = "subject with a signature";
const MOUNT = "mount, then manifest";
const TAG = "tag again";

/** Who pushes sees none of these marks, and writes them all the same where it must. */
function blindTo(prefix: string): NonNullable<Mutation["push"]> {
  return (driver) => ({
    ...driver,
    look: async (key, limit) => {
      const { asOf, ...look } = await driver.look(key, limit);
      return key.startsWith(prefix) ? { asOf } : { asOf, ...look };
    },
  });
}

/** Blind to the mark of one thing only. */
function blindToMarkOf(name: string): NonNullable<Mutation["push"]> {
  return (driver, stage) => ({
    ...driver,
    look: async (key, limit) => {
      const { asOf, ...look } = await driver.look(key, limit);
      return key.startsWith(MARKS) && stage.nameIn(key).endsWith(name) ? { asOf } : { asOf, ...look };
    },
  });
}

const unconditional = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => await driver.put(key, bytes, key.startsWith(MARKS) ? undefined : condition),
});

const withoutNonce = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => {
    if (!key.startsWith(MARKS)) return await driver.put(key, bytes, condition);
    const mark = JSON.parse(Buffer.from(bytes).toString()) as { nonce: string };
    mark.nonce = "0".repeat(mark.nonce.length);
    return await driver.put(key, Buffer.from(JSON.stringify(mark)), condition);
  },
});

/** What was written is said to be of the time at which it was sent. */
const datedWhenSent = (driver: StorageDriver, { store }: Stage): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => {
    const asOf = store.now();
    return { ...(await driver.put(key, bytes, condition)), asOf };
  },
});

/** Links and bytes are what they were when they were first asked for, for as long as a promise may take. */
const remembering = (driver: StorageDriver, { store }: Stage): StorageDriver => {
  const seen = new Map<string, { readonly answer: Promise<unknown>; readonly at: number }>();
  const once = async <T>(key: string, ask: () => Promise<T>): Promise<T> => {
    const known = seen.get(key);
    if (known !== undefined && store.time - known.at <= TIMES.promiseMs) return (await known.answer) as T;
    const answer = ask();
    seen.set(key, { answer, at: store.time });
    return await answer;
  };
  return {
    ...driver,
    look: async (key, limit) =>
      key.startsWith(MARKS)
        ? await driver.look(key, limit)
        : await once(key, async () => await driver.look(key, limit)),
    head: async (key) => await once(key, async () => await driver.head(key)),
  };
};

/** The mark of an upload is answered only when its bytes are written. */
const marksAfterBytes = (driver: StorageDriver): StorageDriver => {
  const written = new Map<string, Promise<void>>();
  return {
    ...driver,
    look: async (key, limit) => {
      if (key.startsWith(MARKS)) {
        await new Promise((resolve) => setImmediate(resolve));
        await written.get(key.split("/").at(-1) ?? "");
      }
      return await driver.look(key, limit);
    },
    drafts: {
      ...driver.drafts,
      write: async (key, body, { verify }) => {
        const hex = key.split("/").at(-2) ?? "";
        const write = driver.drafts.write(key, body, { verify: () => undefined });
        written.set(hex, write);
        await write;
        await verify();
      },
    },
  };
};

/** Bytes of a manifest that were there when its mark was asked for are not written. */
const bytesOnlyWhereMissing = (driver: StorageDriver, { store }: Stage): StorageDriver => {
  const there = new Set<string>();
  return {
    ...driver,
    look: async (key, limit) => {
      if (!key.startsWith(layout.blobMarks)) return await driver.look(key, limit);
      const bytes = `${layout.blobs}${key.slice(layout.blobMarks.length)}/data`;
      if ((await driver.head(bytes)) === undefined) there.delete(bytes);
      else there.add(bytes);
      return await driver.look(key, limit);
    },
    put: async (key, bytes, condition) => {
      if (!there.has(key)) return await driver.put(key, bytes, condition);
      return { etag: "as it is", asOf: store.now() };
    },
  };
};

/** Blobs and repositories are listed first, before the marks; the run is given those lists later. */
const marksLast = (driver: StorageDriver): StorageDriver => {
  const listed = new Map<string, ReturnType<StorageDriver["list"]>>();
  return {
    ...driver,
    list: async (prefix, options) => {
      const isListing = prefix === layout.blobs || prefix === layout.repositories;
      if (prefix === layout.blobMarks && options?.limit !== undefined) {
        for (const early of [layout.blobs, layout.repositories]) {
          const page = driver.list(early);
          listed.set(early, page);
          await page;
        }
      }
      const early = isListing && options?.startAfter === undefined ? listed.get(prefix) : undefined;
      return await (early ?? driver.list(prefix, options));
    },
  };
};

/** A page that fails is taken for an empty one. */
const failedPagesAreEmpty = (driver: StorageDriver, { store }: Stage): StorageDriver => ({
  ...driver,
  list: async (prefix, options) =>
    await driver.list(prefix, options).catch(() => ({ objects: [], prefixes: [], asOf: store.now() })),
});

/** Marks that mean "absent" look as if they had been so for ever. */
const tombstonesGo = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  list: async (prefix, options) => {
    const page = await driver.list(prefix, options);
    if (!prefix.startsWith(MARKS)) return page;
    const texts = new Map<string, string>();
    for (const { key } of page.objects) {
      texts.set(key, Buffer.from((await driver.read(key, 4096)) ?? []).toString());
    }
    const isOver = (key: string): boolean => /"(?:cleared|swept)"/.test(texts.get(key) ?? "");
    const objects = page.objects.map((object) =>
      isOver(object.key) ? { ...object, lastModified: new Date(0) } : object,
    );
    return { ...page, objects };
  },
});

function withFenced(change: (driver: StorageDriver, stage: Stage) => Partial<StorageDriver["fenced"]>): {
  push: NonNullable<Mutation["push"]>;
  run: NonNullable<Mutation["run"]>;
} {
  const mutate = (driver: StorageDriver, stage: Stage): StorageDriver => ({
    ...driver,
    fenced: { ...driver.fenced, ...change(driver, stage) },
  });
  return { push: mutate, run: mutate };
}

/** Permits hold for ever, for what `isOf` says. */
const everlasting = (isOf: (key: string) => boolean): ReturnType<typeof withFenced> =>
  withFenced(({ fenced }, { store }) => ({
    delete: async (items) => {
      // A permit without an end: its time is that of the store when the request comes.
      const endless = {
        get id() {
          return items[0]?.permit.id ?? "";
        },
        since: { getTime: () => store.time } as Date,
      };
      return await fenced.delete(items.map((item) => (isOf(item.key) ? { ...item, permit: endless } : item)));
    },
  }));

/** The permit is dated with the answer to the PUT of `deleting`, which may come late. */
const datedWithItsAnswer = (driver: StorageDriver): StorageDriver => {
  const answered = new Map<string, Date>();
  return {
    ...driver,
    put: async (key, bytes, condition) => {
      const written = await driver.put(key, bytes, condition);
      const permit = key.startsWith(MARKS) ? /"permit":"([^"]*)"/.exec(Buffer.from(bytes).toString())?.[1] : undefined;
      if (permit !== undefined) answered.set(permit, written.asOf);
      return written;
    },
    fenced: {
      ...driver.fenced,
      delete: async (items) =>
        await driver.fenced.delete(
          items.map(({ key, permit }) => ({
            key,
            permit: { id: permit.id, since: answered.get(permit.id) ?? permit.since },
          })),
        ),
    },
  };
};

/** What permits are over is looked for before the marks are listed. */
const revokedFirst = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  list: async (prefix, options) => {
    if (prefix === layout.blobMarks && options?.limit !== undefined) await driver.fenced.revokeExpired();
    return await driver.list(prefix, options);
  },
  fenced: { ...driver.fenced, revokeExpired: async () => undefined },
});

/** A schedule must violate what always holds. */
export const MUTANTS: readonly Mutant[] = [
  {
    what: "stale links are not written again",
    scenario: HEAD,
    focus: NIGHTS,
    mutation: { pushTimes: { freshMs: Infinity } },
  },
  { what: "no compare-and-swap", scenario: UPLOAD, focus: RIPE, mutation: { push: unconditional, run: unconditional } },
  { what: "deletes without a permit", scenario: UPLOAD, focus: LATE, mutation: everlasting(() => true) },
  {
    what: "a promise does not read the mark",
    scenario: MOUNT,
    focus: RIPE,
    mutation: { push: blindTo(layout.blobMarks) },
  },
  {
    what: "the time is not checked",
    scenario: UPLOAD,
    focus: { ...RIPE, pauses: [TIMES.settleMs + SECOND] },
    mutation: { pushTimes: { promiseMs: Infinity } },
  },
  { what: "a listing that fails is ignored", scenario: UPLOAD, mutation: { run: failedPagesAreEmpty } },
  { what: "a commit does not read the mark", scenario: UPLOAD, focus: RIPE, mutation: { push: blindToMarkOf("b") } },
  {
    what: "a commit reads the mark after it wrote the bytes",
    scenario: UPLOAD,
    focus: RIPE,
    mutation: { push: marksAfterBytes },
  },
  {
    what: "the bytes of a manifest are left as they are",
    scenario: "manifest again",
    focus: RIPE,
    mutation: { push: bytesOnlyWhereMissing },
  },
  {
    what: "the mark of a manifest's digest is not read",
    scenario: "manifest again",
    focus: RIPE,
    mutation: { push: blindTo(layout.blobMarks) },
  },
  {
    what: "the mark of a revision is not read",
    scenario: TAG,
    focus: RIPE,
    mutation: { push: blindTo(layout.revisionMarks) },
  },
  {
    what: "a push of a tag does not read its mark",
    scenario: "tags that expire",
    focus: RIPE,
    mutation: { push: blindTo(layout.tagMarks) },
  },
  {
    what: "the revision marks of children are not cleared",
    scenario: INDEX,
    focus: RIPE,
    mutation: { push: blindToMarkOf("c") },
  },
  {
    what: "the revision marks of referrers are not cleared",
    scenario: SUBJECT,
    focus: RIPE,
    mutation: { push: blindToMarkOf("s") },
  },
  {
    what: "a mark is taken over while its permit holds",
    scenario: UPLOAD,
    focus: { ...RIPE, verdicts: ["late"] },
    mutation: { pushTimes: { takeoverMs: 0 }, runTimes: { takeoverMs: 0 } },
  },
  {
    what: "who takes a mark over does not revoke its permit",
    scenario: FOLDER,
    focus: LATE,
    mutation: withFenced(() => ({ revoke: async () => undefined })),
  },
];

/** The model kills these; no schedule that is drawn here has shown one within some hundred seeds. */
export const UNSEEN: readonly Mutant[] = [
  {
    what: "no nonce: the ETag of another condemnation is the same",
    scenario: HEAD,
    focus: { ...RIPE, pauses: [SECOND, TIMES.settleMs + SECOND], runs: 3 },
    mutation: { push: withoutNonce, run: withoutNonce },
  },
  {
    what: "link and bytes are not read again after the mark",
    scenario: HEAD,
    focus: { ...RIPE, runs: 4 },
    mutation: { push: remembering },
  },
  {
    what: "a run may sweep what it has just seen condemned",
    scenario: HEAD,
    focus: AT_ONCE,
    mutation: { runTimes: { settleMs: 0 } },
  },
  {
    what: "SETTLE is not above T",
    scenario: UPLOAD,
    focus: { ...AT_ONCE, pauses: [SECOND, SECOND] },
    mutation: { runTimes: { settleMs: 1000 } },
  },
  {
    what: "the time is checked before the last write",
    scenario: MOUNT,
    focus: { ...RIPE, pauses: [TIMES.settleMs + SECOND] },
    mutation: { push: datedWhenSent },
  },
  {
    what: "marks are listed after the rest",
    scenario: UPLOAD,
    focus: { ...RIPE, pauses: [SECOND, TIMES.settleMs + SECOND] },
    mutation: { run: marksLast },
  },
  {
    what: "HORIZON is GRACE",
    scenario: HEAD,
    focus: {
      ageMs: TIMES.freshMs - 2 * SECOND,
      rests: [TIMES.graceMs - 3 * TIMES.settleMs],
      pauses: [TIMES.settleMs + SECOND],
      verdicts: [],
    },
    mutation: { runTimes: { horizonMs: TIMES.graceMs } },
  },
  { what: "tombstones do not stay", scenario: UPLOAD, focus: RIPE, mutation: { run: tombstonesGo } },
  {
    what: "a permit is dated with the answer to its own PUT",
    scenario: UPLOAD,
    focus: { ...LATE, slow: 0.2, rests: [SECOND], verdicts: [] },
    mutation: { run: datedWithItsAnswer },
  },
  {
    what: "SETTLE is not above E",
    scenario: UPLOAD,
    focus: {
      ...LATE,
      pauses: [TIMES.settleMs + SECOND],
      rests: [SECOND, TIMES.settleMs + SECOND],
      verdicts: ["late"],
      runs: 4,
    },
    mutation: { permitMs: 30 * MINUTE, runTimes: { takeoverMs: 31 * MINUTE }, pushTimes: { takeoverMs: 31 * MINUTE } },
  },
  {
    what: "expired permits are not revoked",
    scenario: FOLDER,
    focus: {
      ...LATE,
      pauses: [TIMES.settleMs + SECOND],
      rests: [SECOND, TIMES.settleMs + SECOND],
      verdicts: ["late"],
      runs: 4,
    },
    mutation: withFenced(() => ({ revokeExpired: async () => undefined })),
  },
  {
    what: "expired permits are revoked before the marks are listed",
    scenario: FOLDER,
    focus: {
      ...LATE,
      pauses: [TIMES.settleMs + SECOND],
      rests: [SECOND, TIMES.settleMs + SECOND],
      verdicts: ["late"],
      runs: 4,
    },
    mutation: { run: revokedFirst },
  },
  {
    what: "marks are deleted without a permit",
    scenario: UPLOAD,
    focus: {
      ...LATE,
      pauses: [TIMES.settleMs + SECOND],
      rests: [SECOND, TIMES.settleMs + SECOND],
      verdicts: ["late"],
      runs: 4,
    },
    mutation: everlasting((key) => key.startsWith(MARKS)),
  },
];

/** Of the model's these cannot be had without changing the code itself, or nobody has tried to yet. */
export const NOT_TRIED: readonly string[] = [
  "a child goes before its parents",
  "a signature goes before its subject",
  "the time is not checked after the tags",
  "the time is not checked after a tag",
  "the link of a tag goes before its history",
  "the age of the link is not looked at again",
  "the age of the link is looked at before the permit",
  "a tag is condemned by a HORIZON of GRACE",
];
