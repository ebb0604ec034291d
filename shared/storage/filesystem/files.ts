/**
 * The few file operations that the driver is made of, on plain descriptors: FileHandle objects cost more than the calls.
 * Nothing here blocks the event loop.
 */
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { OverloadedError, StorageFullError } from "../driver.ts";
import { isAbsent } from "./reads.ts";

export const open = promisify(fs.open);
export const read = promisify(fs.read);
export const writev = promisify(fs.writev);
export const write = promisify(fs.write);
export const fsync = promisify(fs.fsync);
export const fdatasync = promisify(fs.fdatasync);
export const rename = promisify(fs.rename);
export const link = promisify(fs.link);
export const unlink = promisify(fs.unlink);
export const { stat, readdir } = fs.promises;
/** Folders, one step at a time, and all at once: `moveInto` and `linkInto` make what they need. */
export const { rmdir, mkdir, rm } = fs.promises;
const closeFile = promisify(fs.close);
const fstatCallback = promisify(fs.fstat);

/** Size and times in nanoseconds: what an etag is made of. */
export async function fstat(fd: number): Promise<fs.BigIntStats> {
  return await fstatCallback(fd, { bigint: true });
}

/** Closes a descriptor that was only read from; nobody needs to wait for that. */
export function closeQuietly(fd: number): void {
  fs.close(fd, () => undefined);
}

export async function close(fd: number): Promise<void> {
  await closeFile(fd);
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Runs a write and tells a full or read-only disk, and a process out of descriptors, apart from other faults. */
export async function asStorageFault<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOSPC" || code === "EDQUOT") {
      throw new StorageFullError("the registry's storage is full", { cause: error });
    }
    if (code === "EROFS") throw new StorageFullError("the registry's storage is read-only", { cause: error });
    if (code === "EMFILE" || code === "ENFILE") throw new OverloadedError("too many open files", 5);
    throw error;
  }
}

/** Opens a new file, making the folders above it. Its name is not durable before `syncFolder`. */
export async function openForWrite(file: string): Promise<number> {
  return (await withFolder(file, async () => await open(file, "wx", 0o644))).result;
}

/** Moves a file to where it becomes visible, and makes that durable, folders included. */
export async function moveInto(from: string, to: string): Promise<void> {
  const { topmost } = await withFolder(to, async () => await rename(from, to));
  await syncFolders(path.dirname(to), topmost);
}

/** Makes a folder that must not be there yet. */
export async function makeFolder(folder: string): Promise<void> {
  await withFolder(folder, async () => await mkdir(folder));
}

/** Moves a file or a folder to where nobody looks for it after a power cut. A folder may take the place of an empty one. */
export async function renameInto(from: string, to: string): Promise<void> {
  await withFolder(to, async () => await rename(from, to));
}

/** Gives a file a second name that must be free. Throws EEXIST. Durable. */
export async function linkInto(from: string, to: string): Promise<void> {
  const { topmost } = await withFolder(to, async () => await link(from, to));
  await syncFolders(path.dirname(to), topmost);
}

/** Does this folder stay when it is empty? At the latest the root does. */
export type FolderRule = (folder: string) => boolean;

/** Removes a file and the folders that it leaves empty, up to one that stays. Durable. False if it was absent. */
export async function remove(file: string, stays: FolderRule): Promise<boolean> {
  try {
    await unlink(file);
  } catch (error) {
    // EISDIR and EPERM are what unlink says of a folder, which is no object.
    if (isAbsent(error) || codeOf(error) === "EISDIR") return false;
    throw error;
  }
  await syncFolder(await prune(path.dirname(file), stays));
  return true;
}

/** Removes empty folders from `folder` upwards; gives the first that is left. */
export async function prune(folder: string, stays: FolderRule): Promise<string> {
  let current = folder;
  while (!stays(current)) {
    try {
      await rmdir(current);
    } catch (error) {
      if (!isAbsent(error)) return current;
    }
    current = path.dirname(current);
  }
  return current;
}

/** How often a folder is made again before its absence is believed to have another reason. */
const FOLDER_ATTEMPTS = 100;

/**
 * Does what needs the folder of a file, making it where it is missing; once more where a concurrent delete removed it again
 * because it was still empty. `topmost` is the highest folder that had to be made.
 */
async function withFolder<T>(
  file: string,
  work: () => Promise<T>,
): Promise<{ result: T; topmost: string | undefined }> {
  const folder = path.dirname(file);
  let topmost: string | undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      return { result: await work(), topmost };
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || attempt >= FOLDER_ATTEMPTS) throw error;
    }
    try {
      const made = await mkdir(folder, { recursive: true, mode: 0o755 });
      if (made !== undefined && (topmost === undefined || made.length < topmost.length)) topmost = made;
    } catch (error) {
      // A folder above it was removed between two of the steps that this takes; Node reports some of that as ENOTDIR.
      if (!isAbsent(error)) throw error;
      await checkMakeable(folder);
    }
  }
}

/** Throws what keeps a folder from being made where Node says that one above it is absent, as it does of a read-only disk. */
async function checkMakeable(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o755 });
    await rmdir(folder);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") await checkMakeable(path.dirname(folder));
    else if (code !== "EEXIST" && code !== "ENOTEMPTY" && !isAbsent(error)) throw error;
  }
}

/** A name is durable when its folder is synced, and a new folder when the one above it is. */
async function syncFolders(folder: string, topmost: string | undefined): Promise<void> {
  const last = topmost === undefined ? folder : path.dirname(topmost);
  for (let current = folder; ; current = path.dirname(current)) {
    await syncFolder(current);
    if (current === last) return;
  }
}

/** A folder that is gone by now needs no syncing: its removal was synced by who removed it. */
export async function syncFolder(folder: string): Promise<void> {
  let fd: number;
  try {
    fd = await open(folder, "r");
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  try {
    await fsync(fd);
  } finally {
    closeQuietly(fd);
  }
}
