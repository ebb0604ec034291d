/** One schedule, from its seed to its end. */
import { TIMES } from "../support.ts";
import { chooserOf, type Focus } from "./choose.ts";
import { withSeededIds } from "./random.ts";
import type { Scenario } from "./scenarios.ts";
import { Script } from "./script.ts";
import { Stage, type Mutation } from "./stage.ts";
import { castOf, type Story } from "./stories.ts";

/** Of stories, in which nothing is drawn that matters. */
const SEED = 1;

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
      const runs = collectors === 1 ? 3 : 2;
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

/** A story as it was played. */
export interface Told extends Played {
  /** A line of it that never came, and should have. */
  readonly missed: string | undefined;
}

/** Plays a story without its rule; or with it, and then to the end of all nights. */
export async function tellStory(story: Story, withRule: boolean): Promise<Told> {
  const { backend = "bucket", mutation, script, without } = story;
  const settings = { backend, takes: "blobs", mutation: withRule ? {} : mutation } as const;
  const stage = new Stage(SEED, { ...settings, focus: { rests: [0], clockStands: false } });
  const { schedule } = stage;
  const optionalFrom = withRule ? script.length : Infinity;
  const lines = new Script([...script, ...without], optionalFrom, (key) => stage.nameIn(key));
  const failure = await withSeededIds(SEED, async () => {
    try {
      await schedule.play(await castOf(story, stage), lines.choose);
      if (withRule) await stage.rests();
      return undefined;
    } catch (error) {
      return error as Error;
    }
  });
  return { stage, trace: schedule.trace, failure, missed: lines.missed };
}

/** For people: what did not hold, how to play it again, and what was done. */
export function tell({ name }: Scenario, seed: number, { failure, trace }: Played): string {
  if (failure === undefined) return "";
  return [`${name}, LADING_SCHEDULE_SEED=${seed}: ${failure.stack}`, ...trace.slice(-400)].join("\n");
}
