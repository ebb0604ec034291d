import { randomUUID } from "node:crypto";

/** A name for a run that begins now: names are in the order of time, and no two are the same. */
export function newRunId(begun: Date): string {
  return `${begun.toISOString().replaceAll(/[:.]/g, "").slice(0, 17)}-${randomUUID().slice(0, 8)}`;
}

/** When a run began, by its id; undefined for what is none. */
export function beginOf(run: string): Date | undefined {
  const [, year, month, day, hour, minute] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d)(\d\d)\d\d-/.exec(run) ?? [];
  return year === undefined ? undefined : new Date(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
}
