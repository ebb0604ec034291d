import { mapLimit } from "../concurrency.ts";
import type { Trash } from "../driver.ts";
import { checkKey } from "../key.ts";
import type { S3Bucket } from "./bucket.ts";
import { codeOf } from "./faults.ts";

/** Objects that are looked at, or copied, side by side. */
const AT_ONCE = 8;

/**
 * A bucket that keeps versions, as a trash: what was deleted lies under a delete marker until the bucket's own rules remove
 * it. It is brought back by a copy, which is as young as a push; the marker stays below it.
 */
export class Versions implements Trash {
  readonly #at: (key: string) => S3Bucket;

  /** `at` says in which bucket a key lies. */
  constructor(at: (key: string) => S3Bucket) {
    this.#at = at;
  }

  /** Of the bucket for what stays. */
  async keeps(): Promise<boolean> {
    return await this.#at("").isVersioned();
  }

  /** None: versions are the bucket's to remove. */
  async runs(): Promise<readonly string[]> {
    return [];
  }

  async restore(items: readonly { readonly key: string }[]): Promise<readonly string[]> {
    const there = await mapLimit(items, AT_ONCE, async ({ key }) => await this.#restore(key));
    return items.filter((_, index) => there[index] !== true).map(({ key }) => key);
  }

  async empty(): Promise<void> {
    // The bucket's lifecycle does.
  }

  /** False if there is neither an object nor a version of it. */
  async #restore(key: string): Promise<boolean> {
    checkKey(key);
    const bucket = this.#at(key);
    if ((await bucket.head(key)) !== undefined) return true;
    const last = await bucket.lastVersion(key);
    if (last === undefined) return false;
    try {
      await copyVersion(bucket, key, last);
    } catch (error) {
      // The lifecycle removed it in between.
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      if (["NoSuchKey", "NoSuchVersion"].includes(codeOf(cause) ?? "")) return false;
      throw error;
    }
    return true;
  }
}

async function copyVersion(bucket: S3Bucket, key: string, last: { version: string; size: number }): Promise<void> {
  const { version, size } = last;
  const { thresholdBytes, partBytes, concurrency } = bucket.settings.copy;
  const source = { bucket, key, version };
  if (size <= thresholdBytes) {
    await bucket.copy(source, key);
    return;
  }
  const ranges = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => {
    return { start: index * partBytes, end: Math.min(size, (index + 1) * partBytes) - 1 };
  });
  const upload = await bucket.createUpload(key, { withSums: false });
  try {
    const parts = await mapLimit(ranges, concurrency, async (range, index) => {
      return await bucket.copyPart(upload, index + 1, source, range);
    });
    await bucket.completeUpload(upload, parts);
  } catch (error) {
    await bucket.giveUp(upload);
    throw error;
  }
}
