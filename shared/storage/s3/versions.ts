import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  ListObjectVersionsCommand,
  S3ServiceException,
  type ListObjectVersionsCommandOutput,
} from "@aws-sdk/client-s3";
import { mapLimit } from "../concurrency.ts";
import { OverloadedError, type Trash } from "../driver.ts";
import { checkKey } from "../key.ts";
import type { S3Bucket } from "./bucket.ts";

/** Keys that are looked at side by side. */
const AT_ONCE = 16;
/** How often it is tried to bring one back. */
const TRIES = 3;

/** How stores say that they do not tell: it is not allowed, or they know no such thing. */
const REFUSALS: ReadonlySet<number | undefined> = new Set([400, 403, 405, 501]);

/**
 * What was deleted from a bucket with versioning: a delete there only puts a marker over the object, and who takes that
 * away has the object back. When versions go for good the bucket's own lifecycle says, so there is nothing to empty.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManagingDelMarkers.html
 */
export class Versions implements Trash {
  readonly #at: (key: string) => S3Bucket;

  /** `at` says in which bucket a key lies. */
  constructor(at: (key: string) => S3Bucket) {
    this.#at = at;
  }

  /** Of the bucket for what stays. What comes back only with MFA does not count as kept. */
  async keeps(): Promise<boolean | undefined> {
    const bucket = this.#at("");
    try {
      const { Status, MFADelete } = await bucket.call("GetBucketVersioning", "", async (client, { Bucket }, limits) => {
        return await client.send(new GetBucketVersioningCommand({ Bucket }), limits);
      });
      // Then a marker goes only with a code of its owner's device.
      return Status === "Enabled" && MFADelete !== "Enabled";
    } catch (error) {
      const { cause } = error as Error;
      const refusal = [error, cause].find((it) => it instanceof S3ServiceException);
      if (!REFUSALS.has(refusal?.$metadata.httpStatusCode)) throw error;
      return undefined;
    }
  }

  async runs(): Promise<undefined> {
    // The lifecycle ends them.
  }

  async restore(items: Parameters<Trash["restore"]>[0]): Promise<readonly string[]> {
    for (const { key } of items) checkKey(key);
    const found = await mapLimit(items, AT_ONCE, async ({ key }) => await this.#restore(key));
    return items.filter((_, index) => found[index] !== true).map(({ key }) => key);
  }

  async empty(): Promise<void> {
    // The lifecycle does.
  }

  /**
   * The same for all who do it at once: what another took away first is refused, and a store may list nothing while it puts
   * a version back. So who fails, or finds none, looks whether the object is there, and tries again.
   */
  async #restore(key: string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      try {
        if ((await this.#takeMarkers(key)) || (await this.#isThere(key))) return true;
        if (tries === TRIES) return false;
      } catch (error) {
        if (error instanceof OverloadedError) throw error;
        if (await this.#isThere(key)) return true;
        if (tries === TRIES) throw error;
      }
    }
  }

  async #isThere(key: string): Promise<boolean> {
    return (await this.#at(key).head(key)) !== undefined;
  }

  /** Takes the markers away that lie over the newest version. False where there is none. */
  async #takeMarkers(key: string): Promise<boolean> {
    const markers: string[] = [];
    for await (const { id, isMarker } of this.#versionsOf(key)) {
      if (isMarker) {
        markers.push(id);
        continue;
      }
      // The newest last: the object is gone until all are.
      for (const marker of markers.toReversed()) await this.#deleteVersion(key, marker);
      return true;
    }
    return false;
  }

  /** The versions of a key, the newest first. */
  async *#versionsOf(key: string): AsyncGenerator<{ readonly id: string; readonly isMarker: boolean }> {
    let after: Pick<ListObjectVersionsCommandOutput, "NextKeyMarker" | "NextVersionIdMarker"> = {};
    for (;;) {
      const { NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = after;
      const page = await this.#at(key).call("ListObjectVersions", key, async (client, { Bucket, Key }, limits) => {
        const command = new ListObjectVersionsCommand({ Bucket, Prefix: Key, KeyMarker, VersionIdMarker });
        const answer = await client.send(command, limits);
        const own = <T extends { Key?: string | undefined }>(all: readonly T[] = []): readonly T[] =>
          all.filter((version) => version.Key === Key);
        return { ...answer, versions: own(answer.Versions), markers: own(answer.DeleteMarkers) };
      });
      yield* inOrder([
        ...page.versions.map((version) => ({ ...version, isMarker: false })),
        ...page.markers.map((version) => ({ ...version, isMarker: true })),
      ]);
      if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return;
      after = page;
    }
  }

  async #deleteVersion(key: string, VersionId: string): Promise<void> {
    await this.#at(key).call("DeleteObjectVersion", key, async (client, name, limits) => {
      await client.send(new DeleteObjectCommand({ ...name, VersionId }), limits);
    });
  }
}

interface Listed {
  readonly VersionId?: string | undefined;
  readonly IsLatest?: boolean | undefined;
  readonly LastModified?: Date | undefined;
  readonly isMarker: boolean;
}

/**
 * The SDK gives versions and markers apart, each the newest first: so by their times, and of the same second the latest,
 * then markers.
 */
function inOrder(versions: readonly Listed[]): { readonly id: string; readonly isMarker: boolean }[] {
  const rank = ({ IsLatest, isMarker }: Listed): number => (IsLatest === true ? 2 : isMarker ? 1 : 0);
  const time = ({ LastModified, IsLatest }: Listed): number =>
    IsLatest === true ? Infinity : (LastModified?.getTime() ?? 0);
  return [...versions]
    .sort((a, b) => (time(a) === time(b) ? rank(b) - rank(a) : time(b) - time(a)))
    .map(({ VersionId = "", isMarker }) => ({ id: VersionId, isMarker }));
}
