/**
 * Claims: how compare-and-swap is decided between processes. Each version of an object can be claimed by one writer at a
 * time: a claim is a folder named after key and etag, with the new bytes in it, so that it comes to be in one step, by a
 * rename, and only where there is none, or an empty one. With another rename the bytes leave it for the object's place.
 *
 * A process that is killed leaves its claim. Who breaks it deletes the bytes in it, under the name that only this holder
 * gave them: of that and of the holder's rename of the same name in the same folder the file system does one. So the holder
 * has put them in their place before, and the version is another; or it never will, however late it goes on. And since a
 * claim with bytes in it stays a claim, nobody else has it before that is decided. Breaking one too early does no harm: its
 * holder, if it lives, has lost.
 */
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { codeOf, readdir, renameInto, stat, unlink } from "./files.ts";
import { isAbsent } from "./reads.ts";

/** A claim older than this was left by a process that died: a live one holds it for as long as a look and a rename take. */
const CLAIM_MAX_AGE_MS = 5000;

/** Between two looks at a claim of somebody else's. */
const PAUSE_MS = 10;

/** What the file system says of a folder that shall take the place of another, in which there is something. */
const CLAIMED: ReadonlySet<string> = new Set(["ENOTEMPTY", "EEXIST", "ENOTDIR"]);

/** Makes a claim of a folder with the new bytes in it. False where there is one. */
export async function makeClaim(prepared: string, claim: string): Promise<boolean> {
  try {
    await renameInto(prepared, claim);
    return true;
  } catch (error) {
    if (CLAIMED.has(codeOf(error) ?? "")) return false;
    throw error;
  }
}

/** Waits until whoever has a claim is done with it, and breaks it where that takes too long, by its age or by our patience. */
export async function outlast(claim: string): Promise<void> {
  const [bytes] = await readdir(claim).catch((error: unknown) => {
    if (codeOf(error) === "ENOTDIR") return [""]; // no folder: it is a file, of whatever made it
    if (isAbsent(error)) return [];
    throw error;
  });
  if (bytes === undefined) return;
  const file = path.join(claim, bytes);
  const began = performance.now();
  for (;;) {
    try {
      const age = Date.now() - (await stat(file)).mtimeMs;
      if (Math.max(age, performance.now() - began) > CLAIM_MAX_AGE_MS) await unlink(file);
    } catch (error) {
      if (isAbsent(error)) return;
      throw error;
    }
    await delay(PAUSE_MS);
  }
}
