import { layout } from "../registry/layout.ts";
import { listChildren, listKeys, type StorageDriver } from "../storage/driver.ts";
import { eachTried } from "./tried.ts";

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

  /** Copies objects, for as long as the store bears it; those that are gone are passed over. Gives why others have no copy. */
  async copy(keys: readonly string[]): Promise<ReadonlyMap<string, Error>> {
    const tried = await eachTried(keys, COPIES, async (key) => await this.#driver.copy?.(key, this.#keyOf(key)));
    return new Map(keys.flatMap((key, index) => (tried[index] instanceof Error ? [[key, tried[index]]] : [])));
  }

  /** Copies one back; false where there is no copy. */
  async restore(key: string): Promise<boolean> {
    return (await this.#driver.copy?.(this.#keyOf(key), key)) ?? false;
  }

  #keyOf(key: string): string {
    return `${layout.gcTrash}${this.#run}/${key}`;
  }
}

/** Removes for good what runs set aside that `isOver`: in the store's own trash, and copies. Gives why some of it stays. */
export async function emptyTrash(driver: StorageDriver, isOver: (run: string) => boolean): Promise<readonly Error[]> {
  const { trash } = driver.fenced;
  const own = ((await trash?.runs()) ?? []).filter(isOver);
  const copies = (await listChildren(driver, layout.gcTrash)).filter(isOver);
  const tried = [
    ...(await eachTried(own, 1, async (run) => await trash?.empty(run))),
    ...(await eachTried(copies, 1, async (run) => await deleteBelow(driver, `${layout.gcTrash}${run}/`))),
  ];
  return tried.filter((result) => result instanceof Error);
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
        : "the bucket keeps no versions, or none that come back without MFA",
  };
}
