import type { RepositoryName, Tag } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { mapLimit } from "../storage/concurrency.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { kindOf, readJournal, type JournalEntry } from "./journal.ts";
import { beginOf, listRuns } from "./run-id.ts";
import { readSummary, type Amount, type Summary } from "./summary.ts";
import { readUndoRecord, type UndoRecord } from "./undo-record.ts";

/** Side by side. */
const HEADS = 24;

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

const COUNTED = { blob: "blobs", links: "blobs", manifest: "manifests", tag: "tags" } as const;

/**
 * What a run deleted, by its journal: also of a run that did not come to its end. Some of it may have been left alone. Links
 * to what has no bytes do not count.
 */
export async function journalCounts(driver: StorageDriver, run: string): Promise<Amount> {
  const counts = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
  for await (const { entries } of readJournal(driver, run)) {
    for (const entry of entries) if (kindOf(entry) !== "links") add(counts, entry);
  }
  return counts;
}

/**
 * What is gone of some batches of a run's journal, by the key of each thing that goes last: a HEAD each. Links to what has
 * no bytes count as a blob, as in a summary.
 */
export async function goneCounts(
  driver: StorageDriver,
  run: string,
  isWanted: (batch: string) => boolean,
): Promise<Amount> {
  const counts = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
  for await (const { entries } of readJournal(driver, run, isWanted)) {
    const there = await mapLimit(entries, HEADS, async (entry) => await driver.head(lastKeyOf(entry)));
    entries.forEach((entry, index) => {
      if (there[index] === undefined) add(counts, entry);
    });
  }
  return counts;
}

function lastKeyOf({ repository, tag, links, bytes }: JournalEntry): string {
  if (tag !== undefined) return layout.tagLink(repository as RepositoryName, tag as Tag);
  return bytes ?? links.at(-1) ?? "";
}

function add(counts: { -readonly [K in keyof Amount]: Amount[K] }, entry: JournalEntry): void {
  counts[COUNTED[kindOf(entry)]]++;
  counts.bytes += entry.size ?? 0;
}
