import { digestFrom, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { referencesOf } from "../oci/references.ts";
import type { RepositoryName, Tag } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { linkBytes, writeLink } from "../registry/link.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import { readJournal, type JournalEntry } from "./journal.ts";
import { SetAside } from "./trash.ts";
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

/** What undoing a run has done. */
export interface Undone {
  readonly blobs: number;
  readonly manifests: number;
  /** Those that name something again in the meantime are left as they are, and counted. */
  readonly tags: number;
  /** In bytes, of the blobs. */
  readonly bytes: number;
  /** What could not be brought back, each with the reason. */
  readonly missing: readonly Lost[];
}

/** Undefined: it is back. Else why it is not. */
type Failure = string | undefined;

/**
 * Brings back what a run deleted: bytes before links, and what is there again stays as it is. A collection may be under way:
 * marks are cleared first, as by a push, and what comes back is as young as one. Can be done again after a failure.
 */
export async function undo(driver: StorageDriver, run: string, times: GcTimes): Promise<Undone> {
  const undoing = new Undoing(driver, run, times);
  const undone = { blobs: 0, manifests: 0, tags: 0, bytes: 0, missing: [] as Undone["missing"][number][] };
  const restore = async (entries: readonly JournalEntry[], work: (entry: JournalEntry) => Promise<Failure>) => {
    return await mapLimit(entries, ENTRIES, async (entry) => {
      const reason = await work(entry);
      const { digest, repository, tag } = entry;
      if (reason !== undefined) {
        undone.missing.push({ digest, reason, ...(repository && { repository }), ...(tag && { tag }) });
      } else if (tag !== undefined) undone.tags++;
      else if (entry.bytes === undefined) undone.manifests++;
      else undone.blobs++;
      if (reason === undefined) undone.bytes += entry.size ?? 0;
    });
  };
  // Content before names, over the whole journal.
  for await (const { permit, entries } of readJournal(driver, run)) {
    const blobs = entries.filter(({ bytes }) => bytes !== undefined);
    await restore(blobs, async (entry) => await undoing.blob(entry, permit));
  }
  for await (const { entries } of readJournal(driver, run)) {
    const manifests = entries.filter(({ bytes, tag }) => bytes === undefined && tag === undefined);
    await restore(manifests, async (entry) => await undoing.manifest(entry));
  }
  for await (const { entries } of readJournal(driver, run)) {
    const tags = entries.filter(({ tag }) => tag !== undefined);
    await restore(tags, async (entry) => await undoing.tag(entry));
  }
  return undone;
}

class Undoing {
  readonly #driver: StorageDriver;
  readonly #times: GcTimes;
  readonly #aside: SetAside;

  constructor(driver: StorageDriver, run: string, times: GcTimes) {
    this.#driver = driver;
    this.#times = times;
    this.#aside = new SetAside(driver, run);
  }

  async #underMarks(keys: readonly string[], work: () => Promise<Failure>): Promise<Failure> {
    return await underMarks(this.#driver, this.#times, { keys, who: "commit" }, work);
  }

  async blob({ digest, bytes = "", links }: JournalEntry, permit: string): Promise<Failure> {
    return await this.#underMarks([layout.blobMark(digest)], async () => {
      const inTrash = this.#driver.fenced.trash;
      const left = inTrash === undefined ? [bytes] : await inTrash.restore([{ key: bytes, id: permit }]);
      if (left.length > 0 && (await this.#aside.restore(left)).length > 0) return "its bytes are not kept any more";
      await mapLimit(links, ENTRIES, async (key) => await writeLink(this.#driver, key, digest));
      return undefined;
    });
  }

  /** Its bytes, and what it refers to, have to be there: a later run may have taken them, and has to be undone first. */
  async manifest({ digest, repository, links }: JournalEntry): Promise<Failure> {
    const bytes = await this.#driver.read(layout.blob(digest), limits.manifestBytes);
    const references = bytes === undefined ? undefined : referencesOf(bytes);
    if (references === undefined) return "its bytes are gone: undo the later run that took them first";
    const needed = [digest, ...references.blobs];
    const marks = needed.map((blob) => layout.blobMark(blob));
    const revision = layout.revisionMark(repository as RepositoryName, digest);
    return await this.#underMarks([...marks, revision], async () => {
      const there = await mapLimit(needed, ENTRIES, async (blob) => await this.#driver.head(layout.blob(blob)));
      const lacking = needed.find((_, index) => there[index] === undefined);
      if (lacking !== undefined) return `${lacking} is gone: undo the later run that took it first`;
      // The entry of a referrer went first, and comes back last.
      for (const key of links.toReversed()) await writeLink(this.#driver, key, digest);
      return undefined;
    });
  }

  /** As a push does it: the link that is read comes first, then the history, whose keys say what is in them. */
  async tag({ digest, repository, tag, links }: JournalEntry): Promise<Failure> {
    const name = repository as RepositoryName;
    const key = layout.tagLink(name, tag as Tag);
    const revision = layout.revisionLink(name, digest);
    return await this.#underMarks([layout.tagMark(name, tag as Tag), layout.revisionMark(name, digest)], async () => {
      if ((await this.#driver.head(revision)) === undefined) {
        return "its manifest is gone: undo the run that took it, or push it again";
      }
      try {
        await this.#driver.put(key, linkBytes(digest), { ifNoneMatch: "*" });
      } catch (error) {
        if (!(error instanceof PreconditionFailedError)) throw error;
      }
      await mapLimit(links, ENTRIES, async (link) => {
        const [algorithm, hex] = link.split("/").slice(-3);
        const named = digestFrom(`${algorithm}:${hex}`);
        if (named !== undefined) await writeLink(this.#driver, link, named);
      });
      return undefined;
    });
  }
}
