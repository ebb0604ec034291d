/** Links: objects whose whole content is a digest. What they hold decides, not where they lie. */
import { digestFrom, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { ObjectTooLargeError, type StorageDriver, type Written } from "../storage/driver.ts";

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

/** A link as it was at a time. */
export interface LinkLook {
  readonly digest: Digest;
  readonly etag: string;
  readonly lastModified: Date;
  readonly asOf: Date;
}

/** A link and its age; without a digest where it leads nowhere, as for `readLink`. */
export async function lookAtLink(
  driver: StorageDriver,
  key: string,
): Promise<LinkLook | { readonly digest: undefined }> {
  const found = await lookAtObject(driver, key);
  if (found?.digest === undefined) return { digest: undefined };
  return { ...found, digest: found.digest };
}

/** What lies where a link is looked for; without a digest where it is none. Undefined where nothing does. */
export async function lookAtObject(
  driver: StorageDriver,
  key: string,
): Promise<(Omit<LinkLook, "digest"> & { readonly digest: Digest | undefined }) | undefined> {
  try {
    const { asOf, object } = await driver.look(key, limits.linkBytes);
    if (object === undefined) return undefined;
    const { etag, lastModified, bytes } = object;
    return { digest: digestFrom(Buffer.from(bytes).toString("latin1")), etag, lastModified, asOf };
  } catch (error) {
    if (!(error instanceof ObjectTooLargeError)) throw error;
    const info = await driver.head(key);
    return info === undefined ? undefined : { ...info, digest: undefined };
  }
}

/** What a link holds. */
export function linkBytes(digest: Digest): Uint8Array {
  return Buffer.from(digest, "latin1");
}

/** Writes a link; writing it again is harmless. Durable when it answers. */
export async function writeLink(driver: StorageDriver, key: string, digest: Digest): Promise<Written> {
  return await driver.put(key, linkBytes(digest));
}
