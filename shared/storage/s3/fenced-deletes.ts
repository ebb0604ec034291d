import { randomUUID } from "node:crypto";
import { asError } from "../as-error.ts";
import {
  DeletesFailedError,
  PERMIT_LIFETIME_MS,
  type FencedDelete,
  type FencedDeletes,
  type Trash,
} from "../driver.ts";
import { checkKey } from "../key.ts";
import type { S3Bucket } from "./bucket.ts";
import { ExpiredError, faultOf } from "./faults.ts";
import { despiteFolders } from "./folders.ts";
import { PROBES } from "./probe.ts";
import type { StorePromises } from "./settings.ts";
import { Versions } from "./versions.ts";

/** S3's own: keys in one deletion. */
const KEYS = 1000;
/** How often the store is asked whether it keeps permits, where the asking takes longer than a permit is good for. */
const PROBE_TRIES = 5;

/** Deletes as signed requests that expire: nobody needs to be asked for a permit, and nobody can take it back. */
export class SignedDeletes implements FencedDeletes {
  readonly lifetimeMs: number;
  readonly trash: Trash;
  readonly #at: (key: string) => S3Bucket;
  readonly #isAmazon: boolean;
  readonly #promises: () => Promise<StorePromises>;

  /**
   * `at` says in which bucket a key lies. The lifetime is in whole seconds. What Amazon promises need not be asked; of
   * another store `promises` tells what it keeps of it.
   */
  constructor(
    at: (key: string) => S3Bucket,
    promises: () => Promise<StorePromises>,
    lifetimeMs = PERMIT_LIFETIME_MS,
    isAmazon = false,
  ) {
    this.#at = at;
    this.#isAmazon = isAmazon;
    this.#promises = promises;
    this.lifetimeMs = lifetimeMs;
    this.trash = new Versions(at);
  }

  /**
   * Asks for the deletion of an object with a permit that is just over, and with one that is not: six requests. None where
   * the store does not decide conditional writes: a permit is worth nothing without a mark that can be relied on.
   */
  async isKept(): Promise<boolean> {
    if (this.#isAmazon) return true;
    if (!(await this.#promises()).conditionalWrites) return false;
    for (let tries = 0; tries < PROBE_TRIES; tries++) {
      const kept = await this.#probe();
      if (kept !== undefined) return kept;
    }
    return false;
  }

  /** Undefined where this process stood still for so long that nothing can be said. */
  async #probe(): Promise<boolean | undefined> {
    const key = `${PROBES}${randomUUID()}`;
    const bucket = this.#at(key);
    const bytes = Buffer.from("Does this store refuse what comes too late?\n");
    const { asOf } = await despiteFolders(async () => await bucket.put(key, bytes));
    try {
      const over = { id: "probe/over", since: new Date(asOf.getTime() - this.lifetimeMs - 1000) };
      const refused = (await this.delete([{ key, permit: over }])).length === 1;
      if (!refused || (await bucket.head(key)) === undefined) return false;
      const late = await this.delete([{ key, permit: { id: "probe/good", since: asOf } }]);
      if (late.length > 0) return undefined;
      return (await bucket.head(key)) === undefined;
    } finally {
      await bucket.delete(key).catch(() => undefined); // else it is removed with what processes leave behind
    }
  }

  async open(): Promise<void> {
    // Nothing to do: a signature is made here.
  }

  async delete(items: readonly FencedDelete[]): Promise<readonly string[]> {
    for (const { key } of items) checkKey(key);
    const byAge = [...items].sort((a, b) => a.permit.since.getTime() - b.permit.since.getTime());
    const refused: string[] = [];
    const failures = new Map<string, Error>();
    for (const { bucket, batch } of this.#batches(byAge)) {
      const keys = batch.map(({ key }) => key);
      const since = batch[0]?.permit.since ?? new Date(0);
      try {
        const left = await bucket.deleteManySigned(keys, since, this.lifetimeMs / 1000);
        for (const { key, reason } of left) failures.set(key, faultOf("DeleteObjects", key, reason));
      } catch (error) {
        if (error instanceof ExpiredError) refused.push(...keys);
        else for (const key of keys) failures.set(key, asError(error));
      }
    }
    if (failures.size > 0) throw new DeletesFailedError(failures, refused);
    return refused;
  }

  /** What one request can delete each, in this order within a bucket. */
  *#batches(items: readonly FencedDelete[]): Generator<{ bucket: S3Bucket; batch: readonly FencedDelete[] }> {
    for (const bucket of new Set(items.map(({ key }) => this.#at(key)))) {
      const own = items.filter(({ key }) => this.#at(key) === bucket);
      for (let at = 0; at < own.length; at += KEYS) yield { bucket, batch: own.slice(at, at + KEYS) };
    }
  }

  async revoke(): Promise<void> {
    // The signature has expired.
  }

  async revokeExpired(): Promise<void> {
    // The store does.
  }
}
