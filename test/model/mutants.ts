/** The protocol with one rule dropped, reversed or of another size, and the scenario in which that is seen. */
import type { Rules, Times } from "./rules.ts";

export interface Mutant {
  readonly what: string;
  readonly rules?: Partial<Rules>;
  readonly times?: Partial<Times>;
  readonly scenario: string;
}

const HEAD = "HEAD, then manifest";
const UPLOAD = "upload, then manifest";
const FOLDER = "upload, then manifest, in a folder";
const INDEX = "index with a child";
const SUBJECT = "subject with a signature";
const TAG = "a tag that retention takes";
const OTHER = "a tag that retention takes, other registry";
const NAMED = "a manifest with a signature under a tag";
const MOUNT = "mount, then manifest";

/** The checker must find a violation in each. */
export const MUTANTS: readonly Mutant[] = [
  { what: "stale links are not written again", rules: { touch: false }, times: { FRESH: 1 }, scenario: HEAD },
  { what: "no compare-and-swap", rules: { compareAndSwap: false }, scenario: UPLOAD },
  { what: "no nonce: the ETag of another condemnation is the same", rules: { nonce: false }, scenario: HEAD },
  { what: "deletes without a permit", rules: { permits: false }, scenario: UPLOAD },
  { what: "a promise does not read the mark", rules: { promiseReadsMark: false }, scenario: MOUNT },
  {
    what: "link and bytes are not read again after the mark",
    rules: { promiseReadsAgain: false },
    times: { T: 2, E: 2, SETTLE: 3, D: 3 },
    scenario: HEAD,
  },
  { what: "a run may sweep what it has just seen condemned", rules: { settle: false }, scenario: HEAD },
  { what: "SETTLE is not above T", times: { T: 1, SETTLE: 1 }, scenario: UPLOAD },
  { what: "the time is not checked", rules: { checkTime: false }, scenario: UPLOAD },
  { what: "the time is checked before the last write", rules: { checkAfterWrite: false }, scenario: MOUNT },
  { what: "marks are listed after the rest", rules: { marksFirst: false }, scenario: UPLOAD },
  { what: "a listing that fails is ignored", rules: { faultEndsRun: false }, scenario: UPLOAD },
  { what: "HORIZON is GRACE", times: { FRESH: 1, HORIZON: 1 }, scenario: HEAD },
  { what: "tombstones do not stay", rules: { tombstonesStay: false }, scenario: UPLOAD },
  { what: "a commit does not read the mark", rules: { commitReadsMark: false }, scenario: UPLOAD },
  {
    what: "a commit reads the mark after it wrote the bytes",
    rules: { commitReadsMarkFirst: false },
    scenario: UPLOAD,
  },
  {
    what: "the bytes of a manifest are left as they are",
    rules: { manifestBytesAlways: false },
    scenario: "manifest again",
  },
  {
    what: "the mark of a manifest's digest is not read",
    rules: { manifestReadsOwnMark: false },
    scenario: "manifest again",
  },
  { what: "the mark of a revision is not read", rules: { manifestReadsRevisionMark: false }, scenario: "tag again" },
  { what: "the time is not checked after the tags", rules: { checkAfterTags: false }, scenario: "tag again" },
  { what: "the revision marks of children are not cleared", rules: { childrenCleared: false }, scenario: INDEX },
  { what: "the revision marks of referrers are not cleared", rules: { referrersCleared: false }, scenario: SUBJECT },
  { what: "a child goes before its parents", rules: { parentRule: false }, scenario: INDEX },
  { what: "a signature goes before its subject", rules: { parentRule: false }, scenario: SUBJECT },
  {
    what: "a permit is dated with the answer to its own PUT",
    rules: { permitDatedBefore: false },
    scenario: UPLOAD,
  },
  { what: "SETTLE is not above E", times: { E: 2, SETTLE: 1, D: 3 }, scenario: UPLOAD },
  { what: "a mark is taken over while its permit holds", times: { E: 2, SETTLE: 3, D: 0 }, scenario: UPLOAD },
  { what: "who takes a mark over does not revoke its permit", rules: { takeoverRevokes: false }, scenario: FOLDER },
  { what: "expired permits are not revoked", rules: { expiredAreRevoked: false }, scenario: FOLDER },
  {
    what: "expired permits are revoked before the marks are listed",
    rules: { revokedAfterMarks: false },
    scenario: FOLDER,
  },
  { what: "a push of a tag does not read its mark", rules: { tagReadsMark: false }, scenario: TAG },
  { what: "the time is not checked after a tag", rules: { tagCheckTime: false }, scenario: TAG },
  { what: "the link of a tag goes before its history", rules: { historyBeforeTag: false }, scenario: TAG },
  { what: "the age of the link is not looked at again", rules: { tagLookedAt: false }, scenario: OTHER },
  { what: "the age of the link is looked at before the permit", rules: { lookUnderPermit: false }, scenario: OTHER },
  { what: "a signature's tag goes under its own mark alone", rules: { namedTogether: false }, scenario: NAMED },
  { what: "a tag is condemned by a HORIZON of GRACE", times: { T: 1, HORIZON: 1 }, scenario: TAG },
  { what: "a link without bytes is no candidate", rules: { linksAlone: false }, scenario: MOUNT },
  { what: "marks are deleted without a permit", rules: { tombstonePermit: false }, scenario: UPLOAD },
];

/** These turned out to make no difference, alone: something else keeps what they keep. */
export const HARMLESS: readonly (Mutant & { readonly because: string })[] = [
  {
    what: "bytes go before links",
    rules: { linksBeforeBytes: false },
    scenario: HEAD,
    because: "a promise looks at both; the order is for those who read without promises",
  },
  {
    what: "the revision mark of the subject is not cleared",
    rules: { subjectCleared: false },
    scenario: SUBJECT,
    because: "a signature does not keep its subject",
  },
  {
    what: "a child goes though its parent was left",
    rules: { parentsDeleted: false },
    scenario: INDEX,
    because: "who pushes the parent clears the mark of the child too; who dies in between has promised nobody anything",
  },
  {
    what: "a signature goes though its subject was left",
    rules: { parentsDeleted: false },
    scenario: SUBJECT,
    because: "who pushes the subject clears the mark of the signature too; a subject that nobody wants keeps nothing",
  },
  {
    what: "bytes that were not listed are deleted with their links",
    rules: { unlistedBytesStay: false },
    scenario: "upload to a link without bytes",
    because: "they are deleted under the same mark; but no journal has them, and nobody could bring them back",
  },
];
