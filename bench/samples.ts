/** What was measured: a value for each row, server and round. */

/** Whether more is better (requests a second) or less is (seconds). */
export type Better = "more" | "less";

/** How many times as good we are as a peer. */
export interface Ratio {
  /** The median over the rounds. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export class Samples {
  readonly better: Better;
  readonly #rows = new Map<string, Map<string, number[]>>();

  constructor(better: Better) {
    this.better = better;
  }

  /** Adds the value of the next round. */
  add(row: string, server: string, value: number): void {
    const servers = this.#rows.get(row) ?? new Map<string, number[]>();
    this.#rows.set(row, servers);
    const values = servers.get(server) ?? [];
    servers.set(server, values);
    values.push(value);
  }

  /** The rows in the order of their first values. */
  get rows(): string[] {
    return [...this.#rows.keys()];
  }

  /** The values of all rounds, in order. */
  values(row: string, server: string): readonly number[] {
    return this.#rows.get(row)?.get(server) ?? [];
  }

  median(row: string, server: string): number {
    return median(this.values(row, server));
  }

  /** Above 1 where `ours` is better; each value is divided by that of the same round only. */
  ratio(row: string, ours: string, peer: string): Ratio {
    const theirs = this.values(row, peer);
    const ratios = this.values(row, ours).map((value, round) => {
      const other = theirs[round] ?? NaN;
      return this.better === "more" ? value / other : other / value;
    });
    return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
  }
}

/** NaN where there are no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The value that `share` (0 to 1) of the values do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** The items beginning with another one each round, so that none always follows the same one. */
export function rotated<T>(items: readonly T[], round: number): T[] {
  const first = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}
