/**
 * A run that fails or dies at each of its calls, before and after its effect; then a client pushes what was garbage, and
 * other runs go on. What holds of schedules that are drawn must hold of each of these.
 */
import { expect, test } from "vitest";
import { TIMES } from "../support.ts";
import { withSeededIds } from "./random.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import type { Choose, Verdict } from "./schedule.ts";
import { Stage } from "./stage.ts";

const FOCUS = { rests: [0], pauses: [0] };
const VERDICTS = ["before", "after", "killed before", "killed after"] as const;
const isAll = process.env["LADING_SELECTION"] === "all";
/** Of every day: where a run finds a blob, a manifest with a signature, or a tag to delete. */
const NAMES: readonly string[] = [
  "HEAD, then manifest",
  "subject with a signature",
  "tags that expire",
  "a signature under a tag",
];
const CHOSEN = SCENARIOS.filter(({ name }) => isAll || NAMES.includes(name));

/** In the order of their asking; the call of this number, from 1, is disturbed. */
function disturbing(number: number, verdict: Verdict): { readonly choose: Choose; readonly calls: () => number } {
  let calls = 0;
  return {
    calls: () => calls,
    choose: ([waiting]) => {
      if (waiting === undefined) throw new Error("nobody waits");
      const isCall = waiting.call.operation !== "wait";
      if (isCall) calls++;
      return { waiting, verdict: isCall && calls === number ? verdict : "pass", passMs: 10 };
    },
  };
}

/** Gives how many calls the run made. */
async function disturbed(
  { backend = "bucket", takes = "blobs", cast }: Scenario,
  isRipe: boolean,
  number: number,
  verdict: Verdict,
): Promise<number> {
  return await withSeededIds(number, async () => {
    const stage = new Stage(3, { backend, takes, mutation: {}, focus: FOCUS });
    const actors = await cast(stage);
    const { store, schedule } = stage;
    store.time += TIMES.horizonMs + 2000;
    if (isRipe) await stage.night(TIMES.settleMs + 1000);
    const run = disturbing(number, verdict);
    try {
      await schedule.play([async () => await stage.collects("collector", 1)], run.choose);
      await schedule.play(actors, disturbing(0, "pass").choose);
      store.time += TIMES.takeoverMs + 1000;
      await stage.night(TIMES.settleMs + 1000);
      await stage.night(TIMES.settleMs + 1000);
      await schedule.play(actors, disturbing(0, "pass").choose);
      await stage.rests();
    } catch (error) {
      throw new Error([`call ${number}, ${verdict}: ${String(error)}`, ...schedule.trace].join("\n"));
    }
    return run.calls();
  });
}

test.each(
  CHOSEN.flatMap((scenario) =>
    (isAll ? [false, true] : [true]).map((isRipe) => ({ scenario, name: scenario.name, isRipe })),
  ),
)(
  "$name: a run that is disturbed at each of its calls (one that deletes: $isRipe)",
  async ({ scenario, isRipe }) => {
    const calls = await disturbed(scenario, isRipe, 0, "pass");
    expect(calls).toBeGreaterThan(25);
    for (let number = 1; number <= calls; number++) {
      for (const verdict of VERDICTS) await disturbed(scenario, isRipe, number, verdict);
    }
  },
  3_600_000,
);
