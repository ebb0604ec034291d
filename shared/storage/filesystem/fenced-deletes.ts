import fs from "node:fs";
import path from "node:path";
import { mapLimit } from "../concurrency.ts";
import { asError } from "../as-error.ts";
import { DeletesFailedError, type FencedDelete, type FencedDeletes, type Trash } from "../driver.ts";
import { checkKey, checkPermitId, checkRun } from "../key.ts";
import { checkClock } from "./clock.ts";
import {
  asStorageFault,
  codeOf,
  linkInto,
  mkdir,
  prune,
  readdir,
  rename,
  rmdir,
  stat,
  syncFolder,
  unlink,
  type FolderRule,
} from "./files.ts";
import { isAbsent } from "./reads.ts";

/** Deletes, and what is synced, at a time. */
const AT_ONCE = 8;

/** A name in the trash is cut into pieces of this length: a file system takes 255 bytes. */
const NAME_BYTES = 200;

/** Where permits and what was deleted lie, and where the objects do. */
export interface FenceFolders {
  readonly permits: string;
  readonly trash: string;
  /** Which folders stay when they are empty. */
  readonly stays: FolderRule;
  /** The file of a key. */
  pathOf(key: string): string;
  /** The name of a file that is not there. */
  temporary(): string;
}

/**
 * A permit is a folder, and a delete a rename into it: whoever ends the permit takes the folder away, which is one step,
 * and no rename finds it again. Time alone ends a permit here only as far as the sender looks at the clock; what it had
 * begun then, `revokeExpired` ends.
 *
 * `<permits>/<run>/<nonce>/moved/` holds what was deleted; the folder above it is as old as the permit, since nothing else
 * comes or goes in it. When the permit has ended it lies in `<trash>/<run>/<nonce>/`.
 */
export class FolderFence implements FencedDeletes {
  readonly lifetimeMs: number;
  readonly trash: Trash;
  readonly #folders: FenceFolders;

