/**
 * Objects as files below a root folder: the key is the path. Readable and writable beside other registries that use the
 * same folder, and by several processes at once.
 *
 * A write goes to a temporary file, is synced, and gets its name by a rename (or, where the name must be free, by a link);
 * then the folder is synced. So a reader sees the old object or the new one, and what was answered survives a power cut.
 * Keys `a` and `a/b` cannot both exist here. The store's time is this machine's: several that share a folder must agree on
 * it.
 */
import { createHash, randomUUID } from "node:crypto";
import path from "node:path";
import {
  ObjectTooLargeError,
  PERMIT_LIFETIME_MS,
  PreconditionFailedError,
  type ByteRange,
  type DraftStore,
  type FencedDeletes,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type Look,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type StoredObject,
  type Written,
} from "../driver.ts";
import { checkKey, checkPrefix } from "../key.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import { streamFile } from "./body.ts";
import { makeClaim, outlast } from "./claims.ts";
import { FileDrafts } from "./drafts.ts";
import { FolderFence } from "./fenced-deletes.ts";
import {
  asStorageFault,
  close,
  closeQuietly,
  codeOf,
  fstat,
  fsync,
  linkInto,
  makeFolder,
  moveInto,
  open,
  openForWrite,
  readdir,
  remove,
  rename,
  renameInto,
  rm,
  rmdir,
  stat,
  syncFolder,
  unlink,
  write,
  type FolderRule,
} from "./files.ts";
import { readThreads } from "./read-threads.ts";
import { etagOf, isAbsent, type Bytes, type FileInfo, type ReadAnswers, type ReadRequest } from "./reads.ts";

/** The folder for temporary files and claims. It is on the same file system as the objects, and no listing shows it. */
export const PRIVATE_FOLDER = ".lading";

/** Objects up to this size are read in one go; larger ones are streamed. */
const INLINE_BYTES = 64 * 1024;

/** Lines of printable ASCII without backslashes. */
const KEY_CHARACTERS = /^[\n\x21-\x5b\x5d-\x7e]*$/;

/** Entries of a page at most. A folder is read whole for each page, so pages are large. */
const PAGE = 10_000;

export class FilesystemDriver implements StorageDriver {
  readonly name = "filesystem";
  readonly drafts: DraftStore;
  readonly fenced: FencedDeletes;
  readonly #root: string;
  readonly #stays: FolderRule;
  readonly #private: string;

