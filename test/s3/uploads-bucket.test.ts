/** Uploads in flight in a bucket of their own: the storage bucket, which may keep every version, never sees one. */
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  paginateListObjectsV2,
  PutBucketVersioningCommand,
  type ListObjectVersionsCommandOutput,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isUploadKey, layout } from "../../shared/registry/layout.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { observed } from "../../shared/storage/observed.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { probePromises } from "../../shared/storage/s3/probe.ts";
import type { S3Settings } from "../../shared/storage/s3/settings.ts";
import { createTestApp, type TestApp } from "../support/app.ts";
import { brokenBody, fresh, sha256, sha512 } from "../support/bodies.ts";
import { dyingAt } from "../support/faults.ts";
import { faultsOf } from "../support/invariants.ts";
import { pushImage } from "../support/manifests.ts";
import { startS3Proxy, type S3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { Client, Failed, SCENARIOS } from "../support/scenarios.ts";

const MIB = 1024 * 1024;
const HOUR = 3600_000;

let proxy: S3Proxy;
let client: S3Client;
let [storage, uploads] = ["", ""];
const drivers: S3Driver[] = [];

beforeEach(async () => {
  const server = await sharedVersitygw();
  [storage, uploads] = [await server.freshBucket(), await server.freshBucket()];
  proxy = await startS3Proxy(server);
  client = s3Client(server);
  await client.send(
    new PutBucketVersioningCommand({ Bucket: storage, VersioningConfiguration: { Status: "Enabled" } }),
  );
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) driver.close();
  client.destroy();
  await proxy.close();
});

const patience = { attempts: 2, pauseMs: 1 };
const settings = (more: Partial<S3Settings> = {}): S3Settings =>
  s3Settings(proxy, storage, { temporaryBucket: uploads, patience, ...more });

function driverWith(given = settings()): S3Driver {
  const driver = new S3Driver(given, new MemoryBudget(64 * MIB, 5000), undefined, undefined, undefined, isUploadKey);
  drivers.push(driver);
  return driver;
}

/** Before there was a second bucket. */
function driverBefore(): S3Driver {
  return driverWith(s3Settings(proxy, storage, { patience }));
}

async function keysIn(Bucket: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket }))
    keys.push(...Contents.map(({ Key = "" }) => Key));
  return keys;
}

/** All that was ever written to the storage bucket and is no session's, nor anything else that does not stay. */
async function expectNothingTemporary(): Promise<void> {
  const written: string[] = [];
  let page: ListObjectVersionsCommandOutput | undefined;
  do {
    const [KeyMarker, VersionIdMarker] = [page?.NextKeyMarker, page?.NextVersionIdMarker];
    page = await client.send(new ListObjectVersionsCommand({ Bucket: storage, KeyMarker, VersionIdMarker }));
    written.push(...[...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ Key = "" }) => Key));
  } while (page.IsTruncated === true);
  expect(written.filter(isTemporary)).toEqual([]);
  // Nor was it asked for there.
  const asked = proxy.requests.filter(({ bucket, key }) => bucket === storage && isTemporary(key ?? ""));
  expect(asked).toEqual([]);
  const others = proxy.requests.filter(({ bucket, key }) => bucket === uploads && !isTemporary(key ?? "/_uploads/"));
  expect(others).toEqual([]);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: storage }));
  expect(Uploads.map(({ Key = "" }) => Key).filter(isTemporary)).toEqual([]);
}

const isTemporary = (key: string): boolean => key.includes("/_uploads/") || key.startsWith(".lading/");

const start = async ({ send }: TestApp, query = ""): Promise<string> => {
  const reply = await send("POST", `/v2/r/blobs/uploads/${query}`);
  expect(reply.status).toBe(202);
  return reply.header("location") ?? "";
};

