/** What a collection deleted in a bucket comes back: from its versions, or from copies. On real servers, by their clocks. */
import { PutBucketVersioningCommand } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Collector, type CollectorOptions } from "../../shared/gc/collector.ts";
import { keepAll } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { undo } from "../../shared/gc/undo.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { repositoryNameFrom, type RepositoryName } from "../../shared/oci/reference.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { AMAZON_S3 } from "../../shared/storage/s3/settings.ts";
import { until } from "../support/process.ts";
import { s3Client, sharedCephRgw, sharedVersitygw } from "../support/s3-servers.ts";
import { CEPH_RGW, s3Settings } from "../support/s3-stores.ts";

const MIB = 1024 * 1024;
/** All of it short, so that the store's own clock gets there. */
const TIMES = gcTimes(1, { promiseMs: 1000, permitMs: 2000, settleMs: 2001, takeoverMs: 2001 });
const OPTIONS: CollectorOptions = {
  ...{ times: TIMES, retention: keepAll, dryRun: false, force: true, setAside: false },
  ...{ trashMs: 24 * 60 * 60 * 1000, uploadAgeMs: undefined },
};
const NAME = repositoryNameFrom("team/app") as RepositoryName;

const STORES = [
  ["versitygw", sharedVersitygw, AMAZON_S3],
  ["Ceph RGW", sharedCephRgw, CEPH_RGW],
] as const;

describe.each(STORES)("%s", (_, shared, promises) => {
  describe.each([["with versions", true] as const, ["without versions", false] as const])(
    "a bucket %s",
    (_, versioned) => {
      let driver: S3Driver;
      let bucket: string;
      const small = Buffer.from("a small blob");
      const large = Buffer.alloc(11 * MIB, "a large blob that is copied in parts. ");

      beforeEach(async () => {
        const access = await shared();
        bucket = await access.freshBucket();
        if (versioned) {
          const client = s3Client(access);
          const VersioningConfiguration = { Status: "Enabled" } as const;
          await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
          client.destroy();
        }
        driver = new S3Driver(
          s3Settings(access, bucket),
          new MemoryBudget(64 * MIB, 5000),
          promises,
          undefined,
          TIMES.permitMs,
        );
      });

      afterEach(() => driver.close());

      const blob = async (bytes: Buffer) => {
        const digest = digestOf("sha256", bytes);
        await driver.drafts.write(layout.blob(digest), chunksOf(bytes), {
          length: bytes.length,
          verify: () => undefined,
        });
        await writeLink(driver, layout.layerLink(NAME, digest), digest);
        return digest;
      };

      /** Collects until it has deleted so many blobs; gives the runs that did. */
      const collectUntil = async (deleted: number, options: Partial<CollectorOptions> = {}): Promise<Summary[]> => {
        const runs: Summary[] = [];
        await until("it is collected", async () => {
          const summary = await new Collector(driver, { ...OPTIONS, ...options }).run();
          expect(summary.reason).toBeUndefined();
          if (summary.deleted > 0) runs.push(summary);
          return runs.reduce((sum, run) => sum + run.deleted, 0) === deleted;
        });
        return runs;
      };

      const bytesAt = async (key: string): Promise<Buffer | undefined> => {
        const bytes = await driver.read(key, 64 * MIB);
        return bytes && Buffer.from(bytes);
      };

      it("keeps what is deleted as it says", async () => {
        expect(await driver.fenced.trash?.keeps()).toBe(versioned);
      });

      it(
        versioned
          ? "gives all of it back, twice, and after a push of it"
          : "gives copies back, twice, and after a push",
        async () => {
          const digests = [await blob(small), await blob(large)];
          const runs = await collectUntil(2, { setAside: true });
          expect(runs.every(({ undoable }) => undoable)).toBe(true);
          for (const digest of digests) expect(await driver.head(layout.blob(digest))).toBeUndefined();
          await blob(small); // somebody pushed it again
          for (let times = 0; times < 2; times++) {
            for (const { run, deleted } of runs) {
              expect(await undo(driver, run, TIMES)).toMatchObject({ blobs: deleted, missing: [] });
            }
            expect((await bytesAt(layout.blob(digests[0] ?? digestOf("sha256", small))))?.equals(small)).toBe(true);
            expect((await bytesAt(layout.blob(digests[1] ?? digestOf("sha256", large))))?.equals(large)).toBe(true);
            for (const digest of digests) {
              expect((await bytesAt(layout.layerLink(NAME, digest)))?.toString()).toBe(digest);
            }
          }
        },
      );

      it.runIf(!versioned)("without copies says that nothing brings it back, before and after", async () => {
        const digest = await blob(small);
        const [only] = await collectUntil(1);
        expect(only?.undoable).toBe(false);
        expect((await undo(driver, only?.run ?? "", TIMES)).missing).toEqual([
          { digest, reason: "its bytes are not kept any more" },
        ]);
      });
    },
  );
});

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MIB) yield bytes.subarray(at, at + MIB);
}
