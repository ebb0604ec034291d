/** What a stored manifest refers to, as far as its bytes can be relied on. */
import { algorithmOf, type Digest } from "../oci/digest.ts";
import { digestOf } from "../oci/hasher.ts";
import { limits } from "../oci/limits.ts";
import { readStoredManifest } from "../oci/manifest.ts";
import { referencesOf, type References } from "../oci/references.ts";
import { layout } from "../registry/layout.ts";
import { ObjectTooLargeError, type StorageDriver } from "../storage/driver.ts";
import { MarkingFault } from "./faults.ts";

/**
 * Reads a manifest; undefined where its bytes are not there. Throws a MarkingFault where it cannot be known what it refers
 * to. Bytes that are not its digest say nothing of it, however well they read: a layer could go for a bit that flipped, and
 * be remembered as unneeded.
 */
export async function readReferences(driver: StorageDriver, digest: Digest): Promise<References | undefined> {
  const bytes = await readBytes(driver, digest);
  if (bytes === undefined) return undefined;
  if (digestOf(algorithmOf(digest), bytes) !== digest) throw unreliable(digest, "its bytes are not its digest");
  const references = referencesOf(bytes);
  if (references === undefined) throw unreliable(digest, "it is no JSON object");
  return references;
}

/** The blobs that a push of ours has promised to a manifest; none where we would not have taken it, or its bytes are gone. */
export async function readPromised(driver: StorageDriver, digest: Digest): Promise<readonly Digest[]> {
  const bytes = await readBytes(driver, digest);
  const manifest = bytes === undefined ? undefined : readStoredManifest(bytes);
  return manifest?.blobs.map((blob) => blob.digest) ?? [];
}

async function readBytes(driver: StorageDriver, digest: Digest): Promise<Uint8Array | undefined> {
  try {
    return await driver.read(layout.blob(digest), limits.manifestBytes);
  } catch (error) {
    if (!(error instanceof ObjectTooLargeError)) throw error;
    throw unreliable(digest, `it is larger than ${limits.manifestBytes} bytes`);
  }
}

function unreliable(digest: Digest, why: string): MarkingFault {
  return new MarkingFault(
    `manifest ${digest} cannot be read: ${why}. What it refers to cannot be known, so nothing may be deleted; push it ` +
      'again, or delete it ("lading verify" names all that are damaged)',
  );
}