describe("the storage bucket", () => {
  it.each([3000, 40_000, 6 * MIB, 13 * MIB])("never sees an upload of %i bytes, however it is sent", async (size) => {
    const driver = driverWith();
    const app = createTestApp(driver);
    const { send } = app;
    const put = async (
      location: string,
      bytes: Uint8Array,
      body?: Uint8Array,
      digest = sha256(bytes),
    ): Promise<void> => {
      const reply = await send("PUT", `${location}?digest=${digest}`, body === undefined ? {} : { body });
      expect([reply.status, reply.bytes.toString()]).toEqual([201, ""]);
      const stored = await send("GET", `/v2/r/blobs/${digest}`);
      expect(stored.bytes.equals(bytes)).toBe(true);
    };
    const bytes = (): Buffer => fresh(size);

    let layer = bytes();
    const whole = await send("POST", `/v2/r/blobs/uploads/?digest=${sha256(layer)}`, { body: layer });
    expect(whole.status).toBe(201);

    layer = bytes();
    await put(await start(app), layer, layer);

    layer = bytes();
    let location = await start(app);
    expect((await send("PATCH", location, { body: layer })).status).toBe(202);
    await put(location, layer);

    for (const digestOf of [sha256, sha512]) {
      for (const withLast of [true, false]) {
        layer = bytes();
        location = await start(app);
        const cuts = [0, Math.floor(size * 0.45), Math.floor(size * 0.5), size];
        const chunks = cuts.slice(1).map((end, i) => layer.subarray(cuts[i], end));
        const last = withLast ? chunks.pop() : undefined;
        let at = 0;
        for (const body of chunks) {
          const headers = { "Content-Range": `${at}-${(at += body.length) - 1}` };
          expect((await send("PATCH", location, { body, headers })).status).toBe(202);
        }
        expect((await keysIn(uploads)).length).toBeGreaterThan(0);
        await put(location, layer, last, digestOf(layer));
      }
    }

    // What does not end well.
    location = await start(app);
    expect((await send("PATCH", location, { body: bytes() })).status).toBe(202);
    expect((await send("PUT", `${location}?digest=${sha256("other")}`)).status).toBe(400);
    expect((await send("PATCH", location, { body: brokenBody(bytes()) })).status).toBe(400);
    expect((await send("DELETE", location)).status).toBe(204);

    await expectNothingTemporary();
    expect(await keysIn(uploads)).toEqual([]);
    expect(await faultsOf(driver)).toEqual([]);
    expect(app.faults).toEqual([]);
  });

  const blobs = SCENARIOS.filter(({ name }) => /^a (?:streamed )?blob|^the end of a session/.test(name));
  it.each(blobs.map((scenario) => [scenario.name, scenario] as const))(
    "never sees one, wherever the process dies: %s",
    async (_, { before, steps }) => {
      await before?.(createTestApp(driverWith()).send);
      for (const when of ["before", "after"] as const) {
        for (let call = 1; ; call++) {
          const faulty = dyingAt(driverWith(), call, when);
          const dying = new Client(createTestApp(faulty.driver));
          try {
            for (const step of steps) await step(dying, false);
          } catch (error) {
            if (!(error instanceof Failed)) throw error;
          }
          if (faulty.calls.length < call) break;
        }
      }
      await expectNothingTemporary();
      // And what was left goes.
      const driver = driverWith();
      const { sessions } = await createTestApp(driver).registry.purgeUploads({ ageMs: -HOUR, dryRun: false });
      expect(sessions.every((session) => session.startsWith("r/"))).toBe(true);
      expect(await keysIn(uploads)).toEqual([]);
      await expectNothingTemporary();
    },
  );

  it("is not asked what the store promises", async () => {
    await probePromises(settings());
    expect(proxy.requests.length).toBeGreaterThan(0);
    await expectNothingTemporary();
  });

  it("keeps its storage class to itself", async () => {
    const app = createTestApp(driverWith(settings({ storageClass: "STANDARD_IA" })));
    const layer = fresh(6 * MIB);
    const location = await start(app);
    await app.send("PATCH", location, { body: layer });
    const classes = async (Bucket: string): Promise<unknown[]> => {
      const found: unknown[] = [];
      for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket }))
        found.push(...new Set(Contents.map(({ StorageClass }) => StorageClass)));
      return found;
    };
    expect(await classes(uploads)).toEqual(["STANDARD"]);
    expect((await app.send("PUT", `${location}?digest=${sha256(layer)}`)).status).toBe(201);
  });
});

describe("what is left of uploads", () => {
  it("is purged of repositories that have nothing else, and of any other, when it is old enough", async () => {
    const calls: string[] = [];
    const { send, registry } = createTestApp(observed(driverWith(), ({ operation }) => calls.push(operation)));
    await pushImage(send, "full", "v1");
    const begin = async (name: string): Promise<string> => {
      const location = (await send("POST", `/v2/${name}/blobs/uploads/`)).header("location") ?? "";
      await send("PATCH", location, { body: fresh(40_000) });
      return `${name}/${location.split("/").at(-1) ?? ""}`;
    };
    const begun = [await begin("full"), await begin("only/uploads"), await begin("only")];
    const kept = await keysIn(storage);
    expect((await registry.purgeUploads({ ageMs: HOUR, dryRun: false })).sessions).toEqual([]);
    calls.length = 0;
    const wouldGo = await registry.purgeUploads({ ageMs: -HOUR, dryRun: true });
    expect([...wouldGo.sessions].sort()).toEqual([...begun].sort());
    expect(wouldGo.bytes).toBeGreaterThan(3 * 40_000);
    expect(new Set(calls)).toEqual(new Set(["list"]));
    expect(await registry.purgeUploads({ ageMs: -HOUR, dryRun: false })).toEqual(wouldGo);
    expect(await keysIn(uploads)).toEqual([]);
    expect(await keysIn(storage)).toEqual(kept);
    await expect(send("GET", "/v2/_catalog").then((reply) => reply.json())).resolves.toEqual({
      repositories: ["full"],
    });
  });

  it("goes from both buckets where it was begun before there were two, and is unknown until then", async () => {
    const before = createTestApp(driverBefore());
    const location = await start(before);
    expect((await before.send("PATCH", location, { body: fresh(6 * MIB) })).status).toBe(202);
    const { send, registry } = createTestApp(driverWith());
    expect((await send("GET", location)).status).toBe(404);
    expect((await send("PUT", `${location}?digest=${sha256("x")}`)).status).toBe(404);
    expect((await before.send("GET", location)).status).toBe(204);
    const { sessions } = await registry.purgeUploads({ ageMs: -HOUR, dryRun: false });
    expect(sessions).toEqual([`r/${location.split("/").at(-1) ?? ""}`]);
    expect(await keysIn(storage)).toEqual([]);
  });

  it("is removed from both where nobody sees it", async () => {
    const blob = layout.blob(sha256("x"));
    const segment = `${layout.uploads("r")}00000000-0000-8000-8000-000000000000/x`;
    const keys = [
      [storage, blob],
      [uploads, segment],
      [storage, ".lading/probes/x"],
      [uploads, ".lading/probes/x"],
    ];
    const begun = async (): Promise<number> => {
      const lists = [storage, uploads].map(
        async (Bucket) => (await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads?.length ?? 0,
      );
      return (await Promise.all(lists)).reduce((sum, count) => sum + count, 0);
    };
    for (const [Bucket, Key] of keys) await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const driver = driverWith();
    await driver.removeLeftovers(HOUR, layout.root);
    expect(await begun()).toBe(4);
    await driver.removeLeftovers(-HOUR, layout.root);
    expect(await begun()).toBe(0);
  });
});
