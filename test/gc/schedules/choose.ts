/** Who goes next, by a seed: so that a few switches at the steps that matter are likely to be the wrong ones. */
import type { Random } from "./random.ts";
import type { Choose, Verdict, Waiting } from "./schedule.ts";
import { BOOKKEEPING } from "./steps.ts";
import { TIMES } from "../support.ts";

/** What else would be drawn is said here: where something is looked for that takes these to be seen. */
export interface Focus {
  /** For how long clients, and collectors, do nothing. In ms, one of them. */
  readonly rests?: readonly number[];
  readonly pauses?: readonly number[];
  /** How old everything is when it begins; and how long ago a run was that condemned it, if one was. In ms. */
  readonly ageMs?: number;
  readonly condemnedMs?: number;
  /** Only these may become of calls. */
  readonly verdicts?: readonly Verdict[];
  /** Does the clock of processes stand still, or go on with the store's? */
  readonly clockStands?: boolean;
}

/** What may become of a call, besides what it should. */
function disturbances({ process, call: { operation } }: Waiting): readonly Verdict[] {
  if (operation === "wait") return ["killed before"];
  if (operation === "fenced delete")
    return ["before", "after", "killed before", "killed after", "late", "late", "late"];
  return process.kind === "user" ? ["before", "after"] : ["before", "after", "killed before", "killed after"];
}

/**
 * Each who acts has a priority, and the highest goes on. At some of the steps that matter whoever would take one is given a
 * lower priority, or sleeps until others have taken a few; time passes, or something fails (after Burckhardt and others, A
 * Randomized Scheduler with Probabilistic Guarantees of Finding Bugs, 2010). How often is drawn for the whole schedule: some
 * are calm and some are wild.
 */
export function chooserOf(random: Random, focus: Focus = {}): Choose {
  const change = random.of([0.04, 0.1, 0.1, 0.2, 0.4]);
  const pass = random.of([0, 0, 0.1, 0.4]);
  const fault = focus.verdicts === undefined ? random.of([0, 0.02, 0.05]) : 0.1;
  const slow = random.of([0, 0, 0.05]);
  let faults = focus.verdicts === undefined ? random.of([0, 0, 1, 1, 2, 4]) : 2;
  const priorities = new Map<string, number>();
  /** Until how many steps that matter were taken. */
  const sleepers = new Map<string, number>();
  let taken = 0;
  let lowest = 0;
  const priorityOf = ({ process: { actor } }: Waiting): number => {
    const known = priorities.get(actor);
    if (known !== undefined) return known;
    const drawn = random.next();
    priorities.set(actor, drawn);
    return drawn;
  };
  const { promiseMs, permitMs, takeoverMs, settleMs, graceMs, horizonMs } = TIMES;
  const jumps = [1000, promiseMs / 2, promiseMs / 2, promiseMs - 5000, promiseMs + 1000, permitMs + 1000];
  const leaps = [takeoverMs + 1000, takeoverMs + 1000, settleMs + 1000, settleMs + 1000, graceMs, horizonMs + 1000];

  const next = (waiting: readonly Waiting[]): Waiting => {
    for (const { process, isLate } of waiting) {
      // A request that nobody waits for any more comes some time later.
      if (isLate && !sleepers.has(process.actor)) sleepers.set(process.actor, taken + random.upTo(50));
    }
    const awake = waiting.filter(({ process: { actor } }) => (sleepers.get(actor) ?? 0) <= taken);
    const able = awake.length > 0 ? awake : waiting;
    const top = Math.max(...able.map(priorityOf));
    const own = able.filter((one) => priorityOf(one) === top);
    const [first] = own;
    if (first === undefined) throw new Error("nobody waits");
    return random.chance(0.5) ? first : random.of(own);
  };
  const givesWay = (actor: string): void => {
    if (random.chance(0.4)) priorities.set(actor, random.chance(0.7) ? --lowest : random.next());
    else {
      priorities.set(actor, 1 + random.next());
      sleepers.set(actor, taken + 1 + random.upTo(random.of([3, 12, 25])));
    }
  };

  return (waiting) => {
    let chosen = next(waiting);
    let passMs = random.upTo(100);
    if (isCrossing(chosen) && random.chance(change)) {
      givesWay(chosen.process.actor);
      chosen = next(waiting);
      if (random.chance(pass)) passMs += random.of(random.chance(0.7) ? jumps : leaps);
    }
    if (isCrossing(chosen)) taken++;
    const { operation } = chosen.call;
    const often = operation === "fenced delete" ? 6 : isCrossing(chosen) ? 2 : 0.5;
    if (!chosen.isLate && faults > 0 && random.chance(fault * often)) {
      const { verdicts } = focus;
      const possible = disturbances(chosen).filter((verdict) => verdicts?.includes(verdict) ?? true);
      if (possible.length > 0) {
        faults--;
        return { waiting: chosen, verdict: random.of(possible), passMs };
      }
    }
    if (operation === "put" && random.chance(slow)) {
      return { waiting: chosen, verdict: "slow", passMs, slowMs: random.of([...jumps, takeoverMs + 1000]) };
    }
    return { waiting: chosen, verdict: "pass", passMs };
  };
}

/** Where it matters who goes first. */
function isCrossing({ step, call: { operation } }: Waiting): boolean {
  return operation === "wait" || (step !== undefined && !ASIDE.has(step));
}

const ASIDE: ReadonlySet<string> = new Set([BOOKKEEPING, "open permit", "revoke permit", "journal", "list referrers"]);
