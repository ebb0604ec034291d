/** The protocol of docs/garbage-collection.md, in every interleaving of small cases. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { explore } from "./checker.ts";
import { HARMLESS, MUTANTS } from "./mutants.ts";
import { modelOf, SCENARIOS, type Scenario } from "./scenarios.ts";
import { STEPS as CODE_STEPS } from "../../shared/gc/steps.ts";
import { STEPS as PUSH_STEPS } from "../../shared/registry/steps.ts";
import { COLLECTOR_STEPS, PUSHER_STEPS, STEPS } from "./steps.ts";

const isAll = process.env["LADING_SELECTION"] === "all";
/** In ms. Only what would never end fails by it. */
const patience = isAll ? 7_200_000 : 600_000;
const figures: string[] = [];

describe("the protocol holds", () => {
  test.each(SCENARIOS.filter(({ deep = false }) => isAll || !deep))(
    "$name",
    (scenario) => {
      const { states, transitions, violation } = explore(modelOf(scenario));
      figures.push(`${scenario.name}: ${states} states, ${transitions} transitions`);
      expect(violation === undefined ? "" : [violation.text, ...violation.trace].join("\n")).toBe("");
    },
    patience,
  );

  test("how many states there are", () => {
    process.stdout.write(figures.map((line) => `    ${line}\n`).join(""));
    expect(figures).not.toEqual([]);
  });
});

describe("without this it would not", () => {
  test.each(MUTANTS)(
    "$what",
    (mutant) => {
      const { violation } = explore(modelOf(scenarioNamed(mutant.scenario), { changes: mutant }));
      expect(violation?.text).toMatch(/^[1-6]: /);
    },
    patience,
  );
});

describe("without this alone it would hold too", () => {
  test.each(HARMLESS)(
    "$what: $because",
    (mutant) => {
      expect(explore(modelOf(scenarioNamed(mutant.scenario), { changes: mutant })).violation).toBeUndefined();
    },
    patience,
  );
});

describe("the steps", () => {
  test("of the model are those of the list, each of them", () => {
    const taken = SCENARIOS.flatMap((scenario) =>
      modelOf(scenario).programs.flatMap(({ steps }) => steps.flat().map(({ name }) => name)),
    );
    expect(STEPS.filter((name) => !taken.includes(name))).toEqual([]);
  });

  test("of the collector's code are steps of the model", () => {
    const modelled = new Set([...Object.values(COLLECTOR_STEPS).flat(), "journal"]);
    expect(new Set(CODE_STEPS)).toEqual(modelled);
  });

  test("of a push's code are steps of the model", () => {
    const modelled = new Set([...Object.values(PUSHER_STEPS).flat(), "list referrers"]);
    expect(new Set(PUSH_STEPS)).toEqual(modelled);
  });

  test("are all in the code, those of a push and those of a run", () => {
    expect([...Object.keys(PUSHER_STEPS), ...Object.keys(COLLECTOR_STEPS)]).toEqual([...STEPS]);
  });

  test("are those of the page", () => {
    const page = readFileSync("docs/garbage-collection.md", "utf8");
    const section = /## Steps\n(.*?)\n## /s.exec(page)?.[1] ?? "";
    for (const name of STEPS) {
      const [operation = "", step = ""] = name.split(": ");
      expect(textOf(section, operation), name).toContain(step);
    }
  });
});

/** What the page says of an operation: from the line that names it to the next one. */
function textOf(section: string, operation: string): string {
  const lines = section.split("\n");
  const isHead = (line: string): boolean => /^ {4}\S/.test(line);
  const first = lines.findIndex((line) => new RegExp(`^ {4}(?:a )?${operation}\\b`).test(line));
  const length = lines.slice(first + 1).findIndex(isHead);
  return first < 0 ? "" : lines.slice(first, length < 0 ? undefined : first + 1 + length).join("\n");
}

function scenarioNamed(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`no scenario: ${name}`);
  return scenario;
}
