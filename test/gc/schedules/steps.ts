/** Which step of the protocol a call to the store is; docs/garbage-collection.md has their names. */
import { STEPS as RUN_STEPS, type Step as RunStep } from "../../../shared/gc/steps.ts";
import { layout } from "../../../shared/registry/layout.ts";
import { STEPS as PUSH_STEPS, type Step as PushStep } from "../../../shared/registry/steps.ts";
import type { Call } from "./store.ts";

/** Calls on which nothing safe rests: the collector's own books, upload sessions, time that passes. */
export const BOOKKEEPING = "bookkeeping";

/** The step; `undefined` where the protocol has none for it. */
export type StepOf = (call: Call) => RunStep | PushStep | typeof BOOKKEEPING | undefined;

export const ALL_STEPS: Readonly<Record<"push" | "run", readonly string[]>> = { push: PUSH_STEPS, run: RUN_STEPS };

const MARKS = `${layout.root}_gc/marks/`;

/** What a mark that is written says. */
export function stateOf({ bytes }: Call): string {
  return (JSON.parse(Buffer.from(bytes ?? []).toString()) as { state: string }).state;
}

/** Of a run. */
export const runStepOf: StepOf = (call) => {
  const { operation, key } = call;
  const isMark = key.startsWith(MARKS);
  switch (operation) {
    case "open permit":
      return "open permit";
    case "revoke":
      return "revoke permit";
    case "revoke expired":
      return "revoke expired permits";
    case "fenced delete":
      return isMark ? "drop mark" : key.startsWith(layout.blobs) ? "delete bytes" : "delete links";
    case "list":
      if (isMark) return "list marks";
      if (key.startsWith(layout.blobs)) return "list blobs";
      return key.startsWith(layout.repositories) ? "list repositories" : BOOKKEEPING;
    case "put":
      if (isMark) return runMark(stateOf(call));
      return key.startsWith(layout.gcRuns) && key.includes("/journal/") ? "journal" : BOOKKEEPING;
    case "read":
    case "head":
    case "look":
      // The mark that names a permit is read to end it; the manifest that is swept, once more for its subject.
      if (isMark) return "revoke permit";
      if (key.startsWith(layout.blobs)) return "read manifests";
      return key.startsWith(layout.repositories) ? "read tags" : BOOKKEEPING;
    default:
      return BOOKKEEPING;
  }
};

function runMark(state: string): RunStep | undefined {
  const steps: Readonly<Record<string, RunStep>> = {
    condemned: "condemn",
    deleting: "deleting",
    swept: "swept",
    cleared: "clear mark",
  };
  return steps[state];
}

/** Of a push, a HEAD, a mount, or undo. */
export const pushStepOf: StepOf = (call) => {
  const { operation, key, isConditional = false } = call;
  if (operation === "wait" || key.includes("/_uploads/")) return BOOKKEEPING;
  const isLink = key.includes("/_layers/");
  const isRevision = key.includes("/_manifests/revisions/");
  switch (operation) {
    case "look":
      if (key.startsWith(MARKS)) return "read mark";
      return isLink || isRevision ? "read link" : undefined;
    case "head":
      return key.startsWith(layout.blobs) ? "look at bytes" : undefined;
    case "revoke":
      return "revoke permit";
    case "list":
      return key.includes("/_referrers/") ? "list referrers" : undefined;
    case "write":
    case "publish":
      return "write bytes";
    case "put":
      if (key.startsWith(MARKS)) return stateOf(call) === "cleared" ? "clear mark" : undefined;
      if (key.startsWith(layout.blobs)) return "write bytes";
      if (isLink) return isConditional ? "renew link" : "write link";
      if (isRevision) return "write revision";
      if (key.includes("/_referrers/")) return "write referrer entry";
      return key.includes("/_manifests/tags/") ? "write tag" : undefined;
    default:
      return undefined;
  }
};
