/** What the processes of the soak are told. */
import { MemoryBudget } from "../../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../../shared/storage/s3/driver.ts";
import { gcTimes } from "../../../shared/registry/gc-times.ts";
import { s3Settings } from "../../support/s3-stores.ts";
import type { S3Access } from "../../support/s3-servers.ts";

/** Plain JSON, as the first argument of a process. */
export interface SoakSettings {
  readonly access: S3Access;
  readonly bucket: string;
  /** For what a process decides by chance. */
  readonly seed: number;
  /** Collect manifests that no tag names, too. */
  readonly untagged: boolean;
}

/** A fortieth of what they are, and of the grace period far less: nothing is older than it need be. */
export const TIMES = gcTimes(2000, { promiseMs: 1500, permitMs: 3000, settleMs: 15_000, takeoverMs: 7500 });

/** Upload sessions that are older are abandoned. No push of the soak takes so long. */
export const UPLOAD_AGE_MS = 30_000;

/** A driver over the bucket, whose permits are as short as the times say. */
export function soakDriver({ access, bucket }: SoakSettings): S3Driver {
  const budget = new MemoryBudget(64 * 1024 * 1024, 5000);
  return new S3Driver(s3Settings(access, bucket), budget, undefined, undefined, TIMES.permitMs);
}

/** The settings that this process was started with. */
export function ownSettings(): SoakSettings {
  return JSON.parse(process.argv[2] ?? "{}") as SoakSettings;
}

/** Numbers from 0 to below 1, the same for the same seed: mulberry32. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
