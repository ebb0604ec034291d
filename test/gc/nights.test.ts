/** What the nightly schedule makes of steps: runs over nights, by a clock of the test's own. */
import { describe, expect, it } from "vitest";
import { NIGHT } from "../../functions/gc/nightly.ts";
import type { StepOutcome } from "../../shared/gc/collector.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { Marks } from "../../shared/registry/marks.ts";
import { OverloadedError } from "../../shared/storage/driver.ts";
import { observed } from "../../shared/storage/observed.ts";
import { StorageFault, withFaults, type PlannedCall } from "../support/faults.ts";
import { TIMES, World } from "./support.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** The stack's schedule: every 15 minutes from 3:00 to 6:45. */
const CALLS = Array.from({ length: 16 }, (_, call) => 3 * HOUR + call * 15 * MINUTE);
/** What the function leaves a step of its 15 minutes. */
const STEP_MS = 14 * MINUTE;

/** So many images and as many blobs of garbage, and steps in which little of it can be done. */
const BIG = 1000;
const TINY = { stepMs: 5_000, requestMs: 20 };

/** Some images and some garbage, all of it old. The clock stands at midnight. */
async function oldWorld(size = 1): Promise<World> {
  const world = new World();
  for (let i = 0; i < size; i++) {
    await world.image(`r/${i}`, [`layer ${i}`], { tag: "latest" });
    await world.blob(`r/${i}`, `garbage ${i}`);
  }
  world.time += 3 * DAY;
  return world;
}

/** The calls of a night of which each begins when the last one is over; gives what came of each, and leaves the clock at midnight. */
async function night(
  world: World,
  {
    stepMs = STEP_MS,
    calls = CALLS,
    requestMs = 0,
    fails = () => false,
    failure = new StorageFault(),
    operation,
  }: NightOptions = {},
): Promise<(StepOutcome | Error)[]> {
  const midnight = world.time;
  const outcomes: (StepOutcome | Error)[] = [];
  for (const time of calls) {
    world.time = midnight + time;
    const isAsked = (call: PlannedCall): boolean => operation === undefined || call.operation === operation;
    const faulty = withFaults(
      world.driver,
      (call) => (isAsked(call) && fails(time, call.key) ? "before" : "pass"),
      () => failure,
    );
    // Each request takes its time.
    const slow = observed(faulty, () => (world.time += requestMs));
    const collector = world.collector({ elapsed: () => world.time }, slow);
    outcomes.push(await collector.step({ ms: stepMs, ...NIGHT }).catch((error: unknown) => error as Error));
    expect(world.time - midnight - time).toBeLessThan(15 * MINUTE);
  }
  world.time = midnight + DAY;
  return outcomes;
}

interface NightOptions {
  /** Default: what the function has. */
  readonly stepMs?: number;
  /** Times of the day. Default: those of the stack's schedule. */
  readonly calls?: readonly number[];
  /** How long each request takes. */
  readonly requestMs?: number;
  /** Whether requests for this key fail in the call of this time. */
  readonly fails?: (time: number, key: string) => boolean;
  /** Default: a StorageFault. */
  readonly failure?: Error;
  /** Only these requests. Default: all. */
  readonly operation?: PlannedCall["operation"];
}

/** In one word for each call. */
const words = (outcomes: readonly (StepOutcome | Error)[]): string[] =>
  outcomes.map((outcome) => {
    if (outcome instanceof Error) return "thrown";
    return outcome.state === "done" && outcome.summary.outcome === "failed" ? "failed" : outcome.state;
  });

const times = (count: number, word: string): string[] => Array.from({ length: count }, () => word);

