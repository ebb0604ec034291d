import { algorithmOf } from "../oci/digest.ts";
import { nativeHasher } from "../oci/hasher.ts";
import { layout } from "../registry/layout.ts";
import { blobKeyOf } from "../registry/stored-key.ts";
import { BlobTable } from "../gc/blob-table.ts";
import { Bits } from "../gc/columns.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { listPages, type StorageDriver } from "../storage/driver.ts";
import type { Finding } from "./finding.ts";

/** Between two looks at how far it is. */
const BATCH = 500;

/** Lists the blobs. What lies among them and is none is reported. */
export async function listBlobs(driver: StorageDriver, report: (finding: Finding) => void): Promise<BlobTable> {
  const table = new BlobTable();
  for await (const { objects } of listPages(driver, layout.blobs)) {
    table.take(objects);
    for (const { key } of objects) {
      if (blobKeyOf(key) !== undefined) continue;
      report({ kind: "unknown key", key, text: "it is no blob, and nothing reads it" });
    }
  }
  return table;
}

/** Reads every blob, so many at a time; gives the rows of those whose bytes are not their digest, or cannot be read. */
export async function readBlobs(
  driver: StorageDriver,
  blobs: BlobTable,
  reads: number,
  report: (finding: Finding) => void,
  progress: (bytes: number) => void,
): Promise<Bits> {
  const damaged = new Bits(blobs.length);
  for (let start = 0; start < blobs.length; start += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, blobs.length - start) }, (_, index) => start + index);
    await mapLimit(rows, reads, async (row) => {
      const finding = await readBlob(driver, blobs, row);
      progress(blobs.sizeOf(row));
      if (finding === undefined) return;
      damaged.add(row);
      report(finding);
    });
  }
  return damaged;
}

async function readBlob(driver: StorageDriver, blobs: BlobTable, row: number): Promise<Finding | undefined> {
  const digest = blobs.digests.at(row);
  const key = layout.blob(digest);
  const hasher = nativeHasher(algorithmOf(digest));
  let bytes = 0;
  try {
    const object = await driver.get(key);
    if (object === undefined) return undefined; // deleted in between
    const { body } = object;
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      hasher.update(chunk);
      bytes += chunk.byteLength;
    }
  } catch (error) {
    // Where the store does not answer at all, nothing can be said of anything.
    if ((await driver.head(key)) === undefined) return undefined;
    const text = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return { kind: "blob unreadable", key, digest, text };
  }
  const found = hasher.digest();
  if (found === digest) return undefined;
  const text =
    `its ${bytes} bytes are those of ${found}: delete this object, and push the blob again, ` +
    "or bring an older version or a backup of it back";
  return { kind: "blob damaged", key, digest, text };
}
