/** What the driver does while a store fails: how often it asks, what it takes for its own, what it tells the client. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PreconditionFailedError } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { PATIENCE, type Patience } from "../../shared/storage/s3/retries.ts";
import { createTestApp } from "../support/app.ts";
import { bytesOfBody, fresh, sha256 } from "../support/bodies.ts";
import { CONFIG, pushImage } from "../support/manifests.ts";
import { startS3Proxy, type FaultKind, type RecordedRequest, type S3Proxy } from "../support/s3-proxy.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";

const MIB = 1024 * 1024;
const QUICK: Partial<Patience> = { pauseMs: 1, throttledPauseMs: 1 };

let proxy: S3Proxy;
let bucket: string;
const drivers: S3Driver[] = [];

beforeEach(async () => {
  const server = await sharedVersitygw();
  bucket = await server.freshBucket();
  proxy = await startS3Proxy(server);
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) driver.close();
  await proxy.close();
});

function newDriver(patience: Partial<Patience> = QUICK): S3Driver {
  const driver = new S3Driver(s3Settings(proxy, bucket, { patience }), new MemoryBudget(64 * MIB, 5000));
  drivers.push(driver);
  return driver;
}

describe("a conditional write", () => {
  it.each(["after", "internal-error"] as const)("whose answer is lost (%s) is ours", async (kind) => {
    const driver = newDriver();
    const first = Buffer.from("first");
    proxy.inject({ operation: "PutObject", kind });
    const { etag } = await driver.put("k", first, { ifNoneMatch: "*" });
    expect(etag).toBe((await driver.head("k"))?.etag);
    proxy.inject({ operation: "PutObject", kind });
    const second = await driver.put("k", Buffer.from("second"), { ifMatch: etag });
    expect(second.etag).toBe((await driver.head("k"))?.etag);
    expect(Buffer.from((await driver.read("k", 100)) ?? []).toString()).toBe("second");
    // That was no success by chance: the store refused the repetition both times.
    const puts = proxy.requests.filter(({ operation }) => operation === "PutObject");
    expect(puts.map(({ fault, status }) => fault ?? status)).toEqual([kind, 412, kind, 412]);
  });

  it("that fails before its effect and loses meanwhile has lost", async () => {
    const [driver, other] = [newDriver(), newDriver()];
    const { etag } = await driver.put("k", Buffer.from("old"));
    let go = (): void => undefined;
    const until = new Promise<void>((resolve) => (go = resolve));
    proxy.inject({ operation: "PutObject", kind: "before", key: "k" });
    const held = proxy.inject({ operation: "PutObject", kind: "slow", key: "k", until, nth: 2 });
    const losing = driver.put("k", Buffer.from("mine"), { ifMatch: etag });
    losing.catch(() => undefined); // awaited below
    await held.reached;
    await other.put("k", Buffer.from("theirs"), { ifMatch: etag });
    go();
    await expect(losing).rejects.toBeInstanceOf(PreconditionFailedError);
    expect(Buffer.from((await driver.read("k", 100)) ?? []).toString()).toBe("theirs");
  });

  it("that took effect, and that another has gone on from before the answer was asked for again, costs no bytes", async () => {
    const { send } = createTestApp(newDriver());
    const other = createTestApp(newDriver()).send;
    const [first, second] = [fresh(6 * MIB), fresh(6 * MIB)];
    const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
    let go = (): void => undefined;
    const until = new Promise<void>((resolve) => (go = resolve));
    proxy.inject({ operation: "PutObject", key: /state$/, kind: "after" });
    const held = proxy.inject({ operation: "PutObject", key: /state$/, kind: "slow", until, nth: 2 });
    const slow = send("PATCH", location, { body: first });
    await held.reached;
    // The client has given up, asks how far it came, and goes on.
    const end = first.length - 1;
    expect((await other("GET", location)).header("range")).toBe(`0-${end}`);
    const range = { "Content-Range": `${first.length}-${end + second.length}` };
    expect((await other("PATCH", location, { headers: range, body: second })).status).toBe(202);
    go();
    expect((await slow).status).toBe(416);
    const digest = sha256(Buffer.concat([first, second]));
    expect((await other("PUT", `${location}?digest=${digest}`)).status).toBe(201);
    expect(sha256((await other("GET", `/v2/r/blobs/${digest}`)).bytes)).toBe(digest);
  });
});

describe("a store that has too much to do, for good", () => {
  const bytes = fresh(6 * MIB);
  const requests: readonly (readonly [name: string, method: string, path: string, body: Uint8Array | undefined])[] = [
    ["a small blob", "POST", `/v2/r/blobs/uploads/?digest=${sha256("x")}`, Buffer.from("x")],
    ["a large blob", "POST", `/v2/r/blobs/uploads/?digest=${sha256(bytes)}`, bytes],
    ["a session", "POST", "/v2/r/blobs/uploads/", undefined],
    ["a mount", "POST", `/v2/new/blobs/uploads/?mount=${sha256(CONFIG)}&from=r`, undefined],
    ["a chunk", "PATCH", "SESSION", Buffer.from("x")],
    ["a large chunk", "PATCH", "SESSION", bytes],
    ["a last PUT", "PUT", `SESSION?digest=${sha256("x")}`, Buffer.from("x")],
    ["the status of a session", "GET", "SESSION", undefined],
    ["the end of a session", "DELETE", "SESSION", undefined],
    ["a blob", "GET", `/v2/r/blobs/${sha256(CONFIG)}`, undefined],
    ["whether there is a blob", "HEAD", `/v2/r/blobs/${sha256(CONFIG)}`, undefined],
    ["a manifest", "GET", "/v2/r/manifests/v1", undefined],
    ["whether there is a manifest", "HEAD", "/v2/r/manifests/v1", undefined],
    ["tags", "GET", "/v2/r/tags/list", undefined],
    ["the catalog", "GET", "/v2/_catalog", undefined],
    ["referrers", "GET", `/v2/r/referrers/${sha256(CONFIG)}`, undefined],
    ["the deletion of a tag", "DELETE", "/v2/r/manifests/v1", undefined],
    ["the deletion of a blob", "DELETE", `/v2/r/blobs/${sha256(CONFIG)}`, undefined],
  ];

  it.each(requests)("answers 429 with Retry-After: %s", async (_, method, path, body) => {
    const { send, faults } = createTestApp(newDriver({ ...QUICK, attempts: 3 }), { registry: { catalog: "index" } });
    await pushImage(send, "r", "v1");
    const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
    const fault = proxy.inject({ kind: "slow-down", times: Infinity });
    const reply = await send(method, path.replace("SESSION", location), body === undefined ? {} : { body });
    expect([reply.status, reply.header("retry-after")]).toEqual([429, "5"]);
    // Each call its attempts; the calls that are made at once are few.
    expect(fault.hits).toBeGreaterThanOrEqual(3);
    expect(fault.hits).toBeLessThanOrEqual(9);
    expect(faults).toEqual([]);
  });

  it.each(["before", "after", "internal-error"] as const)("or that fails otherwise (%s): 429 too", async (kind) => {
    const { send } = createTestApp(newDriver());
    await pushImage(send, "r", "v1");
    proxy.inject({ kind, times: Infinity });
    for (const [, method, path, body] of requests.filter((request) => !request[2].startsWith("SESSION"))) {
      const reply = await send(method, path, body === undefined ? {} : { body });
      expect([path, reply.status, reply.header("retry-after")]).toEqual([path, 429, "5"]);
    }
  });

  it("that does not answer is given up at the deadline", async () => {
    await pushImage(createTestApp(newDriver()).send, "r", "v1");
    const { send } = createTestApp(newDriver({ ...QUICK, callMs: 300, bulkMs: 300 }));
    let go = (): void => undefined;
    const until = new Promise<void>((resolve) => (go = resolve));
    proxy.inject({ kind: "slow", times: Infinity, until });
    for (const [, method, path, body] of requests.filter(([name]) => /^a (small|large) blob|^a manifest/.test(name))) {
      const reply = await send(method, path, body === undefined ? {} : { body });
      expect([path, reply.status, reply.header("retry-after")]).toEqual([path, 429, "5"]);
    }
    go();
  });
});

it("a bucket that is not there, or may not be read, is never 'not found'", async () => {
  const missing = s3Settings(proxy, "no-such-bucket", { patience: QUICK });
  const denied = { ...s3Settings(proxy, bucket), credentials: { accessKeyId: "testkey", secretAccessKey: "wrong" } };
  for (const settings of [missing, denied]) {
    const driver = new S3Driver(settings, new MemoryBudget(64 * MIB, 5000));
    drivers.push(driver);
    const { send } = createTestApp(driver);
    for (const path of [
      ...[`/v2/r/blobs/${sha256("x")}`, "/v2/r/manifests/v1", `/v2/r/manifests/${sha256("x")}`, "/v2/r/tags/list"],
      ...["/v2/_catalog", `/v2/r/referrers/${sha256("x")}`],
      ...["/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ]) {
      for (const method of path.includes("/blobs/sha") || path.includes("/manifests/") ? ["GET", "HEAD"] : ["GET"]) {
        expect([method, path, (await send(method, path)).status]).toEqual([method, path, 500]);
      }
    }
  }
});

describe("a download", () => {
  const kinds: readonly FaultKind[] = ["before", "slow-down", "partial"];
  it.each(kinds)("of a small object goes on when a request fails: %s", async (kind) => {
    const driver = newDriver();
    await driver.put("k", Buffer.from("0123456789"));
    const fault = proxy.inject({ operation: "GetObject", kind, times: 1 });
    expect(Buffer.from((await driver.read("k", 100)) ?? []).toString()).toBe("0123456789");
    const again = proxy.inject({ operation: "GetObject", kind, times: 1 });
    const part = await driver.get("k", { start: 2, end: 4 });
    expect(part === undefined ? "" : (await bytesOfBody(part)).toString()).toBe("234");
    expect([fault.hits, again.hits]).toEqual([1, 1]);
  });

  it("may take longer than a call", async () => {
    const driver = newDriver();
    const bytes = fresh(12 * MIB);
    await driver.put("k", bytes);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const object = await driver.get("k");
    const reader = (object?.body as ReadableStream<Uint8Array>).getReader();
    const received = [(await reader.read()).value ?? Buffer.of()];
    vi.advanceTimersByTime(2 * PATIENCE.callMs);
    vi.useRealTimers();
    for (let next = await reader.read(); !next.done; next = await reader.read()) received.push(next.value);
    expect(sha256(Buffer.concat(received))).toBe(sha256(bytes));
  });
});

it("copies that fail are not gone on with, and the upload is aborted when the last of them has ended", async () => {
  const driver = newDriver({ ...QUICK, attempts: 1 });
  const { send, faults } = createTestApp(driver);
  const bytes = fresh(32 * MIB);
  const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
  expect((await send("PATCH", location, { body: bytes })).status).toBe(202);
  let go = (): void => undefined;
  const until = new Promise<void>((resolve) => (go = resolve));
  const held = proxy.inject({ operation: "UploadPartCopy", kind: "slow", until });
  const failed = proxy.inject({ operation: "UploadPartCopy", kind: "slow-down", nth: 2 });
  const committing = send("PUT", `${location}?digest=${sha256(bytes)}`);
  await Promise.all([held.reached, failed.reached]);
  const made = (operation: string): RecordedRequest[] => proxy.requests.filter((one) => one.operation === operation);
  await expect.poll(() => made("UploadPartCopy").filter(({ end }) => end === undefined)).toHaveLength(1);
  go();
  expect((await committing).status).toBe(429);
  const [copies, [abort]] = [made("UploadPartCopy"), made("AbortMultipartUpload")];
  expect(copies.length).toBeLessThanOrEqual(5);
  for (const { end } of copies) expect(end).toBeLessThanOrEqual(abort?.start ?? 0);
  expect((await send("PUT", `${location}?digest=${sha256(bytes)}`)).status, String(faults[0]?.error)).toBe(201);
});
