/** What breaks a rule of the protocol in the code, by what comes between it and the store. */
import { layout } from "../../../shared/registry/layout.ts";
import type { StorageDriver } from "../../../shared/storage/driver.ts";
import { TIMES } from "../support.ts";
import type { Mutation, Stage } from "./stage.ts";

const MARKS = `${layout.root}_gc/marks/`;

/** Is this the key of a mark? */
export function isMark(key: string): boolean {
  return key.startsWith(MARKS);
}

/** Who pushes sees none of these marks, and writes them all the same where it must. */
export function blindTo(prefix: string): NonNullable<Mutation["push"]> {
  return (driver) => ({
    ...driver,
    look: async (key, limit) => {
      const { asOf, ...look } = await driver.look(key, limit);
      return key.startsWith(prefix) ? { asOf } : { asOf, ...look };
    },
  });
}

/** Blind to the mark of one thing only. */
export function blindToMarkOf(name: string): NonNullable<Mutation["push"]> {
  return (driver, stage) => ({
    ...driver,
    look: async (key, limit) => {
      const { asOf, ...look } = await driver.look(key, limit);
      return isMark(key) && stage.nameIn(key).endsWith(name) ? { asOf } : { asOf, ...look };
    },
  });
}

export const unconditional = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => await driver.put(key, bytes, isMark(key) ? undefined : condition),
});

export const withoutNonce = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => {
    if (!isMark(key)) return await driver.put(key, bytes, condition);
    const mark = JSON.parse(Buffer.from(bytes).toString()) as { nonce: string };
    mark.nonce = "0".repeat(mark.nonce.length);
    return await driver.put(key, Buffer.from(JSON.stringify(mark)), condition);
  },
});

/** What was written is said to be of the time at which it was sent. */
export const datedWhenSent = (driver: StorageDriver, { store }: Stage): StorageDriver => ({
  ...driver,
  put: async (key, bytes, condition) => {
    const asOf = store.now();
    return { ...(await driver.put(key, bytes, condition)), asOf };
  },
});

/** Links and bytes are what they were when they were first asked for, for as long as a promise may take. */
export const remembering = (driver: StorageDriver, { store }: Stage): StorageDriver => {
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
      isMark(key) ? await driver.look(key, limit) : await once(key, async () => await driver.look(key, limit)),
    head: async (key) => await once(key, async () => await driver.head(key)),
  };
};

/** The mark of an upload is answered only when its bytes are written. */
export const marksAfterBytes = (driver: StorageDriver): StorageDriver => {
  const written = new Map<string, Promise<void>>();
  return {
    ...driver,
    look: async (key, limit) => {
      if (isMark(key)) {
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
export const bytesOnlyWhereMissing = (driver: StorageDriver, { store }: Stage): StorageDriver => {
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
export const marksLast = (driver: StorageDriver): StorageDriver => {
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
export const failedPagesAreEmpty = (driver: StorageDriver, { store }: Stage): StorageDriver => ({
  ...driver,
  list: async (prefix, options) =>
    await driver.list(prefix, options).catch(() => ({ objects: [], prefixes: [], asOf: store.now() })),
});

/** Marks that mean "absent" look as if they had been so for ever. */
export const tombstonesGo = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  list: async (prefix, options) => {
    const page = await driver.list(prefix, options);
    if (!isMark(prefix)) return page;
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

export function withFenced(change: (driver: StorageDriver, stage: Stage) => Partial<StorageDriver["fenced"]>): {
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
export const everlasting = (isOf: (key: string) => boolean): ReturnType<typeof withFenced> =>
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
export const datedWithItsAnswer = (driver: StorageDriver): StorageDriver => {
  const answered = new Map<string, Date>();
  return {
    ...driver,
    put: async (key, bytes, condition) => {
      const written = await driver.put(key, bytes, condition);
      const permit = isMark(key) ? /"permit":"([^"]*)"/.exec(Buffer.from(bytes).toString())?.[1] : undefined;
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
export const revokedFirst = (driver: StorageDriver): StorageDriver => ({
  ...driver,
  list: async (prefix, options) => {
    if (prefix === layout.blobMarks && options?.limit !== undefined) await driver.fenced.revokeExpired();
    return await driver.list(prefix, options);
  },
  fenced: { ...driver.fenced, revokeExpired: async () => undefined },
});