  /**
   * `root` is made when the first object is written. Folders that a delete leaves empty are removed, but for those of which
   * `keepFolder` says, given their key without a slash at the end, that they stay.
   * `permitMs` is the lifetime of a permit to delete.
   */
  constructor(
    root: string,
    budget: MemoryBudget,
    keepFolder: FolderRule = () => false,
    permitMs: number = PERMIT_LIFETIME_MS,
  ) {
    this.#root = path.resolve(root);
    this.#private = path.join(this.#root, PRIVATE_FOLDER);
    this.#stays = (folder) => folder.length <= this.#root.length || keepFolder(folder.slice(this.#root.length + 1));
    this.drafts = new FileDrafts(
      { stays: this.#stays, pathOf: (key) => this.#path(key), temporary: () => this.#temporary() },
      budget,
    );
    const [permits, trash] = [path.join(this.#private, "permits"), path.join(this.#private, "trash")];
    const pathOf = (key: string): string => this.#path(key);
    const temporary = (): string => this.#temporary();
    this.fenced = new FolderFence({ permits, trash, stays: this.#stays, pathOf, temporary }, permitMs);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const info = await this.#read(["stat", this.#path(key)]);
    return info === undefined ? undefined : infoOf(info);
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    const bytes = await this.#read(["read", this.#path(key), limit]);
    if (bytes === false) throw new ObjectTooLargeError(key, limit);
    return bytes === undefined ? undefined : unpack(bytes);
  }

  async look(key: string, limit: number): Promise<Look> {
    const seen = await this.#read(["look", this.#path(key), limit]);
    if (seen === false) throw new ObjectTooLargeError(key, limit);
    const { asOfMs, found } = seen;
    const asOf = new Date(asOfMs);
    return found === undefined ? { asOf } : { asOf, object: { ...infoOf(found.info), bytes: unpack(found.bytes) } };
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    const file = this.#path(key);
    const { start, end } = range ?? { start: 0, end: Number.MAX_SAFE_INTEGER - 1 };
    const found = await this.#read(["get", file, start, end + 1, INLINE_BYTES]);
    if (found === undefined) return undefined;
    if (found.bytes !== undefined) return { ...infoOf(found.info), body: unpack(found.bytes) };
    return await streamObject(file, start, end + 1);
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<Written> {
    const target = this.#path(key);
    return await asStorageFault(async () => {
      if (condition !== undefined && "ifMatch" in condition) {
        return { etag: await this.#putIfMatch(key, bytes, condition.ifMatch), asOf: new Date() };
      }
      const temporary = this.#temporary();
      try {
        const etag = await writeFile(temporary, bytes);
        if (condition === undefined) await moveInto(temporary, target);
        else await this.#putIfAbsent(key, temporary, target);
        return { etag, asOf: new Date() };
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
    });
  }

  async delete(key: string): Promise<void> {
    await asStorageFault(async () => await remove(this.#path(key), this.#stays));
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
    const asOf = new Date();
    const { delimiter, startAfter = "", limit = PAGE } = options;
    const wanted = Math.min(limit, PAGE);
    const names =
      delimiter === undefined ? await this.#below(prefix, startAfter, wanted + 1) : await this.#namesIn(prefix);
    const rest = startAfter === "" ? names : names.filter((name) => name > startAfter);
    const page = rest.slice(0, wanted);
    const prefixes = page.filter((name) => name.endsWith("/"));
    const objects: ListedObject[] = [];
    for (const key of prefixes.length === page.length ? [] : page) {
      const info = key.endsWith("/") ? undefined : await this.head(key);
      if (info !== undefined) objects.push({ key, size: info.size, lastModified: info.lastModified, etag: info.etag });
    }
    const last = page.at(-1);
    return { objects, prefixes, asOf, ...(page.length < rest.length && last !== undefined ? { next: last } : {}) };
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
        if (await isOlderThan(file, maxAgeMs)) await this.#takeAway(file);
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

  async #read<const R extends ReadRequest>(request: R): Promise<ReadAnswers[R[0]]> {
    return await asStorageFault<ReadAnswers[R[0]]>(async () => await readThreads.read(request));
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
   * Compare-and-swap, also between processes: see `claims.ts`. The etag is compared *after* claiming, since the version may
   * have been replaced, and its claim given up, in between.
   */
  async #putIfMatch(key: string, bytes: Uint8Array, etag: string): Promise<string> {
    const target = this.#path(key);
    const claim = path.join(this.#private, "claims", createHash("sha256").update(`${key}\n${etag}`).digest("hex"));
    const [prepared, name] = [this.#temporary(), randomUUID()];
    const checkVersion = async (): Promise<void> => {
      if ((await this.head(key))?.etag !== etag) throw new PreconditionFailedError(key);
    };
    try {
      await makeFolder(prepared);
      const written = await writeFile(path.join(prepared, name), bytes);
      while (!(await makeClaim(prepared, claim))) {
        await outlast(claim);
        await checkVersion();
      }
      await checkVersion();
      await rename(path.join(claim, name), target).catch((error: unknown) => {
        // The claim was broken, or the object was deleted, and its folder with it.
        throw isAbsent(error) ? new PreconditionFailedError(key) : error;
      });
      await syncFolder(path.dirname(target));
      return written;
    } finally {
      for (const folder of [prepared, claim]) {
        await unlink(path.join(folder, name)).catch(() => undefined);
        await rmdir(folder).catch(() => undefined); // of others, which has their bytes in it, it fails
      }
    }
  }

  /** Removes what a process that died left behind, so that it is gone in one step. */
  async #takeAway(leftover: string): Promise<void> {
    const aside = this.#temporary();
    await renameInto(leftover, aside).catch(() => undefined);
    await rm(aside, { recursive: true, force: true });
  }

  /** Keys, and prefixes that end in a slash, one level below a prefix, in byte order. */
  async #namesIn(prefix: string): Promise<string[]> {
    const folder = prefix === "" ? this.#root : `${this.#root}/${prefix.slice(0, -1)}`;
    const names = split(await this.#read(["names", folder]));
    if (prefix === "") return names.filter((name) => name !== `${PRIVATE_FOLDER}/`);
    return names.map((name) => prefix + name);
  }

  /** The first `limit` keys after `startAfter` at any depth below a prefix, in byte order. */
  async #below(prefix: string, startAfter: string, limit: number): Promise<string[]> {
    const keys: string[] = [];
    for (const name of await this.#namesIn(prefix)) {
      if (keys.length >= limit) break;
      if (!name.endsWith("/")) {
        if (name > startAfter) keys.push(name);
      } else if (name > startAfter || startAfter.startsWith(name)) {
        // Else everything below this folder comes before `startAfter`.
        keys.push(...(await this.#below(name, startAfter, limit - keys.length)));
      }
    }
    return keys;
  }
}

/** Names as the threads send them, without those that are no keys. */
function split(names: string): string[] {
  const all = names.split("\n");
  all.pop();
  return KEY_CHARACTERS.test(names) ? all : all.filter((name) => KEY_CHARACTERS.test(`${name}\n`));
}

function infoOf([size, modifiedMs, etag, asOfMs]: FileInfo): ObjectInfo {
  return { size, etag, lastModified: new Date(modifiedMs), asOf: new Date(asOfMs) };
}

function unpack(bytes: Bytes): Uint8Array {
  return typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
}

/** A file that is too large to be read at once. */
async function streamObject(file: string, start: number, end: number): Promise<StoredObject | undefined> {
  let fd: number;
  try {
    fd = await asStorageFault(async () => await open(file, "r"));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  try {
    const stats = await fstat(fd);
    const size = Number(stats.size);
    const body = streamFile(fd, start, Math.min(size, end), closeQuietly);
    return { size, etag: etagOf(stats), lastModified: stats.mtime, asOf: new Date(), body };
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
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

async function isOlderThan(file: string, ageMs: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(file)).mtimeMs > ageMs;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
