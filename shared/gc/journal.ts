/**
 * What a run deleted, written before it does, so that it can be undone.
 *
 *     _gc/runs/<run>/journal/<name>       JournalBatch, as JSON; for names see `journalName`
 *     _gc/runs/<run>/summary              Summary, as JSON
 *     _gc/runs/<run>.undone               UndoRecord, as JSON
 */
import type { Digest } from "../oci/digest.ts";
import { layout } from "../registry/layout.ts";
import { listKeys, listPages, type Permit, type StorageDriver } from "../storage/driver.ts";

/** The largest journal object: a batch has some thousand keys. */
const JOURNAL_BYTES = 64 * 1024 * 1024;

/**
 * One thing that was deleted: a blob with its links, a manifest of a repository with its referrer entries, a tag, or links to
 * what had no bytes.
 */
export interface JournalEntry {
  readonly digest: Digest;
  /** The repository, for a manifest or a tag. */
  readonly repository?: string;
  /** The tag, where it is one; its link went last. */
  readonly tag?: string;
  /** Keys that hold nothing but the digest, in the order in which they went; for a tag those of its history. */
  readonly links: readonly string[];
  /** The key of the bytes, for a blob; it went last. */
  readonly bytes?: string;
  /** Of those bytes. */
  readonly size?: number;
}

/** What an entry is about. Links that led nowhere are not brought back: there is nothing that they could lead to. */
export function kindOf({ repository, tag, bytes }: JournalEntry): "blob" | "manifest" | "tag" | "links" {
  if (tag !== undefined) return "tag";
  if (repository !== undefined) return "manifest";
  return bytes === undefined ? "links" : "blob";
}

/** What was deleted with one permit. */
export interface JournalBatch {
  readonly permit: string;
  readonly entries: readonly JournalEntry[];
}

/**
 * A name for the batch that is deleted with a permit, `<since>-<batch>-<nonce of the permit>`: no other process writes it,
 * be it at the same run too, and names are in the order of time. Those that older versions wrote, `000000` and so on, come
 * before.
 */
export function journalName({ id, since }: Permit, batch: number): string {
  const time = since.toISOString().replaceAll(/[-:.]/g, "");
  return `${time}-${String(batch).padStart(6, "0")}-${id.slice(id.indexOf("/") + 1)}`;
}

/** Was it written by an older version, which named batches by their number alone? */
export function isNumbered(name: string): boolean {
  return /^\d+$/.test(name);
}

/** Writes one batch. Durable when it answers. */
export async function writeJournal(
  driver: StorageDriver,
  run: string,
  name: string,
  content: JournalBatch,
): Promise<void> {
  await driver.put(`${journalOf(run)}${name}`, Buffer.from(JSON.stringify(content)));
}

/** The batches of a run, in order: all, or those whose names are wanted. */
export async function* readJournal(
  driver: StorageDriver,
  run: string,
  isWanted: (name: string) => boolean = () => true,
): AsyncGenerator<JournalBatch> {
  for await (const { key } of listKeys(driver, journalOf(run))) {
    if (!isWanted(key.slice(key.lastIndexOf("/") + 1))) continue;
    const bytes = await driver.read(key, JOURNAL_BYTES);
    if (bytes !== undefined) yield JSON.parse(Buffer.from(bytes).toString()) as JournalBatch;
  }
}

/** The batches of a run and of all later ones, in order: those whose keys are wanted. */
export async function* readJournalsSince(
  driver: StorageDriver,
  run: string,
  isWanted: (key: string) => boolean,
): AsyncGenerator<JournalBatch & { readonly key: string; readonly run: string }> {
  const startAfter = `${layout.gcRuns}${run}`;
  for await (const { objects } of listPages(driver, layout.gcRuns, { startAfter })) {
    for (const { key } of objects) {
      const [of = "", folder, name] = key.slice(layout.gcRuns.length).split("/");
      if (folder !== "journal" || name === undefined || !isWanted(key)) continue;
      const bytes = await driver.read(key, JOURNAL_BYTES);
      if (bytes !== undefined) yield { key, run: of, ...(JSON.parse(Buffer.from(bytes).toString()) as JournalBatch) };
    }
  }
}

/** What was to be deleted with a permit. Empty where no batch has its name: it is forgotten, or an older version's. */
export async function readBatch(driver: StorageDriver, permit: Permit["id"]): Promise<readonly JournalEntry[]> {
  const [run = "", nonce = ""] = permit.split("/");
  for await (const { entries } of readJournal(driver, run, (name) => name.endsWith(`-${nonce}`))) return entries;
  return [];
}

function journalOf(run: string): string {
  return `${layout.gcRun(run)}journal/`;
}
