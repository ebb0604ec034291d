/** The code with a rule of the protocol broken, through its settings or by what comes between it and the store. */
import { layout } from "../../../shared/registry/layout.ts";
import { TIMES } from "../support.ts";
import type { Focus } from "./choose.ts";
import {
  blindTo,
  blindToMarkOf,
  bytesOnlyWhereMissing,
  everlasting,
  failedPagesAreEmpty,
  marksAfterBytes,
  unconditional,
  withFenced,
} from "./mutations.ts";
import type { Mutation } from "./stage.ts";

export interface Mutant {
  /** By the name of the model's, where it has one. */
  readonly what: string;
  readonly scenario: string;
  readonly mutation: Mutation;
  readonly focus?: Focus;
}

const SECOND = 1000;
const AGE = TIMES.horizonMs + 2 * SECOND;
/** All is old, nobody waits for long, and a run begins that may delete. */
const RIPE: Focus = {
  ageMs: AGE,
  condemnedMs: TIMES.settleMs + SECOND,
  rests: [0, SECOND],
  pauses: [0, SECOND],
  verdicts: [],
};
/** Two nights pass while somebody does something else. */
const NIGHTS: Focus = {
  ageMs: AGE,
  rests: [0, SECOND, 2 * TIMES.takeoverMs],
  pauses: [TIMES.settleMs + SECOND],
  verdicts: [],
};
/** A run does not hear of its deletes, and others go on when they may. */
const LATE: Focus = {
  ...RIPE,
  rests: [TIMES.takeoverMs + SECOND],
  pauses: [TIMES.takeoverMs + SECOND],
  verdicts: ["late", "killed before", "killed after"],
};

const HEAD = "HEAD, then manifest";
const UPLOAD = "upload, then manifest";
const FOLDER = "upload, then manifest, in a folder";
const INDEX = "index with a child";
const SUBJECT = "subject with a signature";
const MOUNT = "mount, then manifest";
const TAG = "tag again";

/** A schedule must violate what always holds. */
export const MUTANTS: readonly Mutant[] = [
  {
    what: "stale links are not written again",
    scenario: HEAD,
    focus: NIGHTS,
    mutation: { pushTimes: { freshMs: Infinity } },
  },
  { what: "no compare-and-swap", scenario: UPLOAD, focus: RIPE, mutation: { push: unconditional, run: unconditional } },
  { what: "deletes without a permit", scenario: UPLOAD, focus: LATE, mutation: everlasting(() => true) },
  {
    what: "a promise does not read the mark",
    scenario: MOUNT,
    focus: RIPE,
    mutation: { push: blindTo(layout.blobMarks) },
  },
  {
    what: "the time is not checked",
    scenario: UPLOAD,
    focus: { ...RIPE, pauses: [TIMES.settleMs + SECOND] },
    mutation: { pushTimes: { promiseMs: Infinity } },
  },
  { what: "a listing that fails is ignored", scenario: UPLOAD, mutation: { run: failedPagesAreEmpty } },
  { what: "a commit does not read the mark", scenario: UPLOAD, focus: RIPE, mutation: { push: blindToMarkOf("b") } },
  {
    what: "a commit reads the mark after it wrote the bytes",
    scenario: UPLOAD,
    focus: RIPE,
    mutation: { push: marksAfterBytes },
  },
  {
    what: "the bytes of a manifest are left as they are",
    scenario: "manifest again",
    focus: RIPE,
    mutation: { push: bytesOnlyWhereMissing },
  },
  {
    what: "the mark of a manifest's digest is not read",
    scenario: "manifest again",
    focus: RIPE,
    mutation: { push: blindTo(layout.blobMarks) },
  },
  {
    what: "the mark of a revision is not read",
    scenario: TAG,
    focus: RIPE,
    mutation: { push: blindTo(layout.revisionMarks) },
  },
  {
    what: "a push of a tag does not read its mark",
    scenario: "tags that expire",
    focus: RIPE,
    mutation: { push: blindTo(layout.tagMarks) },
  },
  {
    what: "the revision marks of children are not cleared",
    scenario: INDEX,
    focus: RIPE,
    mutation: { push: blindToMarkOf("c") },
  },
  {
    what: "the revision marks of referrers are not cleared",
    scenario: SUBJECT,
    focus: RIPE,
    mutation: { push: blindToMarkOf("s") },
  },
  {
    what: "a mark is taken over while its permit holds",
    scenario: UPLOAD,
    focus: { ...RIPE, verdicts: ["late"] },
    mutation: { pushTimes: { takeoverMs: 0 }, runTimes: { takeoverMs: 0 } },
  },
  {
    what: "who takes a mark over does not revoke its permit",
    scenario: FOLDER,
    focus: LATE,
    mutation: withFenced(() => ({ revoke: async () => undefined })),
  },
];
