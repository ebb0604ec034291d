/** What the protocol rests on. A mutant is a model with one of these dropped, reversed, or of another size. */
export interface Times {
  /** How long a promise holds. */
  readonly GRACE: number;
  /** A link older than this is written again. */
  readonly FRESH: number;
  /** From the first answer of a promise to its last. */
  readonly T: number;
  /** How long the store carries out a delete after its permit was given. */
  readonly E: number;
  /** How long a mark is condemned before a run begins that may sweep it. */
  readonly SETTLE: number;
  /** A mark that is `deleting` for longer may be taken over; tombstones older than this are deleted. */
  readonly D: number;
  /** Nothing younger is a candidate. */
  readonly HORIZON: number;
}

/** The smallest times that keep all that docs/garbage-collection.md says of their sizes. */
export function times(changes: Partial<Times> = {}): Times {
  const { GRACE, FRESH, T, E } = { GRACE: 1, FRESH: 0, T: 0, E: 0, ...changes };
  const above = Math.max(T, E) + 1;
  return { GRACE, FRESH, T, E, SETTLE: above, D: above, HORIZON: GRACE + FRESH + 2 * T, ...changes };
}

export const RULES = {
  /** A mark changes only from what was read. */
  compareAndSwap: true,
  /** No two marks have one ETag. */
  nonce: true,
  /** The store refuses deletes whose permit is over. */
  permits: true,
  /** A permit is dated before `deleting` is put, and not by an answer that may come late. */
  permitDatedBefore: true,
  /** Who takes a mark over ends its permit first (folders). */
  takeoverRevokes: true,
  /** A run begins by ending the permits that are older than E (folders). */
  expiredAreRevoked: true,
  /** ... after it has listed the marks. */
  revokedAfterMarks: true,
  /** Marks are deleted with a permit. */
  tombstonePermit: true,
  /** `swept` and `cleared` stay for D. */
  tombstonesStay: true,

  /** A promise reads the mark. */
  promiseReadsMark: true,
  /** Where there is any mark, link and bytes are read again after it. */
  promiseReadsAgain: true,
  /** A link that is older than FRESH is written again. */
  touch: true,
  /** That write does not make a link anew that is gone. */
  touchIfMatch: true,
  /** A commit reads the mark, before it writes. */
  commitReadsMark: true,
  commitReadsMarkFirst: true,
  /** A commit that goes again looks whether the bytes are still there. */
  commitLooksAgain: true,
  /** What took more than T is done again. */
  checkTime: true,
  /** The check comes after the last write. */
  checkAfterWrite: true,

  /** The bytes of a manifest are written, also if they are there. */
  manifestBytesAlways: true,
  /** A push of a manifest reads the mark of its digest. */
  manifestReadsOwnMark: true,
  /** ... and of its revision. */
  manifestReadsRevisionMark: true,
  childrenCleared: true,
  referrersCleared: true,
  subjectCleared: true,
  /** The time is checked once more between the tags and the answer. */
  checkAfterTags: true,
  /** Where retention takes tags, a push of one reads its mark. */
  tagReadsMark: true,
  /** The time since then is checked after the tag and its history were written. */
  tagCheckTime: true,

  /** A run reads the marks before anything else. */
  marksFirst: true,
  /** Only what was condemned for SETTLE is swept. */
  settle: true,
  /** A fault while marking ends the run. */
  faultEndsRun: true,
  /** A child or referrer is a candidate only if each parent, or its subject, is one, and goes only after these. */
  parentRule: true,
  /** ... and only if each of these was deleted by this run. */
  parentsDeleted: true,
  /** A tag named after a manifest goes with that, under its mark. */
  namedTogether: true,
  linksBeforeBytes: true,
  /** A link without bytes is a candidate as a blob is. */
  linksAlone: true,
  /** Bytes that were not listed are left: a run deletes only links where it saw nothing else. */
  unlistedBytesStay: true,
  /** The history of a tag goes before its link. */
  historyBeforeTag: true,
  /** Just before a tag goes, the age of its link is looked at once more. */
  tagLookedAt: true,
  /** ... after the permit was given. */
  lookUnderPermit: true,
};

export type Rules = Readonly<typeof RULES>;

/** Where permits come from: a bucket refuses signed requests that have expired, a folder renames out of a folder. */
export type Backend = "bucket" | "folder";
