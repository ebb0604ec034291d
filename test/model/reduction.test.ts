/** With the reductions a scenario comes to the same as without them: the same verdict, and the same outside of the runs. */
import { describe, expect, test } from "vitest";
import type { State } from "./cells.ts";
import { explore, type Model } from "./checker.ts";
import { Program } from "./program.ts";
import { sorted } from "./reduction.ts";
import { modelOf, SCENARIOS } from "./scenarios.ts";
import { World } from "./world.ts";

/** Small ones, with one run and two, in a bucket and in a folder; all that is not deep where everything is asked for. */
const SMALL = [
  "HEAD, then manifest",
  "HEAD, then manifest, in a folder",
  "undo",
  "manifest again",
  "tag again",
  "a tag that retention takes, other registry",
];
const isAll = process.env["LADING_SELECTION"] === "all";
const patience = isAll ? 7_200_000 : 600_000;

describe("with the reductions the same comes about as without them", () => {
  test.each(SCENARIOS.filter(({ name, deep = false }) => SMALL.includes(name) || (isAll && !deep)))(
    "$name",
    (scenario) => {
      const whole = gone(modelOf(scenario, { isWhole: true }));
      const reduced = gone(modelOf(scenario));
      expect(whole.violation).toBe("");
      expect(reduced.violation).toBe("");
      expect(reduced.states).toBeLessThan(whole.states);
      expect(reduced.outsides.size).toBeGreaterThan(100);
      expect(missing(reduced.outsides, whole.outsides)).toBe(0);
      expect(missing(whole.outsides, reduced.outsides)).toBe(0);
    },
    patience,
  );

  test("a reduction that takes something away is seen", () => {
    const scenario = named("undo");
    const model = modelOf(scenario, { isWhole: true });
    const runs = model.programs.filter(({ name }) => name.startsWith("run "));
    const reduce = (s: State): void => {
      for (const run of runs) run.forget(s);
    };
    const wrong = gone({ ...model, reduce });
    expect(missing(gone(modelOf(scenario)).outsides, wrong.outsides)).toBeGreaterThan(0);
  });
});

test("processes that are not alike are not put in order", () => {
  const { cells } = new World({});
  const [one, other] = [new Program(cells, "one"), new Program(cells, "other")];
  expect(() => sorted([one, other])).not.toThrow();
  other.register("something");
  expect(() => sorted([one, other])).toThrow("not alike");
});

function named(name: string): (typeof SCENARIOS)[number] {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`no scenario: ${name}`);
  return scenario;
}

interface Gone {
  readonly states: number;
  readonly violation: string;
  /** What was seen outside of the runs. */
  readonly outsides: ReadonlySet<string>;
}

function gone(model: Model): Gone {
  const outsides = new Set<string>();
  const check = (s: State): void => {
    outsides.add(Buffer.from(model.outside(s)).toString("latin1"));
    model.check(s);
  };
  const { states, violation } = explore({ ...model, check });
  return { states, violation: violation?.text ?? "", outsides };
}

function missing(from: ReadonlySet<string>, all: ReadonlySet<string>): number {
  let count = 0;
  for (const one of from) if (!all.has(one)) count++;
  return count;
}
