import { randomUUID } from "node:crypto";
import { layout, undoneRun } from "../registry/layout.ts";
import { listPages, type StorageDriver } from "../storage/driver.ts";

/** A name for a run that begins now: names are in the order of time, and no two are the same. */
export function newRunId(begun: Date): string {
  return `${begun.toISOString().replaceAll(/[:.]/g, "").slice(0, 17)}-${randomUUID().slice(0, 8)}`;
}

/** When a run began, by its id; undefined for what is none. */
export function beginOf(run: string): Date | undefined {
  const [, year, month, day, hour, minute] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d)(\d\d)\d\d-/.exec(run) ?? [];
  return year === undefined ? undefined : new Date(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
}

/** The names of runs, the oldest first, and when each of those that were undone was: of one listing. */
export async function listRuns(
  driver: StorageDriver,
): Promise<{ readonly runs: readonly string[]; readonly undone: ReadonlyMap<string, Date> }> {
  const runs: string[] = [];
  const undone = new Map<string, Date>();
  for await (const { prefixes, objects } of listPages(driver, layout.gcRuns, { delimiter: "/" })) {
    runs.push(...prefixes.map((prefix) => prefix.slice(layout.gcRuns.length, -1)));
    for (const { key, lastModified } of objects) {
      const run = undoneRun(key);
      if (run !== undefined) undone.set(run, lastModified);
    }
  }
  return { runs, undone };
}
