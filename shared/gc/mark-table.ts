import type { MarkState } from "../registry/marks.ts";
import type { ListedObject } from "../storage/driver.ts";
import { Bytes, Strings, Uints } from "./columns.ts";
import type { Arrays } from "./snapshot.ts";
import { secondsOf } from "./times.ts";

const STATES: readonly MarkState[] = ["condemned", "deleting", "swept", "cleared"];

/** A mark as it was when the run began. */
export interface ListedMark {
  readonly key: string;
  readonly etag: string;
  readonly state: MarkState;
  /** When it came to be in this state; seconds since 1970. */
  readonly since: number;
}

/** The marks as they were when the run began, in the order of their keys. */
export class MarkTable {
  readonly #keys: Strings;
  readonly #etags: Strings;
  readonly #states: Uints;
  readonly #since: Uints;

  constructor(arrays: Arrays = {}) {
    const uints = (name: string): Uints => new Uints(arrays[name] as Uint32Array<ArrayBuffer> | undefined);
    const strings = (name: string): Strings =>
      new Strings(new Bytes(arrays[`${name}Text`] as Uint8Array<ArrayBuffer> | undefined), uints(`${name}Ends`));
    this.#keys = strings("keys");
    this.#etags = strings("etags");
    this.#states = uints("states");
    this.#since = uints("since");
  }

  get length(): number {
    return this.#keys.length;
  }

  /** Adds one that comes after all others. */
  push({ key, etag, lastModified }: ListedObject, state: MarkState): void {
    this.#keys.push(key);
    this.#etags.push(etag);
    this.#states.push(STATES.indexOf(state));
    this.#since.push(secondsOf(lastModified));
  }

  find(key: string): number | undefined {
    return this.#keys.find(key);
  }

  /** The mark of a row that exists. */
  at(row: number): ListedMark {
    return {
      key: this.#keys.at(row),
      etag: this.#etags.at(row),
      state: STATES[this.#states.at(row)] ?? "condemned",
      since: this.#since.at(row),
    };
  }

  get arrays(): Arrays {
    return {
      keysText: this.#keys.arrays.text,
      keysEnds: this.#keys.arrays.ends,
      etagsText: this.#etags.arrays.text,
      etagsEnds: this.#etags.arrays.ends,
      states: this.#states.view(),
      since: this.#since.view(),
    };
  }
}
