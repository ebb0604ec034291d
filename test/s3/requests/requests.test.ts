/** docs/requests.md says what each call costs in requests to the store; here each is counted. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBench, type Bench } from "./registries.ts";
import { ROWS } from "./rows.ts";
import { seededObjects } from "./seeded.ts";
import { cellsOf, compare, documented, titleOf } from "./table.ts";

const MISSES = "What misses the bars";

/** Hundreds of requests to the store, each with a silence after it, take their time on a busy machine. */
const PATIENCE_MS = 900_000;

const tables = documented();
let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
  bench.seed(seededObjects());
}, PATIENCE_MS);
afterAll(async () => await bench.close());

describe("docs/requests.md", () => {
  it("has a table under each heading, with a line for each row", () => {
    for (const [heading, rows] of Object.entries(ROWS)) {
      const [title, ...lines] = tables.get(heading) ?? [];
      expect(title).toEqual(titleOf(heading));
      expect(lines.map(([name]) => name)).toEqual(rows.map(({ name }) => name));
    }
  });

  it("has a reason for each row that misses a bar", () => {
    const column = titleOf("").indexOf("misses");
    const missing = Object.keys(ROWS).flatMap((heading) =>
      (tables.get(heading) ?? []).slice(1).filter((cells) => cells[column] !== ""),
    );
    expect(
      tables
        .get(MISSES)
        ?.slice(1)
        .map(([name]) => name),
    ).toEqual(missing.map(([name]) => name));
  });
});

describe.each(Object.entries(ROWS))("%s", (heading, rows) => {
  it.each(rows.map((row) => [row.name, row] as const))(
    "%s",
    async (name, row) => {
      const expected = tables.get(heading)?.find(([first]) => first === name);
      let comparison = await compare(bench, row);
      // A count is never too low, but too high where the machine was too busy to go on within the silence.
      for (const silenceMs of [200, 800]) {
        if (cellsOf(heading, row, comparison).join() === expected?.join()) break;
        comparison = await compare(bench, row, silenceMs);
      }
      expect(cellsOf(heading, row, comparison)).toEqual(expected);
      const { trips = Infinity, lists = Infinity } = row.atMost ?? {};
      expect(comparison.ours.trips).toBeLessThanOrEqual(trips);
      expect(comparison.ours.lists).toBeLessThanOrEqual(lists);
    },
    PATIENCE_MS,
  );
});
