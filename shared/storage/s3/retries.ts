/**
 * When a request to the store is sent again: after passing faults and throttling, with growing pauses of random length that
 * together stay below what a client or a gateway waits for. What fails then fails with the store's last word.
 */
import type { S3ClientConfig } from "@aws-sdk/client-s3";

/** How long the driver bears with a store that fails. */
export interface Patience {
  /** How often a request is sent at most. */
  readonly attempts: number;
  /** All pauses of one call together are no longer than this. In milliseconds, as all that follows. */
  readonly pausesMs: number;
  /** The first pause after a passing fault is at most so long, and each that follows twice as long. */
  readonly pauseMs: number;
  /** The same where the store says that it has too much to do. */
  readonly throttledPauseMs: number;
  /** How long a call may take with all its attempts: what a person or a gateway waits for. */
  readonly callMs: number;
  /** The same for a part's bytes, and for what the store copies or puts together. */
  readonly bulkMs: number;
}

/** Ends before API Gateway's 30 seconds, and a large copy before the 900 of a function. */
export const PATIENCE: Patience = {
  attempts: 6,
  pausesMs: 15_000,
  pauseMs: 50,
  throttledPauseMs: 1_000,
  callMs: 20_000,
  bulkMs: 840_000,
};

/**
 * Retries that all calls of a process have in common. One that leads to success is given back, and so is a part of one for
 * each call that succeeds at once: a store that fails all the time is not sent every request six times.
 */
const RETRIES = 100;
const EARNED = 0.1;

type Strategy = Extract<S3ClientConfig["retryStrategy"], { acquireInitialRetryToken: unknown }>;
type Token = Awaited<ReturnType<Strategy["acquireInitialRetryToken"]>>;
type Failure = Parameters<Strategy["refreshRetryTokenForRetry"]>[1];

interface Attempt extends Token {
  /** Of the call so far. */
  readonly paused: number;
}

/** The SDK's retry strategy that has this patience. `random` gives numbers from 0 to 1. */
export class Retries implements Strategy {
  readonly #patience: Patience;
  readonly #random: () => number;
  #left = RETRIES;

  constructor(patience: Patience, random: () => number = Math.random) {
    this.#patience = patience;
    this.#random = random;
  }

  async acquireInitialRetryToken(): Promise<Attempt> {
    return attempt(0, 0, 0);
  }

  /** The next attempt, which waits for its pause. Throws where there is none: the SDK then throws what the last ended with. */
  async refreshRetryTokenForRetry(last: Token, { errorType, retryAfterHint }: Failure): Promise<Attempt> {
    const { attempts, pausesMs, pauseMs, throttledPauseMs } = this.#patience;
    const passing = errorType === "THROTTLING" || errorType === "TRANSIENT";
    const retry = last.getRetryCount() + 1;
    const { paused } = last as Attempt;
    if (!passing || retry >= attempts || paused >= pausesMs || this.#left < 1) throw new Error("no further attempt");
    this.#left--;
    const most = (errorType === "THROTTLING" ? throttledPauseMs : pauseMs) * 2 ** (retry - 1);
    const wished = retryAfterHint === undefined ? 0 : retryAfterHint.getTime() - Date.now();
    const pause = Math.min(Math.max(this.#random() * most, wished), pausesMs - paused);
    return attempt(retry, pause, paused + pause);
  }

  recordSuccess(last: Token): void {
    this.#left = Math.min(RETRIES, this.#left + (last.getRetryCount() > 0 ? 1 : EARNED));
  }
}

function attempt(count: number, pause: number, paused: number): Attempt {
  return { getRetryCount: () => count, getRetryDelay: () => pause, paused };
}
