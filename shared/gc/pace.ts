/** How fast a run asks the store. */

/** Calls that a run has under way at once at the most unless it is told. */
const MOST_CALLS = 32;

/** What a run is told: see `RunOptions`. */
export interface Pace {
  readonly concurrency?: number | undefined;
  readonly share?: number | undefined;
}

/**
 * How many calls to the store are under way at once at the most; undefined where a run is not told. Who rests most of the
 * time has few: many that begin at once would keep the store at work for longer than a rest makes up for.
 */
export function concurrencyOf({ concurrency, share = 1 }: Pace): number | undefined {
  if (share === 1) return concurrency;
  return Math.min(concurrency ?? Infinity, Math.ceil(MOST_CALLS * share));
}

/** How many things take as long as `most` do for a run that is not told; from 1. */
export function batchOf(most: number, pace: Pace): number {
  const { share = 1 } = pace;
  const concurrency = Math.min(concurrencyOf(pace) ?? MOST_CALLS, MOST_CALLS);
  return Math.max(1, Math.floor((most * share * concurrency) / MOST_CALLS));
}
