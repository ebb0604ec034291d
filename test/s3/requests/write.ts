/**
 * Measures all and writes it to docs/requests.md: `npm run requests`. With a text, as in `npm run requests -- PATCH`, only
 * rows that have it in their name, and those that the file does not have.
 */
import { readFileSync, writeFileSync } from "node:fs";
import * as prettier from "prettier";
import { startBench } from "./registries.ts";
import { ROWS } from "./rows.ts";
import { seededObjects } from "./seeded.ts";
import { cellsOf, compare, documented, FILE, titleOf } from "./table.ts";

/** Long enough for a machine that does something else too. */
const SILENCE_MS = 150;

const only = process.argv[2] ?? "";
const bench = await startBench();
bench.seed(seededObjects());
let text = readFileSync(FILE, "utf8");
for (const [heading, rows] of Object.entries(ROWS)) {
  const before = new Map(
    documented()
      .get(heading)
      ?.map((cells) => [cells[0], cells]),
  );
  const cells = [titleOf(heading), titleOf(heading).map(() => "-")];
  for (const row of rows) {
    const known = row.name.includes(only) ? undefined : before.get(row.name);
    cells.push(known ?? cellsOf(heading, row, await compare(bench, row, SILENCE_MS)));
    process.stdout.write(`${cells.at(-1)?.join(" | ") ?? ""}\n`);
  }
  const table = cells.map((line) => `| ${line.join(" | ")} |\n`).join("");
  const place = new RegExp(`(^## ${heading}\\n(?:(?!^\\|)(?!^## ).*\\n)*)(?:\\|.*\\n)*`, "m");
  text = place.test(text)
    ? text.replace(place, (_, head: string) => head + table)
    : `${text}\n## ${heading}\n\n${table}`;
  const options = { ...(await prettier.resolveConfig(FILE)), parser: "markdown" };
  text = await prettier.format(text, options);
  writeFileSync(FILE, text);
}
await bench.close();
process.exit(0);
