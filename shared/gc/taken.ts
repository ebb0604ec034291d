import type { StorageDriver } from "../storage/driver.ts";
import { kindOf, readJournalsSince } from "./journal.ts";

/** Which run took a key last, of one run and all later ones, by their journals. What another run takes meanwhile is found. */
export class TakenSince {
  readonly #driver: StorageDriver;
  readonly #run: string;
  readonly #runs = new Map<string, string>();
  readonly #read = new Set<string>();
  #reading: Promise<void> | undefined;

  constructor(driver: StorageDriver, run: string) {
    this.#driver = driver;
    this.#run = run;
  }

  /** By what was in the journals when this was asked first, or later. Undefined where none did. */
  async runOf(key: string): Promise<string | undefined> {
    await (this.#reading ?? this.#readOn());
    return this.#runs.get(key);
  }

  /** The same of the first key that one did take, by what is in the journals now. */
  async runNowOf(keys: readonly string[]): Promise<string | undefined> {
    const find = (): string | undefined => keys.map((key) => this.#runs.get(key)).find((run) => run !== undefined);
    const found = find();
    if (found !== undefined) return found;
    await this.#readOn();
    return find();
  }

  /** Reads what was written since the last time, after those that read now. */
  async #readOn(): Promise<void> {
    const before = this.#reading;
    this.#reading = (async () => {
      await before;
      const isNew = (key: string): boolean => !this.#read.has(key);
      for await (const { key, run, entries } of readJournalsSince(this.#driver, this.#run, isNew)) {
        this.#read.add(key);
        for (const entry of entries) {
          // Links that led nowhere nobody brings back.
          if (kindOf(entry) === "links") continue;
          for (const taken of entry.links) this.#runs.set(taken, run);
          if (entry.bytes !== undefined) this.#runs.set(entry.bytes, run);
        }
      }
    })();
    await this.#reading;
  }
}
