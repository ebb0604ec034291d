/** That a run was undone, and what came of it. */
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import type { Amount } from "./summary.ts";
import { undo, type Undone, type UndoneEntry } from "./undo.ts";

const RECORD_BYTES = 64 * 1024;

/** What became of all that a run had deleted, when it was undone. When that was is the time of the object. */
export interface UndoRecord {
  readonly restored: Amount;
  /** What was there anyway: an earlier try had brought it back, nobody had deleted it, or somebody pushed it again. */
  readonly there: Amount;
  /** What could not be brought back. */
  readonly missing: Amount;
}

/**
 * Undoes a run, and then writes down that it did, in one write. What is there after an undo is `restored` and `there`
 * together, so that one which goes on after another that broke off says the same of it as one that did it all. A later one
 * takes the place of its record, and nothing is added up, which would count twice what was deleted again in between; but for
 * one that brought nothing back: that changed nothing, and leaves the record of the one that did.
 */
export async function undoAndRecord(
  driver: StorageDriver,
  run: string,
  times: GcTimes,
  tell: (entry: UndoneEntry) => void = () => undefined,
): Promise<Undone> {
  const record = { restored: nothing(), there: nothing(), missing: nothing() };
  const undone = await undo(driver, run, times, (entry) => {
    add(record[entry.outcome === "gone" ? "missing" : entry.outcome], entry);
    tell(entry);
  });
  await writeUndoRecord(driver, run, record);
  return undone;
}

/** What is recorded of the undoing of a run; undefined where it was not undone, or is forgotten. */
export async function readUndoRecord(driver: StorageDriver, run: string): Promise<UndoRecord | undefined> {
  const bytes = await driver.read(layout.gcUndone(run), RECORD_BYTES);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as UndoRecord);
}

async function writeUndoRecord(driver: StorageDriver, run: string, record: UndoRecord): Promise<void> {
  const { blobs, manifests, tags } = record.restored;
  const condition = blobs + manifests + tags === 0 ? { ifNoneMatch: "*" as const } : undefined;
  try {
    await driver.put(layout.gcUndone(run), Buffer.from(JSON.stringify(record)), condition);
  } catch (error) {
    if (!(error instanceof PreconditionFailedError)) throw error;
  }
}

type Sum = { -readonly [K in keyof Amount]: Amount[K] };

function nothing(): Sum {
  return { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
}

function add(sum: Sum, { entry: { tag, bytes, size = 0 } }: UndoneEntry): void {
  if (tag !== undefined) sum.tags++;
  else if (bytes === undefined) sum.manifests++;
  else {
    sum.blobs++;
    sum.bytes += size;
  }
}
