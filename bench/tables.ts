/** Tables of measures, in Markdown. */
import type { Ratio, Samples } from "./samples.ts";
import { OURS, type ServerKind } from "./servers.ts";

/** The servers that a table compares. */
interface Compared {
  readonly kinds: readonly Pick<ServerKind, "name">[];
}

/** A row for each of the samples: the medians, and the ratio to each peer. */
export function comparison({ kinds }: Compared, samples: Samples, show: (value: number) => string): string {
  const names = kinds.map(({ name }) => name);
  const peers = names.filter((name) => name !== OURS);
  return table(
    ["", ...names, ...peers.map((peer) => `× ${peer}`)],
    samples.rows.map((row) => [
      row,
      ...names.map((name) => show(samples.median(row, name))),
      ...peers.map((peer) => samples.ratio(row, OURS, peer).median.toFixed(2)),
    ]),
  );
}

/** A row for each of the samples: the highest value of all rounds. */
export function peaks({ kinds }: Compared, samples: Samples): string {
  return table(
    ["", ...kinds.map(({ name }) => name)],
    samples.rows.map((row) => [row, ...kinds.map(({ name }) => integer(Math.max(...samples.values(row, name))))]),
  );
}

/** In Markdown, with columns of figures to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => (column === 0 || isText(rows, column) ? "---" : "---:"));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

function isText(rows: readonly (readonly string[])[], column: number): boolean {
  return !rows.every((row) => /^[\d.,]+$/.test(row[column] ?? ""));
}

/** With commas between the thousands. */
export function integer(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** As in "1.50 times". */
export function times(value: number): string {
  return `${value.toFixed(2)} times`;
}

/** The same with the least and the most of the rounds. */
export function spread({ median: middle, least, most }: Ratio): string {
  return `${times(middle)} (rounds from ${least.toFixed(2)} to ${most.toFixed(2)})`;
}
