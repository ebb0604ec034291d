import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** A new folder below the system's temporary one. All lower case, as podman makes names of images out of paths. */
export async function scratchFolder(name: string): Promise<string> {
  const folder = path.join(tmpdir(), `lading-${name}-${randomBytes(4).toString("hex")}`);
  await mkdir(folder);
  return folder;
}
