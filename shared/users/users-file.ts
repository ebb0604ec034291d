/** Users in an htpasswd file. */
import { constants } from "node:fs";
import { open, readFile, realpath, rename, stat, unlink, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { UsersError, type UsersEdit, type UsersStore } from "./users.ts";

/** Of a file that is made anew: its owner's alone. */
const MODE = 0o600;
/** How long somebody else's change is waited for, in milliseconds: it takes one write. */
const PATIENCE_MS = 10_000;
const PAUSE_MS = 20;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** How a file is changed. */
export interface UsersFileOptions {
  /** How long somebody else's change is waited for, in milliseconds. */
  readonly patienceMs?: number;
}

/**
 * An htpasswd file, replaced all at once, with its mode and owner. `FILE.lock` is the new file until it takes the old one's
 * place, and keeps others out meanwhile that do the same; `htpasswd` does not look at it.
 */
export class UsersFile implements UsersStore {
  readonly name: string;
  readonly #path: string;
  readonly #patienceMs: number;

  constructor(file: string, { patienceMs = PATIENCE_MS }: UsersFileOptions = {}) {
    this.#path = file;
    this.name = `the file ${file}`;
    this.#patienceMs = patienceMs;
  }

  async read(): Promise<string | undefined> {
    try {
      return utf8.decode(await readFile(this.#path));
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw new UsersError(`${this.name} cannot be read: ${String(error)}`, { cause: error });
    }
  }

  async change(edit: UsersEdit): Promise<void> {
    // A link stays one: what it leads to is replaced.
    const target = await realpath(this.#path).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return path.resolve(this.#path);
      throw error;
    });
    const lock = `${target}.lock`;
    const file = await this.#take(lock);
    try {
      const text = await this.read();
      const changed = edit(text ?? "");
      if (changed === (text ?? "")) {
        await file.close();
        await unlink(lock);
        return;
      }
      await likeBefore(file, target);
      await file.writeFile(changed);
      await file.sync();
      await file.close();
      await rename(lock, target);
    } catch (error) {
      await file.close().catch(() => undefined);
      await unlink(lock).catch(() => undefined);
      if (error instanceof UsersError) throw error;
      throw new UsersError(`${this.name} cannot be changed: ${String(error)}`, { cause: error });
    }
    await syncFolder(path.dirname(target));
  }

  async #take(lock: string): Promise<FileHandle> {
    for (const began = performance.now(); ;) {
      try {
        return await open(lock, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, MODE);
      } catch (error) {
        if (codeOf(error) !== "EEXIST") {
          throw new UsersError(`${this.name} cannot be changed: ${String(error)}`, { cause: error });
        }
        if (performance.now() - began >= this.#patienceMs) {
          throw new UsersError(`somebody else is changing ${this.name}; if nobody is, remove ${lock}`, {
            cause: error,
          });
        }
        await delay(PAUSE_MS);
      }
    }
  }
}

/** Gives the new file the mode and owner of the old one, where there is one. */
async function likeBefore(file: FileHandle, old: string): Promise<void> {
  const before = await stat(old).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (before === undefined) return;
  const now = await file.stat();
  if (before.uid !== now.uid || before.gid !== now.gid) await file.chown(before.uid, before.gid);
  await file.chmod(before.mode & 0o7777);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
