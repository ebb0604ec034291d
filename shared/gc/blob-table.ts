import type { Digest } from "../oci/digest.ts";
import { blobKeyOf } from "../registry/stored-key.ts";
import type { ListedObject } from "../storage/driver.ts";
import { Bytes, Uints } from "./columns.ts";
import { DigestTable } from "./digest-table.ts";
import type { Arrays } from "./snapshot.ts";
import { secondsOf } from "./times.ts";

const GIB4 = 2 ** 32;

/** The blobs that are stored, in the order of their digests: 44 bytes for each. */
export class BlobTable {
  readonly digests: DigestTable;
  /** Of the newest of its objects; seconds since 1970. */
  readonly newest: Uints;
  readonly #low: Uints;
  readonly #high: Uints;

  constructor(digests = new DigestTable(), newest = new Uints(), low = new Uints(), high = new Uints()) {
    this.digests = digests;
    this.newest = newest;
    this.#low = low;
    this.#high = high;
  }

  get length(): number {
    return this.newest.length;
  }

  /** Takes a page of keys below `layout.blobs`. What is no blob is passed over. */
  take(objects: readonly ListedObject[]): void {
    for (const { key, size, lastModified } of objects) {
      const digest = blobKeyOf(key);
      if (digest === undefined) continue;
      this.digests.push(digest);
      this.newest.push(secondsOf(lastModified));
      this.#low.push(size % GIB4);
      this.#high.push(Math.floor(size / GIB4));
    }
  }

  find(digest: Digest): number | undefined {
    return this.digests.find(digest);
  }

  /** In bytes. */
  sizeOf(row: number): number {
    return this.#high.at(row) * GIB4 + this.#low.at(row);
  }

  /** Something that belongs to it was written then. */
  touch(row: number, seconds: number): void {
    if (seconds > this.newest.at(row)) this.newest.set(row, seconds);
  }

  get arrays(): Arrays {
    const { sha256, sha512 } = this.digests.arrays;
    return { sha256, sha512, newest: this.newest.view(), low: this.#low.view(), high: this.#high.view() };
  }

  static from(arrays: Arrays): BlobTable {
    const bytes = (name: string): Bytes => new Bytes(arrays[name] as Uint8Array<ArrayBuffer>);
    const uints = (name: string): Uints => new Uints(arrays[name] as Uint32Array<ArrayBuffer>);
    return new BlobTable(
      new DigestTable(bytes("sha256"), bytes("sha512")),
      uints("newest"),
      uints("low"),
      uints("high"),
    );
  }

  /** Tables of ranges that follow each other, as one. The sha512 rows of all of them have to be in the last. */
  static joined(tables: readonly BlobTable[]): BlobTable {
    if (tables.length === 1) return tables[0] as BlobTable;
    const all = tables.map(({ arrays }) => arrays);
    const names = Object.keys(all[0] ?? {});
    return BlobTable.from(
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
