import type { GcTimes } from "../registry/gc-times.ts";

const DAY_SECONDS = 24 * 60 * 60;

/** Whole seconds since 1970, rounded up: nothing looks older than it is. */
export function secondsOf(time: Date): number {
  return Math.ceil(time.getTime() / 1000);
}

/** A moment for people, in whole seconds, rounded up: `2026-01-31T03:14:15Z`. */
export function momentOf(time: Date): string {
  return new Date(secondsOf(time) * 1000).toISOString().replace(".000Z", "Z");
}

/** A time as people say it, in whole seconds, rounded up: `90 days`, `36h 2m`, `10 minutes`. From milliseconds. */
export function spanOf(ms: number): string {
  const all = Math.ceil(ms / 1000);
  if (all >= 2 * DAY_SECONDS && all % DAY_SECONDS === 0) return `${all / DAY_SECONDS} days`;
  const parts = [
    { count: Math.floor(all / 3600), short: "h", unit: "hour" },
    { count: Math.floor(all / 60) % 60, short: "m", unit: "minute" },
    { count: all % 60, short: "s", unit: "second" },
  ].filter(({ count }) => count > 0);
  const [only = { count: 0, unit: "second" }, ...more] = parts;
  if (more.length > 0) return parts.map(({ count, short }) => `${count}${short}`).join(" ");
  return `${only.count} ${only.unit}${only.count === 1 ? "" : "s"}`;
}

/** Only what was written before this may be collected by a run that began then. Seconds since 1970. */
export function horizonSeconds(begun: Date, { horizonMs }: GcTimes): number {
  return Math.floor((begun.getTime() - horizonMs) / 1000);
}
