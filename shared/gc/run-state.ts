import type { Phase } from "./events.ts";
import type { Counts } from "./summary.ts";

/** A run that could not delete so many things, and has not deleted one, ends: the store deletes nothing. */
const MOST_FAILED = 1000;

/** What is kept of a run between two steps, besides its snapshot. Plain JSON. */
export interface RunState {
  readonly id: string;
  /** ISO 8601. */
  readonly begun: string;
  phase: Phase;
  /** How much of the phase is done. */
  cursor: number;
  /** Batches of the journal that `counts` has, by their names. Others were written by a process that was killed, or stood still. */
  readonly journal: string[];
  /** Manifests and tags that this run has deleted, by their place in the plan. */
  deletedManifests: number[];
  /** How many things could not be deleted, and why the first one. */
  failed?: { readonly count: number; readonly first: string };
  counts: Counts;
}

/** Adds things that could not be deleted. Throws what `failureOf` gives where it is no use to go on. */
export function noteFailed(state: RunState, count: number, failure: string): void {
  const { failed = { count: 0, first: failure }, counts } = state;
  const all = { count: failed.count + count, first: failed.first };
  state.failed = all;
  const isAny = counts.deleted + counts.deletedManifests + counts.deletedTags > 0;
  if (!isAny && all.count >= MOST_FAILED) throw errorOf(all);
}

/** That some things could not be deleted, where that is so: all else is done nevertheless. */
export function failureOf({ failed }: RunState): Error | undefined {
  return failed === undefined ? undefined : errorOf(failed);
}

function errorOf({ count, first }: NonNullable<RunState["failed"]>): Error {
  return new Error(`${count} of what was to be deleted could not be; the first: ${first}`);
}
