import { layout } from "../registry/layout.ts";
import { listChildren, type StorageDriver } from "../storage/driver.ts";
import { readJournal } from "./journal.ts";
import { beginOf } from "./run-id.ts";
import { readSummary, type Summary } from "./summary.ts";

/** A run that something is kept of. */
export interface KeptRun {
  readonly run: string;
  readonly begun: Date | undefined;
  /** Undefined where it is under way, or was left off. */
  readonly summary: Summary | undefined;
}

/** What a run deleted, by its journal: also of a run that did not come to its end. Some of it may have been left alone. */
export interface JournalCounts {
  readonly blobs: number;
  /** In bytes, of the blobs. */
  readonly bytes: number;
  readonly manifests: number;
  readonly tags: number;
}

/** The runs that something is kept of, the oldest first. */
export async function keptRuns(driver: StorageDriver): Promise<KeptRun[]> {
  const runs: KeptRun[] = [];
  for (const run of await listChildren(driver, layout.gcRuns)) {
    runs.push({ run, begun: beginOf(run), summary: await readSummary(driver, run) });
  }
  return runs;
}

/** Counts what a run's journal has. */
export async function journalCounts(driver: StorageDriver, run: string): Promise<JournalCounts> {
  const counts = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
  for await (const { entries } of readJournal(driver, run)) {
    for (const { bytes, tag, size = 0 } of entries) {
      if (tag !== undefined) counts.tags++;
      else if (bytes === undefined) counts.manifests++;
      else counts.blobs++;
      counts.bytes += size;
    }
  }
  return counts;
}
