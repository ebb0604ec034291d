import { digestFrom, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { referencesOf, type References } from "../oci/references.ts";
import type { RepositoryName, Tag } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { linkBytes, writeLink } from "../registry/link.ts";
import { Promises } from "../registry/promises.ts";
import { asError } from "../storage/as-error.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { listKeys, PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import { kindOf, readJournal, type JournalEntry } from "./journal.ts";
import { TakenSince } from "./taken.ts";
import { SetAside } from "./trash.ts";
import { isPassing } from "./tried.ts";
import { underMarks } from "./under-marks.ts";

/** Entries that are brought back side by side. */
const ENTRIES = 8;

/** What could not be brought back. */
interface Lost {
  readonly digest: Digest;
  readonly repository?: string;
  readonly tag?: string;
  readonly reason: string;
}

/** What there is again once a run is undone. */
export interface Undone {
  readonly blobs: number;
  readonly manifests: number;
  /** Those that name something again in the meantime are left as they are, and counted. */
  readonly tags: number;
  /** In bytes, of the blobs. */
  readonly bytes: number;
  /** Of all these those that were there anyway: nobody had deleted them, or somebody pushed them again. */
  readonly there: number;
  /** What could not be brought back, each with the reason. */
  readonly missing: readonly Lost[];
}

/** What became of one key: it was brought back, is there anyway and left as it is, or stays gone. */
export interface UndoneKey {
  readonly key: string;
  readonly outcome: "restored" | "there" | "gone";
}

/** What became of a blob, manifest or tag, and of its keys, where that is known: see `UndoneKey`. */
export interface UndoneEntry {
  readonly entry: JournalEntry;
  readonly outcome: UndoneKey["outcome"];
  /** Why it stays gone: a clause. */
  readonly reason?: string;
  readonly keys: readonly UndoneKey[];
}

/** Keys that are there now; or why that cannot be. */
type Result = { readonly keys: readonly UndoneKey[]; readonly failure?: string };

/**
 * Brings back what a run deleted: bytes before links, and what is there again stays as it is. A collection may be under way:
 * marks are cleared first, as by a push, and what comes back is as young as one; but for bytes of which the store keeps
 * versions, which keep their age. Links that led nowhere stay gone. What fails is missing, and the rest comes back; only where
 * the store is in trouble it throws. Can be done again after a failure. `tell` is called for each other entry of the journal.
 */
export async function undo(
  driver: StorageDriver,
  run: string,
  times: GcTimes,
  tell: (entry: UndoneEntry) => void = () => undefined,
): Promise<Undone> {
  const undoing = new Undoing(driver, run, times);
  const undone = { blobs: 0, manifests: 0, tags: 0, bytes: 0, there: 0, missing: [] as Undone["missing"][number][] };
  const restore = async (entry: JournalEntry, work: Promise<Result>): Promise<void> => {
    const { keys, failure: reason } = await work.catch((thrown: unknown): Result => {
      const error = asError(thrown);
      if (isPassing(error)) throw error;
      return { keys: [], failure: error.message };
    });
    const { digest, repository, tag } = entry;
    if (reason !== undefined) {
      undone.missing.push({ digest, reason, ...(repository && { repository }), ...(tag && { tag }) });
    } else if (tag !== undefined) undone.tags++;
    else if (entry.bytes === undefined) undone.manifests++;
    else {
      undone.blobs++;
      undone.bytes += entry.size ?? 0;
    }
    // A tag is its link: whatever its history says, what that names now is left.
    const isBack = (tag === undefined ? keys : keys.slice(0, 1)).some(({ outcome }) => outcome === "restored");
    const outcome = reason !== undefined ? "gone" : isBack ? "restored" : "there";
    if (outcome === "there") undone.there++;
    tell({ entry, outcome, keys, ...(reason !== undefined && { reason }) });
  };
  // Content before names, over the whole journal.
  const manifests: JournalEntry[] = [];
  for await (const { permit, entries } of readJournal(driver, run)) {
    const blobs = entries.filter((entry) => kindOf(entry) === "blob");
    await mapLimit(blobs, ENTRIES, async (entry) => await restore(entry, undoing.blob(entry, permit)));
    manifests.push(...entries.filter((entry) => ["manifest", "tag"].includes(kindOf(entry))));
  }
  // Tags went first, then parents: they come back last.
  for (const entry of manifests.toReversed()) {
    await restore(entry, entry.tag === undefined ? undoing.manifest(entry) : undoing.tag(entry));
  }
  return undone;
}

class Undoing {
  readonly #driver: StorageDriver;
  readonly #run: string;
  readonly #times: GcTimes;
  readonly #aside: SetAside;
  readonly #promises: Promises;
  readonly #taken: TakenSince;

  constructor(driver: StorageDriver, run: string, times: GcTimes) {
    this.#driver = driver;
    this.#run = run;
    this.#times = times;
    this.#aside = new SetAside(driver, run);
    this.#taken = new TakenSince(driver, run);
    this.#promises = new Promises(driver, times, () => new Date());
  }

  async blob({ digest, bytes = "", size = Infinity, links }: JournalEntry, permit: string): Promise<Result> {
    return await this.#underMarks([layout.blobMark(digest)], [bytes, ...links], async () => {
      const { outcome, isOld } = await this.#bytes(bytes, permit);
      if (outcome === "gone") {
        const keys = [bytes, ...links].map((key) => ({ key, outcome }));
        // One run may have taken its links and died, and a later one its bytes.
        const later = await this.#laterOf(bytes);
        const hint = later === undefined ? "" : `: undo the later run ${later} that took them`;
        return { keys, failure: `its bytes are not kept any more${hint}` };
      }
      // Links make it young. What has none is a manifest, which its revision keeps once that is back.
      if (isOld && links.length === 0 && size <= limits.manifestBytes) await this.#touch(bytes);
      return { keys: [{ key: bytes, outcome }, ...(await this.#links(links, digest))] };
    });
  }

  /** Its bytes, and what it refers to, have to be there: a later run may have taken them, and has to be undone first. */
  async manifest({ digest, repository = "", links }: JournalEntry): Promise<Result> {
    const name = repository as RepositoryName;
    const bytes = await this.#driver.read(layout.blob(digest), limits.manifestBytes);
    const references = bytes === undefined ? undefined : referencesOf(bytes);
    if (references === undefined) {
      const keys = links.map((key) => ({ key, outcome: "gone" as const }));
      const run = await this.#laterOf(layout.blob(digest));
      const first = run === undefined ? "" : `: undo the later run ${run} that took them first`;
      return { keys, failure: `its bytes are gone${first}` };
    }
    const marks = await this.#marksOf(name, digest, references);
    return await this.#underMarks(marks, links, async () => {
      const run = await this.#lackingSince(name, digest, references);
      if (run !== undefined) {
        const keys = links.map((key) => ({ key, outcome: "gone" as const }));
        const first = run === this.#run ? "" : `: undo the later run ${run} that took it first`;
        return { keys, failure: `what it refers to is gone${first}` };
      }
      // As a push does: its links must be no older than it says.
      await mapLimit(references.blobs, ENTRIES, async (blob) => await this.#promises.blob(name, blob));
      // The entry of a referrer went first, and comes back last.
      return { keys: await this.#links(links.toReversed(), digest) };
    });
  }

  /** As a push does it: the link that is read comes first, then the history, whose keys say what is in them. */
  async tag({ digest, repository, tag, links }: JournalEntry): Promise<Result> {
    const name = repository as RepositoryName;
    const key = layout.tagLink(name, tag as Tag);
    const revision = layout.revisionLink(name, digest);
    const marks = [layout.tagMark(name, tag as Tag), layout.revisionMark(name, digest)];
    return await this.#underMarks(marks, [key, ...links], async () => {
      if ((await this.#driver.head(revision)) === undefined) {
        return { keys: [], failure: "its manifest is gone: undo the run that took it, or push it again" };
      }
      const keys: UndoneKey[] = [];
      try {
        await this.#driver.put(key, linkBytes(digest), { ifNoneMatch: "*" });
        keys.push({ key, outcome: "restored" });
      } catch (error) {
        if (!(error instanceof PreconditionFailedError)) throw error;
        keys.push({ key, outcome: "there" });
      }
      for (const link of links) {
        const [algorithm, hex] = link.split("/").slice(-3);
        const named = digestFrom(`${algorithm}:${hex}`);
        if (named !== undefined) keys.push(...(await this.#links([link], named)));
      }
      return { keys };
    });
  }

  /** Marks that a push of this manifest clears: of its blobs and its children, its own, and of those that refer to it. */
  async #marksOf(name: RepositoryName, digest: Digest, { blobs, manifests }: References): Promise<string[]> {
    const referrers: Digest[] = [];
    for await (const { key } of listKeys(this.#driver, layout.referrers(name, digest))) {
      const [algorithm, hex] = key.split("/").slice(-3);
      referrers.push(`${algorithm}:${hex}` as Digest);
    }
    const revisions = [digest, ...manifests, ...referrers].map((each) => layout.revisionMark(name, each));
    return [...[digest, ...blobs, ...manifests].map((blob) => layout.blobMark(blob)), ...revisions];
  }

  /** The run, this or a later one, that took something which this manifest needs and which is not there; what was never there is no matter. */
  async #lackingSince(
    name: RepositoryName,
    digest: Digest,
    { blobs, manifests }: References,
  ): Promise<string | undefined> {
    const needed = [
      ...[digest, ...blobs, ...manifests].map((each) => layout.blob(each)),
      ...blobs.map((blob) => layout.layerLink(name, blob)),
      ...manifests.map((child) => layout.revisionLink(name, child)),
    ];
    const there = await mapLimit(needed, ENTRIES, async (key) => (await this.#driver.head(key)) !== undefined);
    const lacking = needed.filter((_, index) => there[index] !== true);
    if (lacking.length === 0) return undefined;
    // A collection may have taken it just now: then that is in its journal.
    return await this.#taken.runNowOf(lacking);
  }

  /** The later run that took a key last. */
  async #laterOf(key: string): Promise<string | undefined> {
    const run = await this.#taken.runOf(key);
    return run === this.#run ? undefined : run;
  }

  /** `isOld`: it may have the age that it had, be it that an earlier try brought it back. */
  async #bytes(
    key: string,
    permit: string,
  ): Promise<{ readonly outcome: UndoneKey["outcome"]; readonly isOld: boolean }> {
    const info = await this.#driver.head(key);
    if (info !== undefined) {
      return { outcome: "there", isOld: info.asOf.getTime() - info.lastModified.getTime() > this.#times.freshMs };
    }
    if (await this.#aside.restore(key)) return { outcome: "restored", isOld: false };
    const { trash } = this.#driver.fenced;
    const gone = trash === undefined ? [key] : await trash.restore([{ key, id: permit }]);
    return { outcome: gone.length > 0 ? "gone" : "restored", isOld: gone.length === 0 };
  }

  /** What somebody wrote again is left. */
  async #links(keys: readonly string[], digest: Digest): Promise<UndoneKey[]> {
    const undone: UndoneKey[] = [];
    for (const key of keys) {
      const isThere = (await this.#driver.head(key)) !== undefined;
      if (!isThere) await writeLink(this.#driver, key, digest);
      undone.push({ key, outcome: isThere ? "there" : "restored" });
    }
    return undone;
  }

  async #touch(key: string): Promise<void> {
    const bytes = await this.#driver.read(key, limits.manifestBytes);
    if (bytes !== undefined) await this.#driver.put(key, bytes);
  }

  /** The work under cleared marks, and what became of each key: what an earlier try restored is there by now. */
  async #underMarks(marks: readonly string[], keys: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const outcomes = new Map<string, UndoneKey["outcome"]>(keys.map((key) => [key, "gone"]));
    const failure = await underMarks(this.#driver, this.#times, { keys: marks, who: "commit" }, async () => {
      const done = await work();
      for (const { key, outcome } of done.keys) {
        if (outcomes.get(key) !== "restored") outcomes.set(key, outcome);
      }
      return done.failure;
    });
    const result = { keys: [...outcomes].map(([key, outcome]) => ({ key, outcome })) };
    return failure === undefined ? result : { ...result, failure };
  }
}