describe("a night", () => {
  it("is one run, and then calls of one request that find nothing to do", async () => {
    const world = await oldWorld();
    for (let i = 0; i < 3; i++) expect(words(await night(world))).toEqual(["done", ...times(15, "idle")]);
    world.time += 3 * HOUR;
    await world.collector().step({ ms: STEP_MS, ...NIGHT });
    const calls: string[] = [];
    const watched = withFaults(world.driver, ({ operation, key }) => {
      calls.push(`${operation} ${key}`);
      return "pass";
    });
    expect(await world.collector({}, watched).step({ ms: STEP_MS, ...NIGHT })).toEqual({ state: "idle" });
    expect(calls).toEqual([`look ${layout.gcLease}`]);
  });

  it("is enough for a run of many times the length of a call", async () => {
    const world = await oldWorld(BIG);
    const first = words(await night(world, TINY));
    const steps = first.indexOf("done");
    expect(steps).toBeGreaterThan(3);
    expect(first).toEqual([...times(steps, "more"), "done", ...times(15 - steps, "idle")]);
    expect(words(await night(world, TINY))).toContain("done");
    // One configuration for all; of each image its layer and its manifest.
    const stored = (await world.keys()).filter((key) => key.startsWith(layout.blobs));
    expect(stored).toHaveLength(1 + BIG * 2);
  });

  it("of one call, as another schedule may have it, is gone on with in the next ones", async () => {
    const world = await oldWorld(BIG);
    const states: string[] = [];
    while (states.at(-1) !== "done") {
      states.push(...words(await night(world, { ...TINY, stepMs: 4 * TINY.stepMs, calls: [3 * HOUR] })));
    }
    expect(states.length).toBeGreaterThan(1);
    expect(states).toEqual([...times(states.length - 1, "more"), "done"]);
    expect(words(await night(world, { calls: [3 * HOUR] }))).toEqual(["done"]);
  });

  it.each([
    ["night", 1],
    ["week", 7],
  ])("of one call every %s is gone on with for as long as it takes", async (_, days) => {
    const world = await oldWorld(BIG);
    const runs = new Set<string>();
    const states: string[] = [];
    while (states.at(-1) !== "done") {
      const [outcome] = await night(world, { ...TINY, calls: [3 * HOUR] });
      if (outcome instanceof Error || outcome === undefined) throw new Error("the night failed", { cause: outcome });
      if (outcome.state === "more") runs.add(outcome.run);
      states.push(...words([outcome]));
      expect(runs.size).toBe(1);
      world.time += (days - 1) * DAY;
    }
    expect(states.length).toBeGreaterThan(4);
  });

  it("whose marks alone take longer than a call to list and drop is done in steps too", async () => {
    const world = await oldWorld();
    const marks = new Marks(world.driver, TIMES);
    for (let i = 0; i < 40_000; i++) {
      await marks.write(
        layout.blobMark(digestOf("sha256", Buffer.from(`deleted last night ${i}`))),
        "swept",
        undefined,
      );
    }
    world.time += HOUR;
    // Four calls for each thousand: 20 minutes.
    const outcomes = words(await night(world, { requestMs: 7_500 }));
    const steps = outcomes.indexOf("done");
    expect(steps).toBeGreaterThan(0);
    expect(outcomes.slice(0, steps)).toEqual(times(steps, "more"));
    expect(await world.marks()).toEqual(["condemned"]);
  });

  it("leaves what takes its time at the end of a run to a call of its own", async () => {
    const world = await oldWorld();
    const slow = observed(world.driver, () => (world.time += 25_000));
    const refreshCatalog = async (): Promise<void> => await Promise.resolve(void (world.time += 5 * MINUTE));
    const states: string[] = [];
    while (states.at(-1) !== "done") {
      const begun = world.time;
      const collector = world.collector({ elapsed: () => world.time, refreshCatalog }, slow);
      const outcome = await collector.step({ ms: STEP_MS, ...NIGHT });
      expect(world.time - begun).toBeLessThan(15 * MINUTE);
      states.push(outcome.state === "more" ? outcome.phase : outcome.state);
    }
    expect(states).toEqual(["finish", "done"]);
  });

  it("whose calls find another at work leaves that alone", async () => {
    const world = await oldWorld();
    const until = world.time + 4 * HOUR;
    await world.driver.put(layout.gcLease, Buffer.from(JSON.stringify({ holder: "another", until, cuts: [] })));
    expect(words(await night(world))).toEqual([...times(4, "busy"), "done", ...times(11, "idle")]);
  });
});

