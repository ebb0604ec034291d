/**
 * Objects as files below a root folder: the key is the path. Readable and writable beside other registries that use the
 * same folder, and by several processes at once.
 *
 * A write goes to a temporary file, is synced, and gets its name by a rename (or, where the name must be free, by a link);
 * then the folder is synced. So a reader sees the old object or the new one, and what was answered survives a power cut.
 * Keys `a` and `a/b` cannot both exist here.
 */
import { createHash, randomUUID } from "node:crypto";
import type { BigIntStats } from "node:fs";
import path from "node:path";
import {
  ObjectTooLargeError,
  PreconditionFailedError,
  type ByteRange,
  type DraftStore,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type StoredObject,
} from "../driver.ts";
import { checkKey, checkPrefix } from "../key.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import { streamFile } from "./body.ts";
import { FileDrafts } from "./drafts.ts";
import {
  asStorageFault,
  close,
  closeQuietly,
  codeOf,
  fstat,
  fsync,
  isAbsent,
  linkInto,
  moveInto,
  open,
  openForWrite,
  read,
  readdir,
  remove,
  stat,
  unlink,
  write,
} from "./files.ts";

/** The folder for temporary files and claims. It is on the same file system as the objects, and no listing shows it. */
const PRIVATE_FOLDER = ".lading";

/** Objects up to this size are read in one go; larger ones are streamed. */
const INLINE_BYTES = 64 * 1024;

const FIRST_READ_BYTES = 16 * 1024;

/** Entries of a page at most. A folder is read whole for each page, so pages are large. */
const PAGE = 10_000;

/** A claim older than this was left by a process that died: a live one holds it for as long as a rename takes. */
const CLAIM_MAX_AGE_MS = 60 * 60 * 1000;

export class FilesystemDriver implements StorageDriver {
  readonly name = "filesystem";
  readonly drafts: DraftStore;
  readonly #root: string;
  readonly #private: string;

