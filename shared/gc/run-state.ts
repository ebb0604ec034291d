import type { Phase } from "./events.ts";
import type { Counts } from "./summary.ts";

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
  counts: Counts;
}
