import { PERMIT_LIFETIME_MS } from "../storage/driver.ts";

/**
 * The times of the protocol in docs/garbage-collection.md, in milliseconds by the store's clock. Which of them must be
 * longer than which is said there, and checked by `gcTimes`.
 */
export interface GcTimes {
  /** GRACE: how long a promise holds. */
  readonly graceMs: number;
  /** FRESH: a link older than this is written again when something is promised. */
  readonly freshMs: number;
  /** T: from the first answer of a promise to its last. */
  readonly promiseMs: number;
  /** E: how long a permit to delete is good. It must be the driver's. */
  readonly permitMs: number;
  /** SETTLE: how long a mark is condemned before a run begins that may sweep it. */
  readonly settleMs: number;
  /** D: a mark that is `deleting` for longer may be taken over. */
  readonly takeoverMs: number;
  /** HORIZON: nothing younger is a candidate. */
  readonly horizonMs: number;
}

/** The grace period where nothing else is configured. */
export const DEFAULT_GRACE_MS = 24 * 60 * 60 * 1000;

/** What does not follow from the grace period. */
export type FixedTimes = Pick<GcTimes, "promiseMs" | "permitMs" | "settleMs" | "takeoverMs">;

const FIXED: FixedTimes = {
  promiseMs: 60_000,
  permitMs: PERMIT_LIFETIME_MS,
  settleMs: 600_000,
  takeoverMs: 300_000,
};

/** The times for a grace period. `fixed` makes all shorter, for tests. Throws where one is not longer than it must be. */
export function gcTimes(graceMs: number = DEFAULT_GRACE_MS, fixed: Partial<FixedTimes> = {}): GcTimes {
  const { promiseMs, permitMs, settleMs, takeoverMs } = { ...FIXED, ...fixed };
  const longest = Math.max(promiseMs, permitMs);
  if (takeoverMs <= longest || settleMs <= longest) {
    throw new RangeError("a mark must settle, and be left alone, for longer than a promise or a permit takes");
  }
  const freshMs = Math.floor(graceMs / 2);
  const horizonMs = graceMs + freshMs + 2 * promiseMs;
  return { graceMs, freshMs, promiseMs, permitMs, settleMs, takeoverMs, horizonMs };
}
