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
  /** Does it have bytes, or only links? */
  readonly isStored: boolean;
  /** Every link to it, which go first. */
  readonly links: readonly string[];
}

/** Blobs that nothing needs. */
export interface BlobPlan {
  /** Rows of those that are older than the horizon, with all that belongs to them; also where that is only links. */
  readonly rows: Uints;
  /** Those that are stored and too young to go. */
  readonly young: Pick<Amount, "blobs" | "bytes">;
}

/** What nothing needs. `horizon`: in seconds since 1970. */
export function planBlobs({ blobs, live }: Marking, horizon: number): BlobPlan {
  const rows = new Uints();
  const young = { blobs: 0, bytes: 0 };
  for (let row = 0; row < blobs.rows; row++) {
    if (live.has(row)) continue;
    if (blobs.newestOf(row) < horizon) rows.push(row);
    else if (blobs.isStored(row)) {
      young.blobs++;
      young.bytes += blobs.sizeOf(row);
    }
  }
  return { rows, young };
}

/** Why a blob goes, in a few words. */
export function reasonOf({ isStored }: { readonly isStored: boolean }): string {
  return isStored ? "nothing refers to it" : "nothing refers to it, and its links lead nowhere";
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
    const digest = blobs.digestOf(row);
    const links: string[] = [];
    for (let at = this.#ends[index] as number; at < (this.#ends[index + 1] as number); at++) {
      const name = repositories[this.#tables[at] as number]?.names.at(this.#repositories[at] as number);
      links.push(layout.layerLink(name as RepositoryName, digest));
    }
    for (const { target, key } of aliases) if (target === row) links.push(key);
    return { digest, size: blobs.sizeOf(row), isStored: blobs.isStored(row), links };
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
      const { rows, repositories } = table.linksWithoutBytes;
      for (let i = 0; i < rows.length; i++) {
        const index = findSorted(this.#rows, rows.at(i), 0, this.#rows.length);
        if (index !== undefined) found(index, number, repositories.at(i));
      }
    });
  }
}
