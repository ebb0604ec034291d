/** A registry's content in a bucket of a real server, and collections whose times are seconds of its clock. */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { PutBucketVersioningCommand } from "@aws-sdk/client-s3";
import { Collector, type CollectorOptions } from "../../shared/gc/collector.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listKeys, type StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { AMAZON_S3, type StorePromises } from "../../shared/storage/s3/settings.ts";
import { DEFAULTS, World } from "../gc/support.ts";
import { until } from "../support/process.ts";
import { s3Client, sharedCephRgw, sharedVersitygw, type S3Server } from "../support/s3-servers.ts";
import { CEPH_RGW, s3Settings } from "../support/s3-stores.ts";

const MIB = 1024 * 1024;
const PERMIT_MS = 10_000;
const HOUR_MS = 3_600_000;
const POLL_MS = 300;

/** As short as a busy machine allows. */
export const TIMES = gcTimes(1, { promiseMs: 3000, permitMs: PERMIT_MS, settleMs: 11_000, takeoverMs: 11_000 });

/** For a run to which all is young, and nothing has settled, however long the machine took to write it. */
export const LONG_TIMES = gcTimes(HOUR_MS, { permitMs: PERMIT_MS, settleMs: HOUR_MS });

type Server = readonly [name: string, shared: () => Promise<S3Server>, promises: StorePromises];

export const VERSITYGW: Server = ["versitygw", sharedVersitygw, AMAZON_S3];
export const CEPH: Server = ["Ceph RGW", sharedCephRgw, CEPH_RGW];

/** The servers that collections are tried on. */
export const SERVERS: readonly Server[] = [VERSITYGW, CEPH];

/** A bucket, and what a registry keeps in it. */
export class BucketWorld extends World {
  readonly access: S3Server;
  readonly bucket: string;

  constructor(access: S3Server, bucket: string, promises: StorePromises) {
    super(new S3Driver(s3Settings(access, bucket), new MemoryBudget(64 * MIB, 5000), promises, undefined, PERMIT_MS));
    this.access = access;
    this.bucket = bucket;
  }

  /** The store's clock, in milliseconds. */
  async now(): Promise<number> {
    return (await this.driver.look(layout.gcLease, MIB)).asOf.getTime();
  }

  /** Waits until so much time has passed by the store's clock, and two seconds, since it tells whole ones, and some servers late. */
  async passed(ms: number): Promise<void> {
    const end = (await this.now()) + ms + 2000;
    const isOver = async (): Promise<boolean> => {
      await delay(POLL_MS);
      return (await this.now()) > end;
    };
    await until("time has passed", isOver, 60_000);
  }

  /** One run. */
  override async collect(
    options: Partial<CollectorOptions> = {},
    driver: StorageDriver = this.driver,
  ): Promise<Summary> {
    return await new Collector(driver, { ...DEFAULTS, times: TIMES, uploadAgeMs: undefined, ...options }).run();
  }

  /** Runs until nothing is left to collect; gives those that deleted something, the last first. */
  async collectAll(options: Partial<CollectorOptions> = {}): Promise<Summary[]> {
    await this.passed(TIMES.horizonMs);
    const runs: Summary[] = [];
    for (;;) {
      const summary = await this.collect(options);
      if (summary.outcome === "failed") throw new Error(summary.reason);
      if (summary.deleted + summary.deletedManifests > 0) runs.unshift(summary);
      if (summary.eligible + summary.eligibleManifests === 0) return runs;
      await this.passed(TIMES.settleMs);
    }
  }

  /** What there is, by key, the collector's own aside: a sum of its bytes. */
  async content(): Promise<Readonly<Record<string, string>>> {
    const content: Record<string, string> = {};
    for (const key of await this.keys()) {
      const bytes = await this.driver.read(key, 64 * MIB);
      content[key] = createHash("sha256")
        .update(bytes ?? "nothing")
        .digest("hex");
    }
    return content;
  }

  async keysBelow(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of listKeys(this.driver, prefix)) keys.push(key);
    return keys;
  }
}

/** A new bucket, with versions or without. */
export async function bucketWorld(
  [, shared, promises]: Server,
  { versioned }: { versioned: boolean },
): Promise<BucketWorld> {
  const access = await shared();
  const bucket = await access.freshBucket();
  if (versioned) {
    const client = s3Client(access);
    await client.send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }),
    );
    client.destroy();
  }
  return new BucketWorld(access, bucket, promises);
}
