import type { Digest } from "../oci/digest.ts";
import type { BlobTable } from "./blob-table.ts";
import { Bytes, Strings, Uints } from "./columns.ts";
import type { Arrays } from "./snapshot.ts";

/**
 * Links of some repositories to digests of which there were no bytes when the blobs were listed: of blobs that came later,
 * or leading nowhere. 8 bytes for each, and 79 more until `addUnstored` has given its digest a row.
 */
export class LinksWithoutBytes {
  /** The number of the repository of each, and the row of its digest in the table of blobs. */
  readonly repositories: Uints;
  readonly rows: Uints;
  #digests: Strings;
  /** Seconds since 1970. */
  #modified: Uints;

  constructor(arrays: Arrays = {}) {
    const uints = (name: string): Uints => new Uints(arrays[`unstored${name}`] as Uint32Array<ArrayBuffer> | undefined);
    this.repositories = uints("Repositories");
    this.rows = uints("Rows");
    this.#digests = new Strings(
      new Bytes(arrays["unstoredText"] as Uint8Array<ArrayBuffer> | undefined),
      uints("Ends"),
    );
    this.#modified = uints("Modified");
  }

  /** For a snapshot. */
  get arrays(): Arrays {
    return {
      unstoredRepositories: this.repositories.view(),
      unstoredRows: this.rows.view(),
      unstoredText: this.#digests.arrays.text,
      unstoredEnds: this.#digests.arrays.ends,
      unstoredModified: this.#modified.view(),
    };
  }

  push(repository: number, digest: Digest, modified: number): void {
    this.repositories.push(repository);
    this.#digests.push(digest);
    this.#modified.push(modified);
  }

  /** The digests that have no rows yet. */
  *digests(): Generator<Digest> {
    for (let i = 0; i < this.#digests.length; i++) yield this.#digests.at(i) as Digest;
  }

  /** Looks up the rows of all digests, and tells the table how young the links are. */
  resolve(blobs: BlobTable): void {
    for (let i = 0; i < this.#digests.length; i++) {
      const row = blobs.findUnstored(this.#digests.at(i) as Digest);
      if (row === undefined) throw new Error(`${this.#digests.at(i)} has no row`);
      blobs.touch(row, this.#modified.at(i));
      this.rows.push(row);
    }
    this.#digests = new Strings();
    this.#modified = new Uints();
  }
}

/** Gives each digest that only these links have a row in the table of blobs, behind what is stored. */
export function addUnstored(blobs: BlobTable, links: readonly LinksWithoutBytes[]): void {
  const digests = links.flatMap((some) => [...some.digests()]).sort();
  blobs.addUnstored(digests.filter((digest, index) => digest !== digests[index - 1]));
  for (const some of links) some.resolve(blobs);
}
