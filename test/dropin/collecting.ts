/** Our collections over a storage that is shared, as often and as long after each other as it takes. */
import { readdir, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { expect } from "vitest";
import { Collector } from "../../shared/gc/collector.ts";
import type { Retention } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { isSharedFolder } from "../../shared/registry/layout.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { FilesystemDriver } from "../../shared/storage/filesystem/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import type { Storage } from "../support/storage.ts";

const DAY = 24 * 3600;
/** Longer than the horizon, and than a mark takes to settle. */
const LONG = 3 * DAY;
function driverOf({ location: { root = "", bucket } }: Storage): StorageDriver {
  const budget = new MemoryBudget(64 * 1024 * 1024, 5000);
  if (bucket === undefined) return new FilesystemDriver(root, budget, isSharedFolder);
  return new S3Driver(s3Settings(bucket.access, bucket.name, { root: root === "" ? "" : `${root.slice(1)}/` }), budget);
}

/** Makes all that is stored older: versitygw has the times of its files, too. */
async function age({ location: { root = "", bucket } }: Storage): Promise<void> {
  const folder = bucket === undefined ? root : path.join((await sharedVersitygw()).folder, "data", bucket.name);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const before = (await stat(file)).mtimeMs / 1000 - LONG;
    await utimes(file, before, before);
  }
}

/** As many runs as it takes until what was there is collected, each long after the one before. */
export async function collect(storage: Storage, retention: Retention, runs: number): Promise<Summary[]> {
  const driver = driverOf(storage);
  const summaries: Summary[] = [];
  for (let run = 0; run < runs; run++) {
    await age(storage);
    const times = gcTimes();
    const options = { dryRun: false, force: false, setAside: false, trashMs: 0, uploadAgeMs: undefined };
    summaries.push(await new Collector(driver, { times, retention, ...options }).run());
  }
  driver.close?.();
  expect(summaries.map(({ outcome, reason }) => reason ?? outcome)).toEqual(summaries.map(() => "done"));
  return summaries;
}
