/**
 * Which manifests of a repository may go. What may not is the collector's affair: it keeps children of what stays, whatever
 * refers to what stays, and what is younger than the horizon, whatever is decided here.
 */
import type { Digest } from "../oci/digest.ts";

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
  /** Since when it is recorded what is pulled; undefined where it is not. */
  readonly pullsRecordedSince?: Date | undefined;
  /** When a manifest was last pulled, to the day; undefined where that is not recorded. */
  readonly pulled?: (digest: Digest) => Date | undefined;
}

/** A manifest that may go, and why: a few words for a table. */
export interface Expired {
  readonly digest: Digest;
  readonly reason: string;
}

/** A tag that may go, and why. */
export interface ExpiredTag {
  readonly tag: string;
  /** What it names. */
  readonly digest: Digest;
  readonly reason: string;
  /** It goes only together with this manifest, as a signature does. */
  readonly with?: Digest;
}

/** Decides what may go. */
export interface Retention {
  /** Says what is decided: a run goes on only with what it was begun with. */
  readonly name: string;
  /** Does it ask for anything? If not, no tag is read and nothing else is asked. */
  readonly isActive: boolean;
  /** May it let something of this repository go? Only then are its tags read, and the others asked. */
  concerns(repository: string): boolean;
  /** The manifests that may go. Tagged ones are not taken: take the tag first. */
  expired(repository: RepositoryFacts): readonly Expired[];
  /** The tags that may go. What they name stays until a later run, which finds it untagged. */
  expiredTags(repository: RepositoryFacts): readonly ExpiredTag[];
  /** For how long back it has to be known what was pulled, in milliseconds; undefined where that is not asked. */
  readonly pullsWithinMs?: number | undefined;
}

/** Every manifest stays until somebody deletes it. */
export const keepAll: Retention = {
  name: "keep all",
  isActive: false,
  concerns: () => false,
  expired: () => [],
  expiredTags: () => [],
};

/** Manifests that no tag names may go. */
export const deleteUntagged: Retention = {
  name: "delete untagged",
  isActive: true,
  concerns: () => true,
  expired: ({ revisions }) =>
    revisions.filter(({ tags }) => tags.length === 0).map(({ digest }) => ({ digest, reason: "untagged" })),
  expiredTags: () => [],
};

/** What either lets go. */
export function either(one: Retention, other: Retention): Retention {
  if (!one.isActive) return other;
  if (!other.isActive) return one;
  const windows = [one, other].flatMap(({ pullsWithinMs }) => pullsWithinMs ?? []);
  return {
    name: `${one.name}; ${other.name}`,
    isActive: true,
    pullsWithinMs: windows.length === 0 ? undefined : Math.max(...windows),
    concerns: (repository) => one.concerns(repository) || other.concerns(repository),
    expired: (facts) => [...other.expired(facts), ...one.expired(facts)],
    expiredTags: (facts) => [...other.expiredTags(facts), ...one.expiredTags(facts)],
  };
}
