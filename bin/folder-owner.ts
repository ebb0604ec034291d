/** Whom the files of a registry's folder belong to, for commands that write there beside it. */
import { stat } from "node:fs/promises";
import path from "node:path";
import { layout } from "../shared/registry/layout.ts";
import { PRIVATE_FOLDER } from "../shared/storage/filesystem/driver.ts";

/**
 * Throws with a sentence where this process is root's and what the registry has written below `root` is another user's: what
 * root makes there the registry could not change, so that its pushes would fail from then on. Writes nothing.
 */
export async function checkNotRootElsewhere(root: string): Promise<void> {
  if (process.geteuid?.() !== 0) return; // on Windows there is no such user; who is no other cannot make files of theirs
  // What is written first tells whom the registry runs as; the folder itself may be made by somebody else.
  for (const folder of [PRIVATE_FOLDER, layout.repositories, "."]) {
    const owner = (await stat(path.join(root, folder)).catch(() => undefined))?.uid;
    if (owner === undefined) continue;
    if (owner === 0) return;
    throw new Error(
      `${root} belongs to user ${owner}: run this as that user (sudo -u '#${owner}' lading …), ` +
        "since the registry could not change what root writes there",
    );
  }
}
