import type { Digest } from "../oci/digest.ts";
import { layout } from "../registry/layout.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { listChildren, listPages, type StorageDriver } from "../storage/driver.ts";
import { Bytes, Strings, Uints } from "./columns.ts";
import type { Arrays } from "./snapshot.ts";
import { secondsOf } from "./times.ts";
import { deleteBelow } from "./trash.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** How long records are kept where nothing asks for longer: somebody may write a rule. */
const KEPT_MS = 92 * DAY_MS;
/** For processes whose clock is wrong. */
const SLACK_MS = 2 * DAY_MS;

/** What was pulled when, as it was when the run began: some hundred bytes for each manifest and month. */
export class PullTable {
  readonly #keys: Strings;
  readonly #times: Uints;
  /** Since when pulls are recorded: one row, or none. */
  readonly #since: Uints;
  readonly #months: Set<string>;

  constructor(arrays: Arrays = {}) {
    const uints = (name: string): Uints => new Uints(arrays[name] as Uint32Array<ArrayBuffer> | undefined);
    this.#keys = new Strings(new Bytes(arrays["keysText"] as Uint8Array<ArrayBuffer> | undefined), uints("keysEnds"));
    this.#times = uints("times");
    this.#since = uints("since");
    this.#months = new Set(Array.from({ length: this.#keys.length }, (_, row) => monthOf(this.#keys.at(row))));
  }

  /** Lists all that is recorded. */
  async fill(driver: StorageDriver): Promise<void> {
    for await (const { objects } of listPages(driver, layout.pulls)) {
      for (const { key, lastModified } of objects) {
        const seconds = secondsOf(lastModified);
        if (key === layout.pullsSince) {
          this.#since.push(seconds);
          continue;
        }
        this.#keys.push(key);
        this.#times.push(seconds);
        this.#months.add(monthOf(key));
      }
    }
  }

  /** Since when it is recorded what is pulled; undefined where it is not. */
  get since(): Date | undefined {
    return this.#since.length === 0 ? undefined : new Date(this.#since.at(0) * 1000);
  }

  /** When a manifest was last pulled, as far as that is recorded. */
  lastPulled(name: string, digest: Digest): Date | undefined {
    let last: number | undefined;
    for (const month of this.#months) {
      const row = this.#keys.find(layout.pull(month, name as RepositoryName, digest));
      if (row !== undefined) last = Math.max(last ?? 0, this.#times.at(row));
    }
    return last === undefined ? undefined : new Date(last * 1000);
  }

  get arrays(): Arrays {
    const { text, ends } = this.#keys.arrays;
    return { keysText: text, keysEnds: ends, times: this.#times.view(), since: this.#since.view() };
  }
}

/** Removes months that ended before anything asks for them. Nothing is written in them any more. */
export async function forgetPulls(driver: StorageDriver, begun: Date, withinMs: number | undefined): Promise<void> {
  const oldest = begun.getTime() - Math.max(KEPT_MS, withinMs ?? 0) - SLACK_MS;
  for (const month of await listChildren(driver, layout.pulls)) {
    const [, year, number] = /^(\d{4})-(\d\d)$/.exec(month) ?? [];
    const end = Date.UTC(Number(year), Number(number), 1); // months count from 0 there: this is the next one
    if (end < oldest) await deleteBelow(driver, `${layout.pulls}${month}/`);
  }
}

function monthOf(key: string): string {
  return key.slice(layout.pulls.length).split("/", 1)[0] ?? "";
}
