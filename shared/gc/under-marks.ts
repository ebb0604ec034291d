import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { Marks, type Clearing } from "../registry/marks.ts";
import { limits } from "../oci/limits.ts";
import { mapLimit } from "../storage/concurrency.ts";
import type { StorageDriver } from "../storage/driver.ts";

const TRIES = 5;
const MARKS = 8;

/**
 * Clears marks and does the work; again where that took longer than T, as a push does. Gives what the work gives, which is
 * undefined or why it could not be done; or why it was not begun.
 */
export async function underMarks(
  driver: StorageDriver,
  times: GcTimes,
  { keys, who }: { readonly keys: readonly string[]; readonly who: Clearing },
  work: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const marks = new Marks(driver, times);
  for (let tries = 0; tries < TRIES; tries++) {
    const cleared = await mapLimit(keys, MARKS, async (key) => await marks.clear(key, who));
    const since = cleared.map((mark) => (mark.outcome === "clear" ? mark.asOf.getTime() : undefined));
    if (cleared.some(({ outcome }) => outcome === "swept")) return "it was deleted by a collection";
    if (since.includes(undefined)) return "it is being deleted now: try again in some minutes";
    const failure = await work();
    if (failure !== undefined) return failure;
    const { asOf } = await driver.look(layout.gcLease, limits.manifestBytes);
    const first = Math.min(...since.filter((time) => time !== undefined));
    if (asOf.getTime() - first <= times.promiseMs) return undefined;
  }
  return "the store is too slow";
}