describe("a run that fails", () => {
  const marking = (_: number, key: string): boolean => key.startsWith(layout.blobs);
  const beginning = (_: number, key: string): boolean => key.startsWith(layout.blobMarks);

  it.each([
    ["failed", marking],
    ["thrown", beginning],
  ])("is begun again an hour later, not with each call (%s)", async (word, fails) => {
    const world = await oldWorld();
    const failing = words(await night(world, { fails }));
    expect(failing).toEqual([word, "idle", "idle", "idle", word, "idle", "idle", "idle"].concat(failing.slice(0, 8)));
    expect(words(await night(world)).filter((each) => each !== "idle")).toEqual(["done"]);
  });

  it("since the store does not delete one thing is not begun again before the next night", async () => {
    const world = await oldWorld(3);
    await night(world);
    const stuck = layout.blob(digestOf("sha256", Buffer.from("garbage 1")));
    for (let i = 0; i < 2; i++) {
      const failing = words(await night(world, { fails: (_, key) => key === stuck }));
      expect(failing).toEqual(["failed", ...times(15, "idle")]);
    }
    expect((await world.keys()).filter((key) => key.startsWith(layout.blobs))).toContain(stuck);
    expect(words(await night(world))).toEqual(["done", ...times(15, "idle")]);
    expect((await world.keys()).filter((key) => key.startsWith(layout.blobs))).not.toContain(stuck);
  });

  it("since the store is in trouble while it deletes is begun again an hour later", async () => {
    const world = await oldWorld(3);
    await night(world);
    const failure = new OverloadedError("S3 DeleteObjects: SlowDown", 1);
    const fails = (time: number, key: string): boolean => time < 4 * HOUR && key.startsWith(layout.blobs);
    // Only the deletes: their answers are those of each key.
    const first = await night(world, { fails, failure, operation: "fenced delete" });
    expect(words(first)).toEqual(["failed", "idle", "idle", "idle", "done", ...times(11, "idle")]);
  });

  it("because its process is killed, at its beginning or later, is gone on with an hour later", async () => {
    const world = await oldWorld(BIG);
    /** A process that stands still for ever after so many requests. */
    const killed = async (after: number): Promise<void> => {
      await new Promise<void>((resolve) => {
        const dying = withFaults(world.driver, async ({ index }) => {
          if (index <= after) return "pass" as const;
          resolve();
          return await new Promise<never>(() => undefined);
        });
        void world.collector({ elapsed: () => world.time }, dying).step({ ms: STEP_MS, ...NIGHT });
      });
    };
    const step = async () => await world.collector({ elapsed: () => world.time++ }).step({ ms: 1, ...NIGHT });
    await killed(10);
    world.time += 15 * MINUTE;
    expect(await step()).toEqual({ state: "idle" });
    world.time += 45 * MINUTE;
    expect(await step()).toMatchObject({ state: "more" });
    await killed(5);
    world.time += 15 * MINUTE;
    expect(await step()).toEqual({ state: "idle" });
    world.time += 45 * MINUTE;
    expect(await step()).toMatchObject({ state: "more" });
    expect(await step()).toMatchObject({ state: "more" });
  });

  it("has its second chance in the same night, and the next night begins at its time, however late that was", async () => {
    const world = await oldWorld();
    const fails = (time: number, key: string): boolean => time < 6.75 * HOUR && marking(time, key);
    const requestMs = 100;
    const first = words(await night(world, { fails, requestMs }));
    // Each takes a little, so each try is a quarter of an hour later than an hour.
    expect(first.flatMap((word, call) => (word === "idle" ? [] : [`${call} ${word}`]))).toEqual([
      "0 failed",
      "5 failed",
      "10 failed",
      "15 done",
    ]);
    expect(words(await night(world))).toEqual(["done", ...times(15, "idle")]);
    // The clock may go forward in between.
    world.time -= HOUR;
    expect(words(await night(world))).toEqual(["done", ...times(15, "idle")]);
  });
});

describe("a run from the command line", () => {
  it("is the night's where it was one with the same options", async () => {
    const world = await oldWorld();
    world.time += HOUR;
    await world.collector().run();
    world.time -= HOUR;
    expect(words(await night(world))).toEqual(times(16, "idle"));
  });

  it("is not where it was asked for something else", async () => {
    const world = await oldWorld();
    world.time += HOUR;
    await world.collector({ retention: deleteUntagged }).run();
    world.time -= HOUR;
    expect(words(await night(world))).toEqual(["done", ...times(15, "idle")]);
  });
});
