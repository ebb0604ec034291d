import type { Digest } from "../oci/digest.ts";
import { repositoryKeyOf, type RepositoryKey } from "../registry/stored-key.ts";
import type { ListedObject } from "../storage/driver.ts";
import type { BlobTable } from "./blob-table.ts";
import { Bytes, findSorted, Strings, Uints } from "./columns.ts";
import { MarkingFault } from "./faults.ts";
import { rangeCount } from "./key-ranges.ts";
import { LinksWithoutBytes } from "./links-without-bytes.ts";
import type { Arrays } from "./snapshot.ts";
import { secondsOf } from "./times.ts";

/** A link whose content has to be read, since its path does not say what it leads to. */
export interface OddLink {
  readonly key: string;
  readonly kind: "layer" | "revision" | "foreign-link";
  readonly repository: string;
  /** Absent for a link by an algorithm that we do not know. */
  readonly digest?: Digest;
  /** Seconds since 1970. */
  readonly modified: number;
}

/** An entry of our index of referrers whose referrer is no manifest of its repository. */
export interface DeadReferrer {
  readonly repository: string;
  readonly subject: Digest;
  readonly referrer: Digest;
  /** Seconds since 1970. */
  readonly modified: number;
}

/** An upload session. */
export interface Session {
  readonly repository: string;
  readonly id: string;
  /** When something was last written to it; seconds since 1970. */
  newest: number;
  /** In bytes. */
  size: number;
}

/** What is few. Plain JSON. */
interface Few {
  readonly odd: OddLink[];
  readonly deadReferrers: DeadReferrer[];
  readonly sessions: Session[];
  keys: number;
}

const LINK_BYTES = { sha256: 71, sha512: 135 } as const;

/**
 * What the repositories of a range of keys hold: for each its links and its revisions, as rows of the table of blobs in
 * ascending order. 8 bytes for each of them.
 */
export class RepositoryTable {
  readonly names: Strings;
  /** Where the rows of each repository end. */
  readonly linkEnds: Uints;
  readonly revisionEnds: Uints;
  /** Rows of the table of blobs, and when the link was written, in seconds since 1970. */
  readonly links: Uints;
  readonly linked: Uints;
  readonly revisions: Uints;
  readonly revised: Uints;
  /** Of repositories where asked for: the repository of each tag, the tag, and when it was last set. */
  readonly tagged: Uints;
  readonly tags: Strings;
  readonly tagSet: Uints;
  readonly linksWithoutBytes: LinksWithoutBytes;
  readonly few: Few;
  #lastName: string | undefined;

  constructor(arrays: Arrays = {}, few: Few = { odd: [], deadReferrers: [], sessions: [], keys: 0 }) {
    const uints = (name: string): Uints => new Uints(arrays[name] as Uint32Array<ArrayBuffer> | undefined);
    const strings = (name: string): Strings =>
      new Strings(new Bytes(arrays[`${name}Text`] as Uint8Array<ArrayBuffer> | undefined), uints(`${name}Ends`));
    this.names = strings("names");
    this.linkEnds = uints("linkEnds");
    this.revisionEnds = uints("revisionEnds");
    this.links = uints("links");
    this.linked = uints("linked");
    this.revisions = uints("revisions");
    this.revised = uints("revised");
    this.tagged = uints("tagged");
    this.tags = strings("tags");
    this.tagSet = uints("tagSet");
    this.linksWithoutBytes = new LinksWithoutBytes(arrays);
    this.few = few;
  }

  get arrays(): Arrays {
    return {
      namesText: this.names.arrays.text,
      namesEnds: this.names.arrays.ends,
      linkEnds: this.linkEnds.view(),
      revisionEnds: this.revisionEnds.view(),
      links: this.links.view(),
      linked: this.linked.view(),
      revisions: this.revisions.view(),
      revised: this.revised.view(),
      tagged: this.tagged.view(),
      tagsText: this.tags.arrays.text,
      tagsEnds: this.tags.arrays.ends,
      tagSet: this.tagSet.view(),
      ...this.linksWithoutBytes.arrays,
    };
  }

  /** Where the links of a repository begin and end. */
  linkRows(repository: number): readonly [start: number, end: number] {
    return [repository === 0 ? 0 : this.linkEnds.at(repository - 1), this.linkEnds.at(repository)];
  }

  /** Where the revisions of a repository begin and end. */
  revisionRows(repository: number): readonly [start: number, end: number] {
    return [repository === 0 ? 0 : this.revisionEnds.at(repository - 1), this.revisionEnds.at(repository)];
  }

  /** When a repository's link to a blob was written; undefined where it has none. */
  linkedAt(repository: number, blob: number): number | undefined {
    const row = findSorted(this.links, blob, ...this.linkRows(repository));
    return row === undefined ? undefined : this.linked.at(row);
  }

