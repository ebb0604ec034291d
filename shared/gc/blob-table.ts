import type { Digest } from "../oci/digest.ts";
import { blobKeyOf } from "../registry/stored-key.ts";
import type { ListedObject } from "../storage/driver.ts";
import { Bytes, Uints } from "./columns.ts";
import { DigestTable } from "./digest-table.ts";
import type { Arrays } from "./snapshot.ts";
import { secondsOf } from "./times.ts";

const GIB4 = 2 ** 32;

/**
 * The blobs that are stored, in the order of their digests: 44 bytes for each. In rows behind them, where they were added,
 * digests of which there are no bytes, but links.
 */
export class BlobTable {
  readonly digests: DigestTable;
  readonly #newest: Uints;
  readonly #low: Uints;
  readonly #high: Uints;
  readonly #unstored: DigestTable;
  readonly #newestUnstored: Uints;

  constructor(arrays: Arrays = {}) {
    const bytes = (name: string): Bytes => new Bytes(arrays[name] as Uint8Array<ArrayBuffer> | undefined);
    const uints = (name: string): Uints => new Uints(arrays[name] as Uint32Array<ArrayBuffer> | undefined);
    this.digests = new DigestTable(bytes("sha256"), bytes("sha512"));
    this.#newest = uints("newest");
    this.#low = uints("low");
    this.#high = uints("high");
    this.#unstored = new DigestTable(bytes("unstored256"), bytes("unstored512"));
    this.#newestUnstored = uints("newestUnstored");
  }

  /** Blobs that are stored: their rows come first. */
  get length(): number {
    return this.#newest.length;
  }

  /** All rows. */
  get rows(): number {
    return this.length + this.#newestUnstored.length;
  }

  /** Takes a page of keys below `layout.blobs`. What is no blob is passed over. */
  take(objects: readonly ListedObject[]): void {
    for (const { key, size, lastModified } of objects) {
      const digest = blobKeyOf(key);
      if (digest === undefined) continue;
      this.digests.push(digest);
      this.#newest.push(secondsOf(lastModified));
      this.#low.push(size % GIB4);
      this.#high.push(Math.floor(size / GIB4));
    }
  }

  /** Adds digests that are not stored, each once, in ascending order; once all blobs are there. */
  addUnstored(digests: Iterable<Digest>): void {
    for (const digest of digests) {
      this.#unstored.push(digest);
      this.#newestUnstored.push(0);
    }
  }

  /** The row of a stored blob. */
  find(digest: Digest): number | undefined {
    return this.digests.find(digest);
  }

  /** The row of a digest that was added as not stored. */
  findUnstored(digest: Digest): number | undefined {
    if (this.#unstored.length === 0) return undefined;
    const row = this.#unstored.find(digest);
    return row === undefined ? undefined : this.length + row;
  }

  /** The digest of any row. */
  digestOf(row: number): Digest {
    return this.isStored(row) ? this.digests.at(row) : this.#unstored.at(row - this.length);
  }

  /** Does it have bytes? */
  isStored(row: number): boolean {
    return row < this.length;
  }

  /** In bytes; 0 where it is not stored. */
  sizeOf(row: number): number {
    if (!this.isStored(row)) return 0;
    return this.#high.at(row) * GIB4 + this.#low.at(row);
  }

  /** Of the newest of its objects; seconds since 1970. */
  newestOf(row: number): number {
    return this.isStored(row) ? this.#newest.at(row) : this.#newestUnstored.at(row - this.length);
  }

  /** Something that belongs to it was written then. */
  touch(row: number, seconds: number): void {
    if (seconds <= this.newestOf(row)) return;
    if (this.isStored(row)) this.#newest.set(row, seconds);
    else this.#newestUnstored.set(row - this.length, seconds);
  }

  get arrays(): Arrays {
    const { sha256, sha512 } = this.digests.arrays;
    const unstored = this.#unstored.arrays;
    return {
      ...{ sha256, sha512, newest: this.#newest.view(), low: this.#low.view(), high: this.#high.view() },
      ...{ unstored256: unstored.sha256, unstored512: unstored.sha512, newestUnstored: this.#newestUnstored.view() },
    };
  }

  /** Tables of ranges that follow each other, as one; all is stored in them. The sha512 rows of all of them have to be in the last. */
  static joined(tables: readonly BlobTable[]): BlobTable {
    if (tables.length === 1) return tables[0] as BlobTable;
    const all = tables.map(({ arrays }) => arrays);
    const names = Object.keys(all[0] ?? {});
    return new BlobTable(
      Object.fromEntries(
        names.map((name) => {
          const columns = all.map((arrays) => arrays[name] as Uint8Array | Uint32Array);
          const length = columns.reduce((sum, column) => sum + column.length, 0);
          const joined = columns[0] instanceof Uint32Array ? new Uint32Array(length) : new Uint8Array(length);
          let start = 0;
          for (const column of columns) {
            joined.set(column, start);
            start += column.length;
          }
          return [name, joined];
        }),
      ),
    );
  }
}
