/**
 * The protocol of docs/garbage-collection.md on the real code, call by call in an order that a seed decides. A failure prints
 * its seed and what was done; LADING_SCHEDULE_SEED=<seed> plays that one alone (with -t for its scenario).
 */
import { describe, expect, test } from "vitest";
import { play, tell } from "./play.ts";
import { SCENARIOS } from "./scenarios.ts";
import { ALL_STEPS } from "./steps.ts";

const only = process.env["LADING_SCHEDULE_SEED"];
const COUNT = process.env["LADING_SELECTION"] === "all" ? 600 : 40;
const SEEDS = only === undefined ? Array.from({ length: COUNT }, (_, seed) => seed) : [Number(only)];
/** In ms. Only what would never end fails by it. */
const PATIENCE = 3_600_000;

const taken = { push: new Set<string>(), run: new Set<string>() };
const total = { promised: 0, acknowledged: 0, refused: 0, broken: 0, condemned: 0, deleted: 0, lost: 0, failed: 0 };

describe("whatever the order, nothing that was promised is lost, and garbage goes", () => {
  test.each(SCENARIOS)(
    "$name",
    async (scenario) => {
      for (const seed of SEEDS) {
        const played = await play(scenario, seed);
        expect(tell(scenario, seed, played)).toBe("");
        const { schedule, ledger, collected } = played.stage;
        for (const kind of ["push", "run"] as const) for (const step of schedule.steps[kind]) taken[kind].add(step);
        const counts: Readonly<Record<string, number>> = { ...ledger.counts, ...collected };
        for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += counts[name] ?? 0;
      }
    },
    PATIENCE,
  );

  test.skipIf(only !== undefined)("in all of this something happened", () => {
    process.stdout.write(`    ${JSON.stringify(total)}\n`);
    for (const name of ["promised", "acknowledged", "refused", "condemned", "deleted", "lost", "failed"] as const) {
      expect(total[name], name).toBeGreaterThan(0);
    }
    expect(total.broken).toBeLessThan((SEEDS.length * SCENARIOS.length) / 10);
  });

  test.skipIf(only !== undefined)("each step of the protocol was taken, by pushes and by runs", () => {
    for (const kind of ["push", "run"] as const) {
      expect(ALL_STEPS[kind].filter((step) => !taken[kind].has(step))).toEqual([]);
    }
  });
});

test.each(SCENARIOS)("$name: a seed says all that is done", async (scenario) => {
  const seed = Number(only ?? "17");
  const [first, second] = [await play(scenario, seed), await play(scenario, seed)];
  expect(first.trace.length).toBeGreaterThan(40);
  expect(second.trace).toEqual(first.trace);
});
