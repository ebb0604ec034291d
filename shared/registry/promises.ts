/**
 * What pushes do so that garbage collection takes nothing from them: the steps `promise` and `clear` of
 * docs/garbage-collection.md, where it is said why their order is right.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import {
  OverloadedError,
  PreconditionFailedError,
  type ObjectInfo,
  type StorageDriver,
  type Written,
} from "../storage/driver.ts";
import type { GcTimes } from "./gc-times.ts";
import { layout } from "./layout.ts";
import { linkBytes, lookAtLink, type LinkLook } from "./link.ts";
import { RecentMap } from "./recent-map.ts";
import { Marks, type Cleared, type Clearing, type MarkLook } from "./marks.ts";

/** How often a mark that is being deleted is looked at, and how long after each look: deleting one blob takes less. */
const BUSY_TRIES = 5;
const BUSY_PAUSE_MS = 1000;
/** How often a promise is begun anew, where the store is too slow for it or others are always faster. */
const ROUNDS = 8;
/**
 * A mark that was read this long ago, by our own clock, is read again before it is relied on. A third of T: what rests on it
 * has the rest of T to be done.
 */
const YOUNG_MS = 20_000;
/** How many marks that were absent are remembered so long. */
const REMEMBERED = 10_000;

/** What was promised to be there. */
export interface Promised {
  /** The digest under which the bytes lie. */
  readonly stored: Digest;
  readonly info: ObjectInfo;
  /** The first answer on which the promise rests. */
  readonly since: Date;
}

/** What is promised, and by which link. */
interface Wanted {
  readonly digest: Digest;
  /** The link by which a repository has it; without one, bytes are enough. */
  readonly link: string | undefined;
  readonly markOf: (stored: Digest) => string;
  /** Writes what makes the promise good for the grace period, where that is more than what is there. */
  readonly renew: (stored: Digest, link: LinkLook | undefined) => Promise<Written | undefined>;
}

/** The first answer on which something rests, and the last of what had to be done by then. */
export interface InTime {
  readonly since: Date;
  readonly end: Date;
}

/** A mark that is being read already, to be cleared later. */
export interface Clearance {
  /** Clears it; gives the time from which T counts. Waits for a deletion that is under way, or throws OverloadedError. */
  clear(): Promise<Date>;
}

/**
 * Makes promises, and clears marks for those who write.
 *
 * That a mark was absent is remembered for a while: a push asks for each blob several times, and a promise may begin with a
 * mark that was read a little earlier, as long as all of it ends within T. Whether it did, the store's clock says as ever.
 */
export class Promises {
  readonly #driver: StorageDriver;
  readonly #marks: Marks;
  readonly #times: GcTimes;
  readonly #now: () => Date;
  readonly #pause: (ms: number) => Promise<unknown>;
  readonly #absent = new RecentMap<{ readonly begun: number; readonly look: MarkLook }>(REMEMBERED);

  /** `pause` is how it waits for a deletion that is under way. */
  constructor(driver: StorageDriver, times: GcTimes, now: () => Date, pause: (ms: number) => Promise<unknown> = delay) {
    this.#driver = driver;
    this.#marks = new Marks(driver, times);
    this.#times = times;
    this.#now = now;
    this.#pause = pause;
  }

