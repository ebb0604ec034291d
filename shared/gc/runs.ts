import type { StorageDriver } from "../storage/driver.ts";
import { kindOf, readJournal } from "./journal.ts";
import { beginOf, listRuns } from "./run-id.ts";
import { readSummary, type Amount, type Summary } from "./summary.ts";
import { readUndoRecord, type UndoRecord } from "./undo-record.ts";

/** A run that something is kept of. */
export interface KeptRun {
  readonly run: string;
  readonly begun: Date | undefined;
  /** Undefined where it is under way, or was left off. */
  readonly summary: Summary | undefined;
  /** By the store's clock, and what came of it; undefined where it was not undone. */
  readonly undone: { readonly at: Date; readonly record: UndoRecord | undefined } | undefined;
}

/** The runs that something is kept of, the oldest first: a read for each, and one more for each that was undone. */
export async function keptRuns(driver: StorageDriver): Promise<KeptRun[]> {
  const { runs, undone } = await listRuns(driver);
  const kept: KeptRun[] = [];
  for (const run of runs) {
    const at = undone.get(run);
    kept.push({
      run,
      begun: beginOf(run),
      summary: await readSummary(driver, run),
      undone: at === undefined ? undefined : { at, record: await readUndoRecord(driver, run) },
    });
  }
  return kept;
}

const COUNTED = { blob: "blobs", manifest: "manifests", tag: "tags" } as const;

/**
 * What a run deleted, by its journal: also of a run that did not come to its end. Some of it may have been left alone. Links
 * to what has no bytes do not count.
 */
export async function journalCounts(driver: StorageDriver, run: string): Promise<Amount> {
  const counts = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
  for await (const { entries } of readJournal(driver, run)) {
    for (const entry of entries) {
      const kind = kindOf(entry);
      if (kind === "links") continue;
      counts[COUNTED[kind]]++;
      counts.bytes += entry.size ?? 0;
    }
  }
  return counts;
}
