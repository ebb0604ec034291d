import { underMarks } from "../gc/under-marks.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { linkBytes } from "../registry/link.ts";
import { PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";

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
 * cleared first, and bytes that a collection is deleting get no link. Nothing that somebody else wrote in between is
 * overwritten. Undefined, or why it was not done.
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
      await driver.put(key, linkBytes(digest), etag === undefined ? { ifNoneMatch: "*" } : { ifMatch: etag });
    } catch (error) {
      // Who was faster wrote the same, or deleted it.
      if (!(error instanceof PreconditionFailedError)) throw error;
    }
    return undefined;
  });
}
