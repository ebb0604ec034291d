import { layout } from "../registry/layout.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { listChildren, listKeys, type StorageDriver } from "../storage/driver.ts";

const COPIES = 4;
const KEYS = 1000;

/**
 * Copies of what a run deletes, for a store that keeps none itself: under the run's folder each has its own key again. The
 * bytes pass through this process.
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
    await mapLimit(keys, COPIES, async (key) => await copyObject(this.#driver, key, this.#keyOf(key)));
  }

  /** Copies them back, but for those that are there again. Gives the keys that are neither there nor here. */
  async restore(keys: readonly string[]): Promise<readonly string[]> {
    const there = await mapLimit(keys, COPIES, async (key) => {
      return (await this.#driver.head(key)) !== undefined || (await copyObject(this.#driver, this.#keyOf(key), key));
    });
    return keys.filter((_, index) => there[index] !== true);
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

/** False where there is nothing to copy. */
async function copyObject(driver: StorageDriver, from: string, to: string): Promise<boolean> {
  const object = await driver.get(from);
  if (object === undefined) return false;
  const { body, size } = object;
  let passed = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      passed += chunk.byteLength;
      yield chunk;
    }
  };
  const verify = (): void => {
    if (passed !== size) throw new Error(`${from} has ${size} bytes, but ${passed} came`);
  };
  await driver.drafts.write(to, counted(), { length: size, verify });
  return true;
}
