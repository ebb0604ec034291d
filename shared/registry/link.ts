/** Links: objects whose whole content is a digest. What they hold decides, not where they lie. */
import { digestFrom, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { ObjectTooLargeError, type StorageDriver } from "../storage/driver.ts";

/**
 * The digest that a link holds. Undefined where there is no link, and where it is empty or malformed: a broken link leads
 * nowhere, as if it were absent, but never takes the registry down.
 */
export async function readLink(driver: StorageDriver, key: string): Promise<Digest | undefined> {
  try {
    const bytes = await driver.read(key, limits.linkBytes);
    return bytes === undefined
      ? undefined
      : digestFrom(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"));
  } catch (error) {
    if (error instanceof ObjectTooLargeError) return undefined;
    throw error;
  }
}

/** Writes a link; writing it again is harmless. Durable when it answers. */
export async function writeLink(driver: StorageDriver, key: string, digest: Digest): Promise<void> {
  await driver.put(key, Buffer.from(digest, "latin1"));
}
