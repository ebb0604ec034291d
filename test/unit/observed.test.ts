/** A driver that is observed can do all that the driver can. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { observed } from "../../shared/storage/observed.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { filesystemDriver } from "../support/stores.ts";

/** Each has to be named here, or the types do not agree. */
const MEMBERS: Record<keyof StorageDriver, true> = {
  ...{ name: true, head: true, read: true, look: true, get: true, put: true, copy: true, delete: true },
  ...{ deleteMany: true, list: true, drafts: true, fenced: true, presigner: true, parts: true },
  ...{ removeLeftovers: true, close: true },
};

const folder = mkdtempSync(path.join(tmpdir(), "lading-observed-"));
const access = { endpoint: "http://127.0.0.1:1", region: "nowhere", accessKeyId: "a", secretAccessKey: "b" };
const bucket = (more: object): S3Driver =>
  new S3Driver(s3Settings(access, "bucket", more), new MemoryBudget(10 * 1024 * 1024, 0));
const drivers: readonly StorageDriver[] = [
  new MemoryDriver(),
  filesystemDriver(folder),
  bucket({}),
  bucket({ temporaryBucket: "uploads" }),
];
afterAll(() => {
  for (const driver of drivers) driver.close?.();
  rmSync(folder, { recursive: true });
});

describe("a driver that is observed", () => {
  it.each(drivers.map((driver) => [driver.name, driver] as const))("has every member of %s", (_, driver) => {
    const membersOf = (one: StorageDriver): string[] =>
      Object.keys(MEMBERS).filter((member) => one[member as keyof StorageDriver] !== undefined);
    expect(membersOf(observed(driver, () => undefined))).toEqual(membersOf(driver));
  });

  it("has what processes left behind removed, and tells of it", async () => {
    const asked: unknown[] = [];
    const told: string[] = [];
    const driver: StorageDriver = new MemoryDriver();
    driver.removeLeftovers = async (...args) => void asked.push(args);
    await observed(driver, ({ operation }) => told.push(operation)).removeLeftovers?.(5, "p/");
    expect([asked, told]).toEqual([[[5, "p/"]], ["leftovers"]]);
  });
});
