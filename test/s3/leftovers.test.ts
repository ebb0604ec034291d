/** What dead processes and abandoned sessions leave in a bucket goes in its time, and nothing else goes with it. */
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layout } from "../../shared/registry/layout.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { createTestApp } from "../support/app.ts";
import { fresh, ManualBody, sha256 } from "../support/bodies.ts";
import { snapshot } from "../support/invariants.ts";
import { startS3Proxy, type S3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";

const MIB = 1024 * 1024;
const HOUR = 3600_000;

let proxy: S3Proxy;
let client: S3Client;
let Bucket: string;
const drivers: S3Driver[] = [];

beforeEach(async () => {
  const server = await sharedVersitygw();
  Bucket = await server.freshBucket();
  proxy = await startS3Proxy(server);
  client = s3Client(server);
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) driver.close();
  client.destroy();
  await proxy.close();
});

function driverAt(root: string): S3Driver {
  const driver = new S3Driver(
    s3Settings(proxy, Bucket, { root, patience: { attempts: 2, pauseMs: 1 } }),
    new MemoryBudget(64 * MIB, 5000),
  );
  drivers.push(driver);
  return driver;
}

/** Begins an upload that nobody goes on with; gives when the store says that it was begun. */
async function begin(Key: string): Promise<Date> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }));
  return Uploads.find((upload) => upload.UploadId === UploadId)?.Initiated ?? new Date(NaN);
}

async function begun(): Promise<string[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
  return Uploads.map(({ Key = "" }) => Key).sort();
}

describe("multipart uploads that nobody will complete", () => {
  it("go when they are old enough", async () => {
    const old = await begin("docker/registry/v2/old");
    let young = old;
    while (young.getTime() < old.getTime() + 2000) {
      await client.send(new AbortMultipartUploadCommand(await only("docker/registry/v2/young")));
      young = await begin("docker/registry/v2/young");
    }
    const driver = driverAt("");
    await driver.removeLeftovers(HOUR, layout.root);
    expect(await begun()).toEqual(["docker/registry/v2/old", "docker/registry/v2/young"]);
    await driver.removeLeftovers(Date.now() - (old.getTime() + young.getTime()) / 2, layout.root);
    expect(await begun()).toEqual(["docker/registry/v2/young"]);
    await driver.removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toEqual([]);
  });

  /** The upload of a key, to be aborted; one is begun where there is none. */
  async function only(Key: string): Promise<{ Bucket: string; Key: string; UploadId: string | undefined }> {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }));
    if (Uploads.length === 0) await begin(Key);
    return Uploads.length === 0 ? await only(Key) : { Bucket, Key, UploadId: Uploads[0]?.UploadId };
  }

  it("stay where they belong to another registry, or to something else in the bucket", async () => {
    const here = ["docker/registry/v2/blobs/x/data", "docker/registry/v2/repositories/r/_uploads/x/y"];
    const below = here.map((key) => `a/root/${key}`);
    const others = ["a/rootdocker/registry/v2/x", "a/docker/registry/v2/x", "backups/docker/registry/v2/x", "docker/x"];
    for (const key of [...here, ...below, ...others]) await begin(key);
    await driverAt("").removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toEqual([...below, ...others].sort());
    await driverAt("a/root/").removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toEqual(others.sort());
  });

  it("go though they are more than a page", async () => {
    const keys = Array.from({ length: 1005 }, (_, i) => `docker/registry/v2/many/${i}`);
    const next = keys.values();
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (const Key of next) await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      }),
    );
    await driverAt("").removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toEqual([]);
    // Two pages, and one of what the store was asked with.
    expect(proxy.requests.filter(({ operation }) => operation === "ListMultipartUploads")).toHaveLength(3);
  });

  it("go though one of them cannot, which is told", async () => {
    for (const name of ["a", "b", "c"]) await begin(`docker/registry/v2/${name}`);
    proxy.inject({ operation: "AbortMultipartUpload", key: /b$/, kind: "slow-down", times: Infinity });
    await expect(driverAt("").removeLeftovers(-HOUR, layout.root)).rejects.toThrow("SlowDown");
    expect(await begun()).toEqual(["docker/registry/v2/b"]);
    proxy.heal();
    await driverAt("").removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toEqual([]);
  });

  it("are told from a push that is under way by their age; one that loses its upload is not acknowledged", async () => {
    const driver = driverAt("");
    const { send } = createTestApp(driver);
    const bytes = fresh(6 * MIB);
    const path = `/v2/r/blobs/uploads/?digest=${sha256(bytes)}`;
    for (const [age, stays] of [
      [-HOUR, false],
      [HOUR, true],
    ] as const) {
      const body = new ManualBody();
      const pushing = send("POST", path, { body });
      body.write(bytes.subarray(0, 5 * MIB));
      body.write(bytes.subarray(5 * MIB, 5 * MIB + 1));
      await expect.poll(begun).toHaveLength(1);
      await driver.removeLeftovers(age, layout.root);
      body.write(bytes.subarray(5 * MIB + 1));
      body.end();
      expect(stays ? [201] : [429, 500]).toContain((await pushing).status);
      expect((await send("GET", `/v2/r/blobs/${sha256(bytes)}`)).status).toBe(stays ? 200 : 404);
    }
    expect(await begun()).toEqual([]);
  });
});

it("abandoned sessions go with all that they hold, in their own registry only", async () => {
  const session = async (driver: S3Driver, name: string, now = new Date()): Promise<string> => {
    const { send } = createTestApp(driver, { registry: { now: () => now } });
    const location = (await send("POST", `/v2/${name}/blobs/uploads/`)).header("location") ?? "";
    expect((await send("PATCH", location, { body: fresh(5 * MIB + 100_000) })).status).toBe(202);
    expect((await send("PATCH", location, { body: fresh(100_000) })).status).toBe(202);
    return `${name}/${location.split("/").at(-1) ?? ""}`;
  };
  const [one, two] = [driverAt("a/"), driverAt("b/")];
  const mine = [await session(one, "r"), await session(one, "team/x/r")].sort();
  await session(two, "r");
  const kept = await snapshot(two);
  const at = (later: number) => createTestApp(one, { registry: { now: () => new Date(Date.now() + later) } }).registry;

  expect((await at(HOUR).purgeUploads({ ageMs: 2 * HOUR, dryRun: false })).sessions).toEqual([]);
  expect([...(await at(3 * HOUR).purgeUploads({ ageMs: 2 * HOUR, dryRun: true })).sessions].sort()).toEqual(mine);
  expect((await snapshot(one)).size).toBe(8);
  const { sessions, bytes } = await at(3 * HOUR).purgeUploads({ ageMs: 2 * HOUR, dryRun: false });
  expect([...sessions].sort()).toEqual(mine);
  expect(bytes).toBeGreaterThan(2 * (5 * MIB + 100_000));
  expect((await snapshot(one)).size).toBe(0);
  expect(await snapshot(two)).toEqual(kept);
});
