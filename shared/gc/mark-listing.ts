import type { GcTimes } from "../registry/gc-times.ts";
import { Marks } from "../registry/marks.ts";
import type { StorageDriver } from "../storage/driver.ts";
import type { MarkTable } from "./mark-table.ts";
import type { Sweeper } from "./sweeping.ts";

/** Which marks are listed next, and how. */
export interface MarkPage {
  readonly prefix: string;
  readonly startAfter: string | undefined;
  readonly times: GcTimes;
  /** Nothing goes. */
  readonly dryRun: boolean;
}

/**
 * Lists one page of marks into `marks`; gives where the next begins, undefined after the last. Marks that have long meant
 * "absent" go at once, with a permit that was opened before, and whose time is that of the page.
 */
export async function listMarksOnce(
  driver: StorageDriver,
  { prefix, startAfter, times, dryRun }: MarkPage,
  sweeper: Pick<Sweeper, "openDropping">,
  marks: MarkTable,
): Promise<string | undefined> {
  const reader = new Marks(driver, times);
  const dropping = dryRun ? undefined : await sweeper.openDropping();
  const { objects, asOf, next } = await driver.list(prefix, startAfter === undefined ? {} : { startAfter });
  const over: string[] = [];
  for (const object of objects) {
    const state = Marks.stateOfSize(object.size) ?? (await reader.read(object.key)).mark?.state;
    if (state === undefined) continue;
    const isAbsent = state === "cleared" || state === "swept";
    const isOld = asOf.getTime() - object.lastModified.getTime() > times.takeoverMs;
    if (isAbsent && isOld && !dryRun) over.push(object.key);
    else marks.push(object, state);
  }
  await dropping?.drop(over, asOf);
  return next;
}
