import { createHash, webcrypto } from "node:crypto";

/** From here on a hash is made outside of the event loop. */
export const ASYNC_HASH_BYTES = 1024 * 1024;

/** The SHA-256 of bytes in base64, as S3 takes it. */
export async function sha256Of(bytes: Uint8Array): Promise<string> {
  if (bytes.byteLength < ASYNC_HASH_BYTES) return createHash("sha256").update(bytes).digest("base64");
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)).toString("base64");
}