  /** `root` is made when the first object is written. */
  constructor(root: string, budget: MemoryBudget) {
    this.#root = path.resolve(root);
    this.#private = path.join(this.#root, PRIVATE_FOLDER);
    this.drafts = new FileDrafts(
      { root: this.#root, pathOf: (key) => this.#path(key), temporary: () => this.#temporary() },
      budget,
    );
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    try {
      const stats = await stat(this.#path(key), { bigint: true });
      return stats.isFile() ? infoOf(stats) : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    const fd = await this.#openForRead(key);
    if (fd === undefined) return undefined;
    try {
      // Nearly everything fits: then a short read has shown the end, and the size need not be asked for.
      const first = Buffer.allocUnsafe(Math.min(limit + 1, FIRST_READ_BYTES));
      const { bytesRead } = await read(fd, first, 0, first.byteLength, 0);
      if (bytesRead < first.byteLength) return first.subarray(0, bytesRead);
      const { size } = await fstat(fd);
      if (size > limit) throw new ObjectTooLargeError(key, limit);
      return await readExactly(fd, 0, Number(size));
    } catch (error) {
      if (codeOf(error) === "EISDIR") return undefined;
      throw error;
    } finally {
      closeQuietly(fd);
    }
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    const fd = await this.#openForRead(key);
    if (fd === undefined) return undefined;
    let handedOver = false;
    try {
      const stats = await fstat(fd);
      if (!stats.isFile()) return undefined;
      const info = infoOf(stats);
      const start = range?.start ?? 0;
      const end = Math.min(info.size, range === undefined ? info.size : range.end + 1);
      if (end - start <= INLINE_BYTES) return { ...info, body: await readExactly(fd, start, end) };
      handedOver = true;
      return { ...info, body: streamFile(fd, start, end, closeQuietly) };
    } finally {
      if (!handedOver) closeQuietly(fd);
    }
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<{ etag: string }> {
    const target = this.#path(key);
    return await asStorageFault(async () => {
      const temporary = this.#temporary();
      try {
        const etag = await writeFile(temporary, bytes);
        if (condition === undefined) await moveInto(temporary, target);
        else if ("ifNoneMatch" in condition) await this.#putIfAbsent(key, temporary, target);
        else await this.#putIfMatch(key, temporary, target, condition.ifMatch);
        return { etag };
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
    });
  }

  async delete(key: string): Promise<void> {
    await asStorageFault(async () => await remove(this.#path(key), this.#root));
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const failures: unknown[] = [];
    for (const key of keys) {
      await this.delete(key).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    checkPrefix(prefix);
    const { delimiter, startAfter = "", limit = PAGE } = options;
    const objects: ListedObject[] = [];
    const prefixes: string[] = [];
    let last: string | undefined;
    for await (const name of this.#walk(prefix, delimiter === undefined, startAfter)) {
      if (objects.length + prefixes.length >= Math.min(limit, PAGE)) return { objects, prefixes, ...nextOf(last) };
      last = name;
      if (name.endsWith("/")) prefixes.push(name);
      else {
        const info = await this.head(name);
        if (info !== undefined) objects.push({ key: name, size: info.size, lastModified: info.lastModified });
      }
    }
    return { objects, prefixes };
  }

  /** Removes temporary files and claims that a process which died left behind, older than `maxAgeMs`. */
  async removeLeftovers(maxAgeMs: number): Promise<void> {
    for (const folder of ["tmp", "claims"].map((name) => path.join(this.#private, name))) {
      const names = await readdir(folder).catch((error: unknown) => {
        if (isAbsent(error)) return [];
        throw error;
      });
      for (const name of names) {
        const file = path.join(folder, name);
        if (await isOlderThan(file, maxAgeMs)) await unlink(file).catch(() => undefined);
      }
    }
  }

  #path(key: string): string {
    checkKey(key);
    if (key === PRIVATE_FOLDER || key.startsWith(`${PRIVATE_FOLDER}/`)) throw new TypeError(`reserved key: ${key}`);
    return `${this.#root}/${key}`;
  }

  #temporary(): string {
    return path.join(this.#private, "tmp", randomUUID());
  }

  async #openForRead(key: string): Promise<number | undefined> {
    const file = this.#path(key);
    try {
      return await asStorageFault(async () => await open(file, "r"));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async #putIfAbsent(key: string, temporary: string, target: string): Promise<void> {
    try {
      await linkInto(temporary, target);
    } catch (error) {
      if (codeOf(error) === "EEXIST") throw new PreconditionFailedError(key);
      throw error;
    }
    await unlink(temporary);
  }

  /**
   * Compare-and-swap, also between processes. Each version of an object can be claimed by one writer at a time: the claim is
   * a file named after key and etag, made exclusively. The etag is compared *after* claiming, since the version may have
   * been replaced, and its claim given up, in between.
   */
  async #putIfMatch(key: string, temporary: string, target: string, etag: string): Promise<void> {
    const name = createHash("sha256").update(`${key}\n${etag}`).digest("hex");
    const claim = path.join(this.#private, "claims", name);
    try {
      await linkInto(temporary, claim);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      if (await isOlderThan(claim, CLAIM_MAX_AGE_MS)) await unlink(claim).catch(() => undefined);
      throw new PreconditionFailedError(key);
    }
    try {
      if ((await this.head(key))?.etag !== etag) throw new PreconditionFailedError(key);
      await moveInto(temporary, target);
    } finally {
      await unlink(claim).catch(() => undefined);
    }
  }

  /** Names below a prefix in byte order: keys, and with `deep` unset also rolled-up prefixes, which end in a slash. */
  async *#walk(prefix: string, deep: boolean, startAfter: string): AsyncGenerator<string> {
    const folder = prefix === "" ? this.#root : `${this.#root}/${prefix.slice(0, -1)}`;
    for (const name of await namesIn(folder)) {
      if (prefix === "" && name === `${PRIVATE_FOLDER}/`) continue;
      const full = prefix + name;
      if (name.endsWith("/") && deep) {
        // Everything below this folder comes before `startAfter`, unless that lies below it too.
        if (full > startAfter || startAfter.startsWith(full)) yield* this.#walk(full, deep, startAfter);
      } else if (full > startAfter) yield full;
    }
  }
}

/** Files, and folders with a slash, in the order that their keys have. Names that are no keys are not shown. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const names: string[] = [];
    for (const entry of entries) {
      if (entry.isDirectory()) names.push(`${entry.name}/`);
      else if (entry.isFile()) names.push(entry.name);
    }
    return names.filter(isKeyComponent).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function isKeyComponent(name: string): boolean {
  return !/[^\x21-\x7e]|\\/.test(name);
}

function nextOf(last: string | undefined): { next?: string } {
  return last === undefined ? {} : { next: last };
}

function infoOf(stats: BigIntStats): ObjectInfo {
  return { size: Number(stats.size), etag: etagOf(stats), lastModified: stats.mtime };
}

/** Every write makes a new file, so inode and time tell any two versions apart. */
function etagOf(stats: BigIntStats): string {
  return `"${stats.mtimeNs.toString(36)}-${stats.ino.toString(36)}-${stats.size.toString(36)}"`;
}

async function writeFile(file: string, bytes: Uint8Array): Promise<string> {
  const fd = await openForWrite(file);
  try {
    for (let done = 0; done < bytes.byteLength;) {
      done += (await write(fd, bytes, done, bytes.byteLength - done, done)).bytesWritten;
    }
    await fsync(fd);
    return etagOf(await fstat(fd));
  } finally {
    await close(fd);
  }
}

async function readExactly(fd: number, start: number, end: number): Promise<Uint8Array> {
  const length = Math.max(0, end - start);
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await read(fd, buffer, done, length - done, start + done);
    if (bytesRead === 0) throw new Error("the file became shorter while it was read");
    done += bytesRead;
  }
  return buffer;
}

async function isOlderThan(file: string, ageMs: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(file)).mtimeMs > ageMs;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
