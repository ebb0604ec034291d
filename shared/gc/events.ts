/** What a run tells of itself as it goes on. */
import type { Planned } from "./planned.ts";
import type { RevisionItem } from "./revision-plan.ts";
import type { Counts } from "./summary.ts";

/** Where a run is. */
export type Phase = "marks" | "marking" | "clear" | "condemn" | "manifests" | "blobs" | "uploads" | "finish" | "done";

/** What is done at the end of each; what marking does tells of itself. */
export const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  marks: "list marks",
  marking: "plan",
  clear: "clear marks",
  condemn: "condemn",
  manifests: "sweep manifests",
  blobs: "sweep blobs",
  uploads: "purge uploads",
  finish: "tidy up",
  done: "done",
};

/** How far a run is. */
export interface Progress {
  readonly phase: Phase;
  /** Of `total`, where that is known: marks, manifests or blobs, as the phase has it. */
  readonly done: number;
  readonly total: number | undefined;
  /** That were sent to the store so far. */
  readonly requests: number;
}

/** When what is eligible may be deleted: by this very run, once this run has condemned it, or, where it is condemned, from a time on. */
export type Due = "now" | "once condemned" | Date;

/** What happens in a run, for a command line that tells of it. */
export type GcEvent =
  /** All that is eligible is known, and told of next. */
  | { readonly kind: "marked"; readonly counts: Readonly<Counts> }
  /** `due`: when it is deleted, unless somebody wants it. */
  | (Planned & { readonly kind: "eligible"; readonly due: Due })
  | (Planned & { readonly kind: "deleted" });

/** A manifest or tag of a plan, as it is told of. */
export function plannedOf({ repository, tag, digest, reason }: RevisionItem): Planned {
  return { repository, digest, reason, ...(tag === undefined ? {} : { tag }) };
}
