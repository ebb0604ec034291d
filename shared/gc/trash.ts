import { layout } from "../registry/layout.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { listChildren, listKeys, type StorageDriver } from "../storage/driver.ts";

const COPIES = 16;
const KEYS = 1000;

/**
 * Copies of what a run deletes, for a bucket that keeps no versions: under the run's folder each has its own key again. The
 * store makes them; of one that cannot there are none.
 */
export class SetAside {
  readonly #driver: StorageDriver;
  readonly #run: string;

  constructor(driver: StorageDriver, run: string) {
    this.#driver = driver;
    this.#run = run;
  }

  /** Copies objects; those that are gone are passed over. */
  async copy(keys: readonly string[]): Promise<void> {
    await mapLimit(keys, COPIES, async (key) => await this.#driver.copy?.(key, this.#keyOf(key)));
  }

  /** Copies one back; false where there is no copy. */
  async restore(key: string): Promise<boolean> {
    return (await this.#driver.copy?.(this.#keyOf(key), key)) ?? false;
  }

  #keyOf(key: string): string {
    return `${layout.gcTrash}${this.#run}/${key}`;
  }
}

/** Removes for good what runs set aside that `isOver`: in the store's own trash, and copies. */
export async function emptyTrash(driver: StorageDriver, isOver: (run: string) => boolean): Promise<void> {
  const { trash } = driver.fenced;
  for (const run of (await trash?.runs()) ?? []) if (isOver(run)) await trash?.empty(run);
  for (const run of await listChildren(driver, layout.gcTrash)) {
    if (isOver(run)) await deleteBelow(driver, `${layout.gcTrash}${run}/`);
  }
}

/**
 * Tells of runs that could be undone whether what they deleted is still kept, as far as that is for us to end: a bucket's
 * versions count as kept. One look into the store's own trash, or one LIST where there is none.
 */
export async function trashKept(driver: StorageDriver): Promise<(run: string, setAside: boolean) => boolean> {
  const own = await driver.fenced.trash?.runs();
  const kept = new Set(own ?? (await listChildren(driver, layout.gcTrash)));
  return (run, setAside) => kept.has(run) || (own === undefined && !setAside);
}

/** Deletes everything below a prefix that nobody else writes to. */
export async function deleteBelow(driver: StorageDriver, prefix: string): Promise<void> {
  let keys: string[] = [];
  for await (const { key } of listKeys(driver, prefix)) {
    keys.push(key);
    if (keys.length < KEYS) continue;
    await driver.deleteMany(keys);
    keys = [];
  }
  if (keys.length > 0) await driver.deleteMany(keys);
}

/** How what a run deletes can be brought back. */
export interface Undoing {
  /** Copies are put aside. */
  readonly setAside: boolean;
  /** Why it cannot: a clause. Absent where it can. */
  readonly cannotUndo?: string;
}

/** Asks the store what it keeps; copies are put aside only where they are wanted and it is not known to. */
export async function undoingOf(driver: StorageDriver, wanted: boolean): Promise<Undoing> {
  const kept = driver.fenced.trash === undefined ? false : await driver.fenced.trash.keeps();
  const setAside = wanted && kept !== true && driver.copy !== undefined;
  if (kept === true || setAside) return { setAside };
  return {
    setAside,
    cannotUndo:
      kept === undefined
        ? "the bucket does not say whether it keeps versions (s3:GetBucketVersioning)"
        : "the bucket keeps no versions",
  };
}
