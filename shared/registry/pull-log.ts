import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { RecentMap } from "./recent-map.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** How long after a failure the next pull tries again. */
const RETRY_MS = 60_000;
/** Manifests of which a process remembers that their pull is recorded: some hundred bytes each. */
const REMEMBERED = 16_384;
/** Pulls that are recorded at a time; what comes on top of that is left to the next pull. */
const MOST_AT_ONCE = 16;
/** More than a record has. */
const RECORD_BYTES = 256;

/**
 * Writes down by the day what is pulled: an object for each manifest of a repository and month, that the first pull of a day
 * writes anew, under a condition, so that all processes together write once. When that was its age tells. In a month that
 * is over nothing is written any more: whoever removes it takes nothing from anybody.
 */
export class PullLog {
  readonly #driver: StorageDriver;
  readonly #now: () => Date;
  /** When this process last saw that the pull of a manifest was recorded. */
  readonly #seen = new RecentMap<number>(REMEMBERED);
  readonly #writing = new Set<Promise<void>>();
  #hasBegun = false;

  constructor(driver: StorageDriver, now: () => Date) {
    this.#driver = driver;
    this.#now = now;
  }

  /** Records a pull, if this process knows of none today. Ends when that is written, or cannot be; never rejects. */
  async record(name: RepositoryName, digest: Digest): Promise<void> {
    const pulled = `${name}@${digest}`;
    const now = this.#now().getTime();
    if (now - (this.#seen.get(pulled) ?? -Infinity) < DAY_MS || this.#writing.size >= MOST_AT_ONCE) return;
    this.#seen.set(pulled, now);
    const writing = this.#write(name, digest, new Date(now)).catch(() => {
      this.#seen.set(pulled, now - DAY_MS + RETRY_MS);
    });
    this.#writing.add(writing);
    await writing;
    this.#writing.delete(writing);
  }

  /** Ends when nothing is being written any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing);
  }

  async #write(name: RepositoryName, digest: Digest, now: Date): Promise<void> {
    const key = layout.pull(now.toISOString().slice(0, "2030-01".length), name, digest);
    const { asOf, object } = await this.#driver.look(key, RECORD_BYTES);
    if (object !== undefined && asOf.getTime() - object.lastModified.getTime() < DAY_MS) return;
    await this.#begin(asOf);
    await this.#put(key, asOf, object?.etag);
  }

  /** From when on it can be told that something was not pulled. */
  async #begin(asOf: Date): Promise<void> {
    if (this.#hasBegun) return;
    await this.#put(layout.pullsSince, asOf, undefined);
    this.#hasBegun = true;
  }

  /** Who loses to another process need not write: that one has just done so. */
  async #put(key: string, asOf: Date, over: string | undefined): Promise<void> {
    try {
      const condition = over === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: over };
      await this.#driver.put(key, Buffer.from(asOf.toISOString()), condition);
    } catch (error) {
      if (!(error instanceof PreconditionFailedError)) throw error;
    }
  }
}
