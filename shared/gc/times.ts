import type { GcTimes } from "../registry/gc-times.ts";

/** Whole seconds since 1970, rounded up: nothing looks older than it is. */
export function secondsOf(time: Date): number {
  return Math.ceil(time.getTime() / 1000);
}

/** Only what was written before this may be collected by a run that began then. Seconds since 1970. */
export function horizonSeconds(begun: Date, { horizonMs }: GcTimes): number {
  return Math.floor((begun.getTime() - horizonMs) / 1000);
}
