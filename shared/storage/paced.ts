import { setTimeout as delay } from "node:timers/promises";
import { withEach } from "./around.ts";
import type { StorageDriver } from "./driver.ts";

/** Work of so long is followed by a rest. */
const WORK_MS = 20;
/** A rest is no longer, however long a call took: who rests has perhaps promised to be done at some time. */
const LONGEST_REST_MS = 5_000;

/** What tells and passes time, in milliseconds, by a clock that only goes on. */
export interface Pauses {
  readonly elapsed: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

const REAL: Pauses = {
  elapsed: () => performance.now(),
  pause: async (ms) => {
    await delay(ms);
  },
};

/**
 * A driver whose caller works for no more than `share` of the time, above 0 and at most 1: all that passes is work, of the
 * caller as well, but for rests in which no call is begun and none is under way. They are frequent, and short.
 */
export function paced(driver: StorageDriver, share: number, { elapsed, pause }: Pauses = REAL): StorageDriver {
  let since = elapsed();
  let underWay = 0;
  let onIdle: (() => void) | undefined;
  let rest: Promise<void> | undefined;

  const takeRest = async (): Promise<void> => {
    if (underWay > 0) await new Promise<void>((resolve) => (onIdle = resolve));
    const worked = elapsed() - since;
    await pause(Math.min(worked * (1 / share - 1), LONGEST_REST_MS));
    since = elapsed();
    rest = undefined;
  };

  return withEach(driver, async (_, work) => {
    if (elapsed() - since >= WORK_MS) rest ??= takeRest();
    while (rest !== undefined) await rest;
    underWay++;
    try {
      return await work();
    } finally {
      underWay--;
      if (underWay === 0) onIdle?.();
    }
  });
}
