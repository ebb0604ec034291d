/**
 * Which manifests of a repository may go. What may not is the collector's affair: it keeps children of what stays, whatever
 * refers to what stays, and what is younger than the horizon, whatever is decided here.
 */
import { digestFrom, type Digest } from "../oci/digest.ts";

/** A manifest of a repository. */
export interface RevisionFacts {
  readonly digest: Digest;
  /** When it was last pushed. */
  readonly pushed: Date;
  /** In bytes, of the manifest itself. */
  readonly size: number;
  /** The tags that name it. */
  readonly tags: readonly string[];
}

/** A tag of a repository. */
export interface TagFacts {
  readonly tag: string;
  /** What it names. */
  readonly digest: Digest;
  /** When it was last set. */
  readonly set: Date;
}

/** What there is to decide by. */
export interface RepositoryFacts {
  readonly name: string;
  /** When it was so, by the store's clock, or earlier. */
  readonly asOf: Date;
  readonly revisions: readonly RevisionFacts[];
  readonly tags: readonly TagFacts[];
}

/** A manifest that may go, and why: a few words for a table. */
export interface Expired {
  readonly digest: Digest;
  readonly reason: string;
}

/** Decides what may go. */
export interface Retention {
  /** Says what is decided: a run goes on only with what it was begun with. */
  readonly name: string;
  /** Does it ask for anything? If not, no tag is read and `expired` is never called. */
  readonly isActive: boolean;
  /** The manifests that may go. Tagged ones are not taken: take the tag first. */
  expired(repository: RepositoryFacts): readonly Expired[];
}

/** Every manifest stays until somebody deletes it. */
export const keepAll: Retention = { name: "keep all", isActive: false, expired: () => [] };

/** Manifests that no tag names may go. */
export const deleteUntagged: Retention = {
  name: "delete untagged",
  isActive: true,
  expired: ({ revisions }) =>
    revisions.filter(({ tags }) => tags.length === 0).map(({ digest }) => ({ digest, reason: "untagged" })),
};

const SIGNATURE = /^(sha256|sha512)-([0-9a-f]+)(?:\.(?:sig|att|sbom))?$/;

/**
 * The manifest that a tag's name says it belongs to: cosign's signatures, attestations and bills of materials, and the
 * fallback of the referrers API, which cuts sha512 to 64 digits and is then none of ours to know.
 */
export function subjectOfTag(tag: string): Digest | undefined {
  const [, algorithm, hex] = SIGNATURE.exec(tag) ?? [];
  return algorithm === undefined ? undefined : digestFrom(`${algorithm}:${hex}`);
}