  constructor(folders: FenceFolders, lifetimeMs: number) {
    this.#folders = folders;
    this.lifetimeMs = lifetimeMs;
    this.trash = {
      keeps: async () => true,
      runs: async () => await this.#runs(),
      restore: async (items) => {
        const found = await mapLimit(items, AT_ONCE, async ({ key, id }) => await this.#restore(key, id));
        return items.filter((_, index) => found[index] !== true).map(({ key }) => key);
      },
      empty: async (run) => {
        checkRun(run);
        for (const folder of [folders.trash, folders.permits]) {
          await fs.promises.rm(path.join(folder, run), { recursive: true, force: true });
        }
      },
    };
  }

  async isKept(): Promise<boolean> {
    await checkClock(this.#folders.temporary());
    return true;
  }

  async open(id: string): Promise<void> {
    checkPermitId(id);
    await asStorageFault(async () => await mkdir(this.#moved(this.#folders.permits, id), { recursive: true }));
  }

  async delete(items: readonly FencedDelete[]): Promise<readonly string[]> {
    for (const { key } of items) checkKey(key);
    const changed = new Set<string>();
    const failures = new Map<string, Error>();
    const done = await mapLimit(items, AT_ONCE, async (item) => {
      return await asStorageFault(async () => await this.#delete(item, changed)).catch((error: unknown) => {
        failures.set(item.key, asError(error));
        return true;
      });
    });
    await mapLimit([...changed], AT_ONCE, syncFolder);
    const refused = items.filter((_, index) => done[index] !== true).map(({ key }) => key);
    if (failures.size > 0) throw new DeletesFailedError(failures, refused);
    return refused;
  }

  async revoke(id: string): Promise<void> {
    checkPermitId(id);
    const [from, to] = [path.join(this.#folders.permits, id), path.join(this.#folders.trash, id)];
    await asStorageFault(async () => {
      await mkdir(path.dirname(to), { recursive: true });
      try {
        await rename(from, to);
      } catch (error) {
        if (!isAbsent(error)) throw error;
        return;
      }
      // Nothing was deleted with most of those that must be revoked.
      await rmdir(path.join(to, "moved")).then(async () => await rmdir(to), ignoreFull);
    });
  }

  async revokeExpired(): Promise<void> {
    for (const run of await namesIn(this.#folders.permits)) {
      for (const nonce of await namesIn(path.join(this.#folders.permits, run))) {
        const opened = await stat(path.join(this.#folders.permits, run, nonce)).catch(undefinedIfAbsent);
        if (opened !== undefined && Date.now() - opened.mtimeMs > this.lifetimeMs) await this.revoke(`${run}/${nonce}`);
      }
    }
  }

  /** False if the permit is over. Adds the folders that were changed. */
  async #delete({ key, permit: { id, since } }: FencedDelete, changed: Set<string>): Promise<boolean> {
    checkPermitId(id);
    const from = this.#folders.pathOf(key);
    // A rename would take a folder too, which is no object.
    if ((await stat(from).catch(undefinedIfAbsent))?.isFile() !== true) return true;
    const moved = this.#moved(this.#folders.permits, id);
    const to = path.join(moved, nameOf(key));
    if (Date.now() > since.getTime() + this.lifetimeMs) return false;
    try {
      await makeBetween(moved, to);
      await rename(from, to);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      // The object is gone, or the permit.
      return (await stat(moved).catch(undefinedIfAbsent)) !== undefined;
    }
    changed.add(await prune(path.dirname(from), this.#folders.stays));
    for (let folder = path.dirname(to); folder !== path.dirname(this.#folders.permits); folder = path.dirname(folder)) {
      changed.add(folder);
    }
    return true;
  }

  /** False if it is neither in its place nor in the trash. */
  async #restore(key: string, id: string): Promise<boolean> {
    checkPermitId(id);
    const target = this.#folders.pathOf(key);
    const isThere = async (): Promise<boolean> => (await stat(target).catch(undefinedIfAbsent)) !== undefined;
    if (await isThere()) return true;
    // In the order in which it goes when the permit is ended meanwhile.
    for (const folder of [this.#folders.permits, this.#folders.trash]) {
      const file = path.join(this.#moved(folder, id), nameOf(key));
      try {
        const now = new Date();
        await fs.promises.utimes(file, now, now);
        await linkInto(file, target);
      } catch (error) {
        if (codeOf(error) === "EEXIST") return true;
        if (isAbsent(error)) continue;
        throw error;
      }
      await unlink(file).catch(undefinedIfAbsent);
      return true;
    }
    // Another may have brought it back just now.
    return await isThere();
  }

  async #runs(): Promise<readonly string[]> {
    const [ended, open] = await Promise.all([namesIn(this.#folders.trash), namesIn(this.#folders.permits)]);
    return [...new Set([...ended, ...open])].sort();
  }

  #moved(folder: string, id: string): string {
    return path.join(folder, id, "moved");
  }
}

/** The name of a key below a permit's folder: a backslash, which no key has, for each slash, cut where it is too long. */
function nameOf(key: string): string {
  const flat = key.replaceAll("/", "\\");
  const pieces: string[] = [];
  for (let at = 0; at < flat.length; at += NAME_BYTES) pieces.push(flat.slice(at, at + NAME_BYTES));
  const last = pieces.pop() ?? "";
  return [...pieces.map((piece) => `${piece}\\d`), `${last}\\f`].join("/");
}

/** Makes the folders between one that is there and a file, never that one. Throws ENOENT. */
async function makeBetween(top: string, file: string): Promise<void> {
  const steps = path.relative(top, path.dirname(file)).split(path.sep);
  for (let at = top; steps.length > 0;) {
    at = path.join(at, steps.shift() ?? "");
    if (at === top) continue;
    await mkdir(at).catch((error: unknown) => {
      if (codeOf(error) !== "EEXIST") throw error;
    });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(undefinedIfAbsent)) ?? [];
}

function undefinedIfAbsent(error: unknown): undefined {
  if (!isAbsent(error)) throw error;
  return undefined;
}

function ignoreFull(error: unknown): void {
  if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error;
}
