import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** A new, empty folder. */
export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(path.join(tmpdir(), "lading-test-"));
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
