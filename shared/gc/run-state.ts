import { asError } from "../storage/as-error.ts";
import type { Phase } from "./events.ts";
import type { Counts } from "./summary.ts";
import { isPassing } from "./tried.ts";

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
  /** The last mark that was listed, while marks are. */
  after?: string | undefined;
  /** Batches of the journal that `counts` has, by their names. Others were written by a process that was killed, or stood still. */
  readonly journal: string[];
  /** Manifests and tags that this run has deleted, by their place in the plan. */
  deletedManifests: number[];
  failed?: Failed;
  counts: Counts;
}

/** That some things could not be deleted. */
export interface Failed {
  readonly count: number;
  /** Why the first one: a sentence. */
  readonly first: string;
  /** One of them at least since the store was in trouble, so that it may go soon. */
  readonly passing?: boolean;
}

/** Some of what was to be deleted could not be. */
export class LeftOverError extends Error {
  override readonly name = "LeftOverError";
  /** It may go soon: see `Failed`. */
  readonly isPassing: boolean;

  constructor({ count, first, passing = false }: Failed) {
    super(`${count} of what was to be deleted could not be; the first: ${first}`);
    this.isPassing = passing;
  }
}

/** Adds things that could not be deleted. Throws what `failureOf` gives where it is no use to go on. */
export function noteFailed(state: RunState, { count, first, passing }: Failed): void {
  const { failed, counts } = state;
  const isPassing = passing === true || failed?.passing === true;
  const all = {
    count: (failed?.count ?? 0) + count,
    first: failed?.first ?? first,
    ...(isPassing && { passing: true }),
  };
  state.failed = all;
  const isAny = counts.deleted + counts.deletedManifests + counts.deletedTags > 0;
  if (!isAny && all.count >= MOST_FAILED) throw new LeftOverError(all);
}

/**
 * Adds something that needed nothing else to be done, and could not be deleted. Throws it where the store is in trouble, so
 * that all would fail.
 */
export function noteError(state: RunState, error: Error): void {
  if (isPassing(error)) throw error;
  noteFailed(state, { count: 1, first: error.message });
}

/** What the work gives; undefined where it failed, of which `noteError` says what becomes. */
export async function unlessItFails<T>(state: RunState, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    noteError(state, asError(error));
    return undefined;
  }
}

/** That some things could not be deleted, where that is so: all else is done nevertheless. */
export function failureOf({ failed }: RunState): LeftOverError | undefined {
  return failed === undefined ? undefined : new LeftOverError(failed);
}
