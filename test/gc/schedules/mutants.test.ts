/** The protocol with one rule broken, on the real code: some schedule must show it. */
import { describe, expect, test } from "vitest";
import { MUTANTS as MODELLED } from "../../model/mutants.ts";
import { MUTANTS } from "./mutants.ts";
import { play } from "./play.ts";
import { SCENARIOS } from "./scenarios.ts";
import { Violation } from "./schedule.ts";
import { SOURCE_STORIES } from "./source-stories.ts";
import { STORIES } from "./stories.ts";

/** In how many schedules each is looked for. */
const SEEDS = 600;

describe("without this something is lost", () => {
  test.each(MUTANTS)(
    "$what",
    async ({ scenario: name, mutation, focus }) => {
      const scenario = SCENARIOS.find((one) => one.name === name);
      if (scenario === undefined) throw new Error(`no scenario: ${name}`);
      let failure: Error | undefined;
      for (let seed = 0; seed < SEEDS && failure === undefined; seed++) {
        ({ failure } = await play(scenario, seed, mutation, focus));
      }
      expect(failure).toBeInstanceOf(Violation);
      expect(failure?.message).toMatch(/^[124]: /);
    },
    3_600_000,
  );
});

test("each mutant of the model is one here", () => {
  const named = new Set([...MUTANTS, ...STORIES, ...SOURCE_STORIES].map(({ what }) => what));
  expect(MODELLED.filter(({ what }) => !named.has(what))).toEqual([]);
});
