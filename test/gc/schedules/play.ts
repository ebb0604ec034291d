/** One schedule, from its seed to its end. */
import { TIMES } from "../support.ts";
import { chooserOf, type Focus } from "./choose.ts";
import { withSeededIds } from "./random.ts";
import type { Scenario } from "./scenarios.ts";
import { Stage, type Mutation } from "./stage.ts";

/** What came of it. */
export interface Played {
  readonly stage: Stage;
  readonly trace: readonly string[];
  /** What did not hold, if something did not. */
  readonly failure: Error | undefined;
}

/** Plays a scenario as a seed says; with a `focus` not to the end of all nights. */
export async function play(scenario: Scenario, seed: number, mutation: Mutation = {}, focus?: Focus): Promise<Played> {
  const { backend = "bucket", takes = "blobs", collectors = 1, cast } = scenario;
  const stage = new Stage(seed, { backend, takes, mutation, ...(focus && { focus }) });
  const { random, store, schedule } = stage;
  const failure = await withSeededIds(seed, async () => {
    try {
      const actors = await cast(stage);
      // Mostly all is old, and often it is condemned already, long enough or just so.
      const { freshMs, horizonMs, settleMs } = TIMES;
      const aged = random.of([horizonMs + 2000, horizonMs + 2000, horizonMs - 2000, freshMs - 2000, 0]);
      store.time += focus?.ageMs ?? aged;
      const condemned = random.chance(0.6) ? random.of([1000, settleMs, settleMs + 1000, settleMs + 1000]) : undefined;
      const ago = focus === undefined ? condemned : focus.condemnedMs;
      if (ago !== undefined) await stage.night(ago);
      const runs = focus?.runs ?? (collectors === 1 ? 3 : 2);
      const collects = Array.from({ length: collectors }, (_, i) => async () => {
        await stage.collects(`collector ${"ABC"[i]}`, runs);
      });
      await schedule.play([...actors, ...collects], chooserOf(random, focus));
      if (focus === undefined) await stage.rests();
      return undefined;
    } catch (error) {
      return error as Error;
    }
  });
  return { stage, trace: schedule.trace, failure };
}

/** For people: what did not hold, how to play it again, and what was done. */
export function tell({ name }: Scenario, seed: number, { failure, trace }: Played): string {
  if (failure === undefined) return "";
  return [`${name}, LADING_SCHEDULE_SEED=${seed}: ${failure.stack}`, ...trace.slice(-400)].join("\n");
}
