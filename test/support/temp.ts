import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** A new, empty folder on disk. */
export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(path.join(tmpdir(), "lading-test-"));
}

/** One in memory where there is such a place, for suites that would mostly wait for the disk's syncs. */
export async function fastTemporaryFolder(): Promise<string> {
  return await mkdtemp("/dev/shm/lading-test-").catch(temporaryFolder);
}

/** Removes a folder and all that is in it. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Every file and folder below `folder`, relative to it; folders end in a slash. */
export async function everythingIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)) + (entry.isDirectory() ? "/" : ""))
    .sort();
}
