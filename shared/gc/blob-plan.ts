import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { findSorted, Uints } from "./columns.ts";
import type { Marking } from "./marking.ts";
import type { Amount } from "./summary.ts";

/** A blob that may go, with the keys that go before it. */
export interface BlobItem {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Every link to it, which go first. */
  readonly links: readonly string[];
}

/** Rows of the blobs that nothing needs and that are older than the horizon, with all that belongs to them. */
export function planBlobs({ blobs, live }: Marking, horizon: number): Uints {
  const rows = new Uints();
  for (let row = 0; row < blobs.length; row++) {
    if (!live.has(row) && blobs.newest.at(row) < horizon) rows.push(row);
  }
  return rows;
}

/** Blobs that nothing needs and that are too young to go. */
export function youngBlobs({ blobs, live }: Marking, horizon: number): Pick<Amount, "blobs" | "bytes"> {
  const young = { blobs: 0, bytes: 0 };
  for (let row = 0; row < blobs.length; row++) {
    if (live.has(row) || blobs.newest.at(row) < horizon) continue;
    young.blobs++;
    young.bytes += blobs.sizeOf(row);
  }
  return young;
}

/** Which repositories have links to some blobs. 8 bytes for each link, and nothing for links to others. */
export class LinksOf {
  readonly #marking: Marking;
  readonly #rows: Uints;
  readonly #ends: Uint32Array;
  readonly #tables: Uint8Array;
  readonly #repositories: Uint32Array;

  /** `rows`: of the blobs, ascending. */
  constructor(marking: Marking, rows: Uints) {
    this.#marking = marking;
    this.#rows = rows;
    const counts = new Uint32Array(rows.length + 1);
    this.#each((index) => (counts[index + 1] = (counts[index + 1] as number) + 1));
    for (let i = 0; i < rows.length; i++) counts[i + 1] = (counts[i + 1] as number) + (counts[i] as number);
    const total = counts[rows.length] as number;
    this.#tables = new Uint8Array(total);
    this.#repositories = new Uint32Array(total);
    const next = counts.slice();
    this.#each((index, table, repository) => {
      const at = next[index] as number;
      this.#tables[at] = table;
      this.#repositories[at] = repository;
      next[index] = at + 1;
    });
    this.#ends = counts;
  }

  /** A blob by its place in the rows. */
  itemAt(index: number): BlobItem {
    const { blobs, repositories, aliases } = this.#marking;
    const row = this.#rows.at(index);
    const digest = blobs.digests.at(row);
    const links: string[] = [];
    for (let at = this.#ends[index] as number; at < (this.#ends[index + 1] as number); at++) {
      const name = repositories[this.#tables[at] as number]?.names.at(this.#repositories[at] as number);
      links.push(layout.layerLink(name as RepositoryName, digest));
    }
    for (const { target, key } of aliases) if (target === row) links.push(key);
    return { digest, size: blobs.sizeOf(row), links };
  }

  #each(found: (index: number, table: number, repository: number) => void): void {
    this.#marking.repositories.forEach((table, number) => {
      for (let repository = 0; repository < table.names.length; repository++) {
        const [start, end] = table.linkRows(repository);
        for (let i = start; i < end; i++) {
          const index = findSorted(this.#rows, table.links.at(i), 0, this.#rows.length);
          if (index !== undefined) found(index, number, repository);
        }
      }
    });
  }
}