  /** Promises a blob of a repository: it will be there for the grace period. Undefined where that cannot be said. */
  async blob(name: RepositoryName, digest: Digest): Promise<Promised | undefined> {
    const key = layout.layerLink(name, digest);
    return await this.#promise({
      digest,
      link: key,
      markOf: layout.blobMark,
      renew: async (stored, link) => {
        if (link === undefined || link.asOf.getTime() - link.lastModified.getTime() <= this.#times.freshMs)
          return undefined;
        return await this.#driver.put(key, linkBytes(stored), { ifMatch: link.etag });
      },
    });
  }

  /** The same of a blob that `mount` links to another repository; from whichever has it where there is no `from`. */
  async mounted(
    from: RepositoryName | undefined,
    digest: Digest,
    mount: (stored: Digest) => Promise<Written>,
  ): Promise<Promised | undefined> {
    const link = from === undefined ? undefined : layout.layerLink(from, digest);
    return await this.#promise({ digest, link, markOf: layout.blobMark, renew: mount });
  }

  /** Promises a manifest of a repository to who is about to write what refers to it. */
  async manifest(name: RepositoryName, digest: Digest): Promise<Promised | undefined> {
    return await this.#promise({
      digest,
      link: layout.revisionLink(name, digest),
      markOf: () => layout.revisionMark(name, digest),
      renew: async () => undefined,
    });
  }

  /** Does work until it was in time; gives when it was done. Throws OverloadedError where it never is. */
  async inTime(work: () => Promise<InTime>): Promise<InTime> {
    for (let round = 1; round <= ROUNDS; round++) {
      const done = await work();
      if (!this.#isLate(done.since, done.end)) return done;
      this.#absent.clear();
    }
    throw tooSlow();
  }

  /** Begins to clear a mark for a commit: reads it now, while other things are done. */
  ahead(key: string): Clearance {
    const begun = this.#now().getTime();
    const reading = this.#read(key);
    reading.catch(() => undefined); // whoever clears awaits it, and who does not need not know
    return {
      // Our clock can only make us read again. Whether what was read is young enough the store's says, after the last write.
      clear: async () => {
        const isYoung = this.#now().getTime() - begun < YOUNG_MS;
        return await this.clear(key, "commit", isYoung ? await reading : undefined);
      },
    };
  }

  /** Clears a mark; gives the time from which T counts. Waits for a deletion that is under way, or throws OverloadedError. */
  async clear(key: string, who: Clearing = "commit", first?: MarkLook): Promise<Date> {
    let look = first ?? (await this.#read(key));
    for (let tries = 1; ; tries++) {
      const cleared = await this.#marks.clear(key, who, look);
      if (cleared.outcome === "clear") return cleared.asOf;
      if (cleared.outcome === "swept") return look.asOf;
      if (tries === BUSY_TRIES) throw new OverloadedError("garbage collection is just deleting this; try again", 5);
      await this.#pause(BUSY_PAUSE_MS);
      look = await this.#marks.read(key);
    }
  }

  /** Did it take longer than T, so that it must be done again? */
  #isLate(since: Date, end: Date): boolean {
    return end.getTime() - since.getTime() > this.#times.promiseMs;
  }

  async #promise({ digest, link: key, markOf, renew }: Wanted): Promise<Promised | undefined> {
    let stored = digest;
    for (let round = 1; round <= ROUNDS; round++) {
      const mark = markOf(stored);
      const [first, before] = await Promise.all([this.#read(mark), this.#look(key, stored)]);
      if (before.isGone) return undefined;
      let seen = before;
      if (seen.stored === stored && first.mark !== undefined) {
        const cleared: Cleared = await this.#marks.clear(mark, "promise", first);
        if (cleared.outcome !== "clear") return undefined;
        // What was seen beside the mark may be from before a sweep.
        const after = await this.#look(key, stored);
        if (after.isGone) return undefined;
        seen = after;
      }
      if (seen.stored !== stored) {
        stored = seen.stored; // an alias, whose bytes have another mark
        continue;
      }
      // Bytes are written before links: those that were not there a moment ago may be there by now.
      const info = seen.info ?? (await this.#driver.head(layout.blob(stored)));
      if (info === undefined) return undefined;
      let end = latest(first.asOf, seen.asOf, info.asOf);
      try {
        end = (await renew(stored, seen.link))?.asOf ?? end;
      } catch (error) {
        if (!(error instanceof PreconditionFailedError)) throw error;
        continue;
      }
      const since = earliest(first.asOf, before.asOf);
      if (!this.#isLate(since, end)) return { stored, info, since };
      this.#absent.clear();
    }
    throw tooSlow();
  }

  /** A mark as it is, or that there was none a little while ago. */
  async #read(key: string): Promise<MarkLook> {
    const begun = this.#now().getTime();
    const known = this.#absent.get(key);
    if (known !== undefined && begun - known.begun < YOUNG_MS) return known.look;
    const look = await this.#marks.read(key);
    if (look.mark === undefined) this.#absent.set(key, { begun, look });
    return look;
  }

  /** Link and bytes, asked for at once. */
  async #look(key: string | undefined, stored: Digest): Promise<Seen> {
    const [link, info] = await Promise.all([
      key === undefined ? undefined : lookAtLink(this.#driver, key),
      this.#driver.head(layout.blob(stored)),
    ]);
    if (link === undefined) {
      return info === undefined ? { isGone: true } : { isGone: false, stored, link, info, asOf: info.asOf };
    }
    if (link.digest === undefined) return { isGone: true };
    return { isGone: false, stored: link.digest, link, info, asOf: link.asOf };
  }
}

type Seen =
  | { readonly isGone: true }
  | {
      readonly isGone: false;
      /** What the link says. */
      readonly stored: Digest;
      readonly link: LinkLook | undefined;
      readonly info: ObjectInfo | undefined;
      readonly asOf: Date;
    };

function earliest(...times: readonly Date[]): Date {
  return new Date(Math.min(...times.map((time) => time.getTime())));
}

function latest(...times: readonly Date[]): Date {
  return new Date(Math.max(...times.map((time) => time.getTime())));
}

function tooSlow(): OverloadedError {
  return new OverloadedError("the store is too slow, or too many want the same", 5);
}
