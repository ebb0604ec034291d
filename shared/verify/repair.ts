import { underMarks } from "../gc/under-marks.ts";
import type { Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { referencesOf } from "../oci/references.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { linkBytes } from "../registry/link.ts";
import { Promises } from "../registry/promises.ts";
import { mapLimit } from "../storage/concurrency.ts";
import {
  ObjectTooLargeError,
  OverloadedError,
  PreconditionFailedError,
  type StorageDriver,
} from "../storage/driver.ts";

/** A link that is missing, or does not hold what its path says. */
export interface BrokenLink {
  readonly key: string;
  readonly digest: Digest;
  /** Of what it holds now; undefined where there is none. */
  readonly etag: string | undefined;
  /** The repository where the digest is a manifest of it, and has a mark as such. */
  readonly revisionOf?: RepositoryName;
}

/**
 * Writes a link that can hold nothing else than this digest, whose bytes are stored. As a push promises a blob: its mark is
 * cleared first, and bytes that a collection is deleting get no link. A revision gets what it refers to promised before, as
 * a push of it does. Nothing that somebody else wrote in between is overwritten. Undefined, or why it was not done.
 */
export async function writeAgain(
  driver: StorageDriver,
  times: GcTimes,
  { key, digest, etag, revisionOf }: BrokenLink,
): Promise<string | undefined> {
  const keys = [
    layout.blobMark(digest),
    ...(revisionOf === undefined ? [] : [layout.revisionMark(revisionOf, digest)]),
  ];
  return await underMarks(driver, times, { keys, who: "promise" }, async () => {
    if ((await driver.head(layout.blob(digest))) === undefined) return "its bytes are gone";
    try {
      if (revisionOf !== undefined && key === layout.revisionLink(revisionOf, digest)) {
        await promiseReferences(driver, times, revisionOf, digest);
      }
      await driver.put(key, linkBytes(digest), etag === undefined ? { ifNoneMatch: "*" } : { ifMatch: etag });
    } catch (error) {
      if (error instanceof OverloadedError) return error.message;
      // Who was faster wrote the same, or deleted it.
      if (!(error instanceof PreconditionFailedError)) throw error;
    }
    return undefined;
  });
}

/** What is not there any more is passed over: it makes the manifest no less one of the repository. */
async function promiseReferences(
  driver: StorageDriver,
  times: GcTimes,
  name: RepositoryName,
  digest: Digest,
): Promise<void> {
  const { blobs = [], manifests = [] } = (await readReferences(driver, digest)) ?? {};
  const promises = new Promises(driver, times, () => new Date());
  await mapLimit([...new Set(blobs)], limits.manifestChecks, async (blob) => await promises.blob(name, blob));
  await mapLimit([...new Set(manifests)], limits.manifestChecks, async (child) => await promises.manifest(name, child));
}

async function readReferences(driver: StorageDriver, digest: Digest) {
  try {
    const bytes = await driver.read(layout.blob(digest), limits.manifestBytes);
    return bytes === undefined ? undefined : referencesOf(bytes);
  } catch (error) {
    if (error instanceof ObjectTooLargeError) return undefined;
    throw error;
  }
}