  /**
   * Takes a page of keys below `layout.repositories`; of repositories that `hasWantedTags`, tags too. Throws MarkingFault at a
   * link that cannot be one.
   */
  take(objects: readonly ListedObject[], blobs: BlobTable, hasWantedTags: (repository: string) => boolean): void {
    for (const object of objects) {
      this.few.keys++;
      const found = repositoryKeyOf(object.key);
      if (found.kind !== "other") this.#take(found, object, blobs, hasWantedTags);
    }
  }

  #take(
    found: Exclude<RepositoryKey, { kind: "other" }>,
    { key, size, lastModified }: ListedObject,
    blobs: BlobTable,
    hasWantedTags: (repository: string) => boolean,
  ): void {
    const modified = secondsOf(lastModified);
    const { repository } = found;
    switch (found.kind) {
      case "layer":
      case "revision": {
        const { digest, kind } = found;
        const row = blobs.find(digest);
        const sha512 = digest.startsWith("sha512:");
        // What older registries stored of content that was pushed as sha512 is a link to its sha256.
        const alias = sha512 && size === LINK_BYTES.sha256;
        if (!alias && size !== LINK_BYTES[sha512 ? "sha512" : "sha256"]) throw malformed(key);
        if (alias || (row === undefined && kind === "revision")) {
          this.few.odd.push({ key, kind, repository, digest, modified });
          return;
        }
        this.#enter(repository);
        if (row === undefined) {
          this.linksWithoutBytes.push(this.names.length - 1, digest, modified);
          return;
        }
        (kind === "layer" ? this.links : this.revisions).push(row);
        (kind === "layer" ? this.linked : this.revised).push(modified);
        (kind === "layer" ? this.linkEnds : this.revisionEnds).set(
          this.names.length - 1,
          (kind === "layer" ? this.links : this.revisions).length,
        );
        // The newest object that belongs to a blob says how old it is; a revision belongs to its manifest's bytes.
        blobs.touch(row, modified);
        return;
      }
      case "foreign-link": {
        const { signature, isRevision } = found;
        const kind = isRevision ? "revision" : "foreign-link";
        this.few.odd.push({ key, kind, repository, modified, ...(signature && { digest: signature }) });
        return;
      }
      case "tag":
        this.#enter(repository);
        if (!hasWantedTags(repository)) return;
        this.tagged.push(this.names.length - 1);
        this.tags.push(found.tag);
        this.tagSet.push(modified);
        return;
      case "referrer":
        if (!this.#hasRevision(repository, blobs.find(found.referrer))) {
          const { subject, referrer } = found;
          this.few.deadReferrers.push({ repository, subject, referrer, modified });
        }
        return;
      case "upload": {
        const last = this.few.sessions.at(-1);
        if (last?.repository === repository && last.id === found.id) {
          last.newest = Math.max(last.newest, modified);
          last.size += size;
        } else {
          this.few.sessions.push({ repository, id: found.id, newest: modified, size });
        }
      }
    }
  }

  /** A repository's keys follow each other. */
  #enter(repository: string): void {
    if (repository === this.#last()) return;
    this.names.push(repository);
    this.#lastName = repository;
    this.linkEnds.push(this.links.length);
    this.revisionEnds.push(this.revisions.length);
  }

  /** The revisions of a repository are listed before its referrers. */
  #hasRevision(repository: string, row: number | undefined): boolean {
    if (row === undefined || this.#last() !== repository) return false;
    return findSorted(this.revisions, row, ...this.revisionRows(this.names.length - 1)) !== undefined;
  }

  #last(): string | undefined {
    if (this.#lastName === undefined && this.names.length > 0) this.#lastName = this.names.at(this.names.length - 1);
    return this.#lastName;
  }
}

/**
 * Names of repositories between which the next run may cut its listing: about as many keys lie between them. In the order of
 * their keys, as the tables are, which is not that of names: `team-x/` comes before `team/`.
 */
export function listingCuts(tables: readonly RepositoryTable[]): string[] {
  const total = tables.reduce((sum, { few }) => sum + few.keys, 0);
  const links = tables.reduce((sum, table) => sum + table.links.length, 0);
  const count = rangeCount(total / 1000);
  const cuts: string[] = [];
  let before = 0;
  for (const table of tables) {
    for (let i = 0; i < table.names.length && cuts.length < count - 1; i++) {
      if (before + table.linkEnds.at(i) >= (links * (cuts.length + 1)) / count) cuts.push(table.names.at(i));
    }
    before += table.links.length;
  }
  return cuts;
}

function malformed(key: string): MarkingFault {
  return new MarkingFault(`the link ${key} is malformed; "lading verify" says more`);
}
