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
const MOUNT = "mount, then manifest";

/** The checker must find a violation in each. */
export const MUTANTS: readonly Mutant[] = [
  { what: "stale links are not written again", rules: { touch: false }, times: { FRESH: 1 }, scenario: HEAD },
  { what: "no compare-and-swap", rules: { compareAndSwap: false }, scenario: UPLOAD },
  { what: "no nonce: the ETag of another condemnation is the same", rules: { nonce: false }, scenario: HEAD },
  { what: "deletes without a permit", rules: { permits: false }, scenario: UPLOAD },
  { what: "a promise does not read the mark", rules: { promiseReadsMark: false }, scenario: MOUNT },
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
];
