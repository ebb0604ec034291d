/** The proxy changes nothing, names every call, counts what had to wait, and fails as it is told. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import * as s3 from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FaultKind, type RecordedRequest, type S3Proxy, startS3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { begun, complete, content, get, list, put, putting } from "./asking.ts";

let proxy: S3Proxy;
let bucket: string;
/** One through the proxy that never asks twice, one past it. */
let through: { client: s3.S3Client; bucket: string };
let direct: { client: s3.S3Client; bucket: string };

beforeEach(async () => {
  const server = await sharedVersitygw();
  bucket = await server.freshBucket();
  proxy = await startS3Proxy(server);
  through = { client: s3Client(proxy, { maxAttempts: 1 }), bucket };
  direct = { client: s3Client(server), bucket };
});

afterEach(async () => {
  through.client.destroy();
  direct.client.destroy();
  await proxy.close();
});

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
}

function deferred(): Deferred {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve: () => resolve() };
}

const told = (requests: readonly RecordedRequest[]): string[] =>
  requests.map(({ operation, key = "-", status = "cut" }) => `${operation} ${key} ${status}`);

describe("without faults", () => {
  it("passes bodies on as they are, both ways, and counts their bytes", async () => {
    const body = randomBytes(20 * 1024 * 1024 + 1);
    const sent = await proxy.during(async () => {
      const stream = Readable.from([body.subarray(0, 1_000_000), body.subarray(1_000_000)]);
      await putting(through, { Key: "k", Body: stream, ContentLength: body.length });
    });
    // The SDK frames a stream in chunks, with a checksum behind.
    expect(sent[0]?.bytes.sent).toBeGreaterThan(body.length);
    const plain = await proxy.during(async () => await putting(through, { Key: "k", Body: body }));
    expect(plain.map(({ bytes }) => bytes)).toEqual([{ sent: body.length, received: 0 }]);
    const received = await proxy.during(async () => {
      const bytes = await (await get(through, "k")).Body?.transformToByteArray();
      expect(Buffer.compare(bytes ?? Buffer.of(), body)).toBe(0);
    });
    expect(received.map(({ bytes }) => bytes)).toEqual([{ sent: 0, received: body.length }]);
  });

  it("passes presigned URLs on, with ranges and lengths", async () => {
    await put(through, "a b+c", "0123456789");
    const input = { Bucket: bucket, Key: "a b+c" };
    const url = await getSignedUrl(through.client, new s3.GetObjectCommand(input));
    const part = await fetch(url, { headers: { range: "bytes=2-4" } });
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
    const head = await fetch(await getSignedUrl(through.client, new s3.HeadObjectCommand(input)), { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "10"]);
    expect(told(proxy.requests)).toEqual(["PutObject a b+c 200", "GetObject a b+c 206", "HeadObject a b+c 200"]);
  });

  it("passes an answer on that comes before the server has read the body", async () => {
    const early = createServer((request, response) => {
      response.writeHead(403).end();
      request.resume();
    });
    await once(early.listen(0, "127.0.0.1"), "listening");
    const endpoint = `http://127.0.0.1:${(early.address() as AddressInfo).port}`;
    const between = await startS3Proxy({ ...(await sharedVersitygw()), endpoint });
    const client = s3Client(between, { maxAttempts: 1 });
    const refused = put({ client, bucket }, "k", randomBytes(20 * 1024 * 1024));
    await expect(refused).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
    expect(told(between.requests)).toEqual(["PutObject k 403"]);
    client.destroy();
    await between.close();
    early.close();
    early.closeAllConnections();
  });

  it("names every call", async () => {
    const { client } = through;
    const Bucket = bucket;
    const upload = await begun(through, "up/é", "part");
    const { Key, UploadId } = upload;
    await client.send(new s3.ListPartsCommand({ Bucket, Key, UploadId }));
    await client.send(new s3.ListMultipartUploadsCommand({ Bucket }));
    const CopySource = `${bucket}/k`;
    await put(through, "k");
    await client.send(new s3.UploadPartCopyCommand({ Bucket, Key, UploadId, PartNumber: 2, CopySource }));
    await complete(through, upload);
    await client.send(new s3.CopyObjectCommand({ Bucket, Key: "copy", CopySource }));
    const other = await begun(through, "other");
    await client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key: "other", UploadId: other.UploadId }));
    await content(through, "missing");
    await client.send(new s3.HeadObjectCommand({ Bucket, Key: "k" }));
    await client.send(new s3.HeadBucketCommand({ Bucket }));
    await list(through, { Prefix: "u" });
    await client.send(new s3.ListObjectsCommand({ Bucket }));
    await client.send(new s3.ListObjectVersionsCommand({ Bucket }));
    await client.send(new s3.DeleteObjectCommand({ Bucket, Key: "k" }));
    await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "copy" }, { Key }] } }));
    const VersioningConfiguration = { Status: "Enabled" } as const;
    await client.send(new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
    await client.send(new s3.GetBucketVersioningCommand({ Bucket }));
    await client.send(new s3.GetBucketLocationCommand({ Bucket }));
    await client.send(new s3.ListBucketsCommand({}));
    await client.send(new s3.CreateBucketCommand({ Bucket: `${Bucket}-2` }));
    await client.send(new s3.DeleteBucketCommand({ Bucket: `${Bucket}-2` }));
    expect(told(proxy.requests)).toEqual([
      ...["CreateMultipartUpload up/é 200", "UploadPart up/é 200", "ListParts up/é 200", "ListMultipartUploads - 200"],
      ...["PutObject k 200", "UploadPartCopy up/é 200", "CompleteMultipartUpload up/é 200", "CopyObject copy 200"],
      ...["CreateMultipartUpload other 200", "AbortMultipartUpload other 204", "GetObject missing 404"],
      ...["HeadObject k 200", "HeadBucket - 200", "ListObjectsV2 - 200", "ListObjects - 200"],
      ...["ListObjectVersions - 200", "DeleteObject k 204", "DeleteObjects - 200", "PutBucketVersioning - 200"],
      ...["GetBucketVersioning - 200", "GetBucketLocation - 200", "ListBuckets - 200"],
      ...["CreateBucket - 200", "DeleteBucket - 204"],
    ]);
  });
});

describe("rounds", () => {
  it("hold what was asked without waiting for an answer of the same round", async () => {
    const rounds = await proxy.inRounds(async () => {
      const chain = async (...keys: readonly string[]): Promise<void> => {
        for (const key of keys) await put(through, key);
      };
      await Promise.all([chain("a", "b", "c"), chain("d", "e"), chain("f")]);
      await chain("g");
    });
    expect(rounds.map((round) => round.map(({ key = "" }) => key).sort())).toEqual([
      ["a", "d", "f"],
      ["b", "e"],
      ["c"],
      ["g"],
    ]);
  });

  it("wait for a server that takes long, and count requests that nobody waits for", async () => {
    const held = deferred();
    const fault = proxy.inject({ key: "slow", kind: "slow", until: held.promise });
    let forgotten: Promise<unknown> | undefined;
    const rounds = await proxy.inRounds(async () => {
      const slow = put(through, "slow");
      const quick = put(through, "quick");
      await fault.reached;
      // The quick one is held for the slow one: if it was not, what comes next would not be in a round after both.
      held.resolve();
      await Promise.race([slow, quick]);
      forgotten = put(through, "next");
      await Promise.all([slow, quick]);
    });
    await forgotten;
    expect(rounds.map((round) => round.map(({ key = "" }) => key).sort())).toEqual([["quick", "slow"], ["next"]]);
  });

  it("are none without requests, and are over when the work is", async () => {
    expect(await proxy.inRounds(async () => await Promise.resolve())).toEqual([]);
    await put(through, "k");
    expect(told(proxy.requests)).toEqual(["PutObject k 200"]);
  });

  it("go on after a request whose server is gone", async () => {
    const nowhere = await startS3Proxy({ ...(await sharedVersitygw()), endpoint: "http://127.0.0.1:1" });
    const client = s3Client(nowhere, { maxAttempts: 2 });
    const rounds = await nowhere.inRounds(async () => await content({ client, bucket }, "k").catch(() => undefined));
    expect(rounds.flat()).toHaveLength(2);
    client.destroy();
    await nowhere.close();
  });
});

describe("faults", () => {
  const done: readonly (readonly [
    kind: FaultKind,
    outcome: object | undefined,
    effect: string | undefined,
    record: string,
  ])[] = [
    ["before", undefined, undefined, "PutObject k cut"],
    ["after", undefined, "new", "PutObject k cut"],
    ["slow-down", { name: "SlowDown", $metadata: { httpStatusCode: 503 } }, undefined, "PutObject k 503"],
    ["internal-error", { name: "InternalError", $metadata: { httpStatusCode: 500 } }, "new", "PutObject k 500"],
  ];
  it.each(done)("%s: a PUT fails once, and has its effect or not", async (kind, outcome, effect, record) => {
    const fault = proxy.inject({ operation: "PutObject", kind });
    const failed = putting(through, { Key: "k", Body: "new" });
    if (outcome === undefined) await expect(failed).rejects.toThrow(/ECONNRESET|hang up|aborted/);
    else await expect(failed).rejects.toMatchObject(outcome);
    await fault.reached;
    expect(await content(direct, "k")).toBe(effect);
    expect(told(proxy.requests)).toEqual([record]);
    await put(through, "k", "again");
    expect(await content(direct, "k")).toBe("again");
    expect([fault.hits, proxy.requests.map((request) => request.fault)]).toEqual([1, [kind, undefined]]);
  });

  it.each(["before", "after", "slow-down", "internal-error"] as const)("%s: the SDK asks again", async (kind) => {
    const client = s3Client(proxy);
    proxy.inject({ operation: "PutObject", kind });
    await put({ client, bucket }, "k", "x".repeat(3 * 1024 * 1024));
    client.destroy();
    expect(proxy.requests.map(({ operation, fault, status }) => [operation, fault, status])).toEqual([
      ["PutObject", kind, { "slow-down": 503, "internal-error": 500, before: undefined, after: undefined }[kind]],
      ["PutObject", undefined, 200],
    ]);
  });

  it("error-in-200: a copy fails though its answer begins well, and has no effect", async () => {
    await put(through, "k", "new");
    proxy.inject({ operation: "CopyObject", kind: "error-in-200" });
    const copy = new s3.CopyObjectCommand({ Bucket: bucket, Key: "copy", CopySource: `${bucket}/k` });
    await expect(through.client.send(copy)).rejects.toMatchObject({ name: "InternalError" });
    expect(await content(direct, "copy")).toBeUndefined();
    expect(told(proxy.requests)).toEqual(["PutObject k 200", "CopyObject copy 200"]);
  });

  it("partial: an answer ends in its middle", async () => {
    await put(through, "k", randomBytes(1_000_001));
    proxy.inject({ operation: "GetObject", kind: "partial" });
    const { Body, ContentLength } = await get(through, "k");
    expect(ContentLength).toBe(1_000_001);
    await expect(Body?.transformToByteArray()).rejects.toThrow(/aborted|ECONNRESET/);
    expect(proxy.requests[1]?.bytes.received).toBe(500_000);
    await put(through, "other");
    proxy.inject({ operation: "ListObjectsV2", kind: "partial" });
    await expect(list(through)).rejects.toThrow();
  });

  it("slow: the server hears of it later; late: the client does", async () => {
    const held = deferred();
    const slow = proxy.inject({ key: "slow", kind: "slow", until: held.promise });
    const late = proxy.inject({ key: "late", kind: "late", until: held.promise });
    const answers: string[] = [];
    const both = Promise.all(
      ["slow", "late"].map(async (key) => {
        await put(through, key);
        answers.push(key);
      }),
    );
    await Promise.all([slow.reached, late.reached]);
    expect(await content(direct, "slow")).toBeUndefined();
    expect(await content(direct, "late")).toBe("old");
    expect(answers).toEqual([]);
    held.resolve();
    await both;
    expect(await content(direct, "slow")).toBe("old");
    expect(answers.sort()).toEqual(["late", "slow"]);
  });

  it("hit the nth that fits, as often as told, until healed", async () => {
    const fault = proxy.inject({ operation: "PutObject", key: /^k/, kind: "slow-down", nth: 2, times: 2 });
    const answers: string[] = [];
    for (const key of ["k1", "other", "k2", "k3", "k4"]) {
      await put(through, key).then(
        () => answers.push(key),
        () => answers.push("failed"),
      );
    }
    expect(answers).toEqual(["k1", "other", "failed", "failed", "k4"]);
    expect(fault.hits).toBe(2);
    proxy.inject({ kind: "slow-down", times: Infinity });
    await expect(content(through, "k1")).rejects.toMatchObject({ name: "SlowDown" });
    await expect(through.client.send(new s3.HeadObjectCommand({ Bucket: bucket, Key: "k1" }))).rejects.toMatchObject({
      $metadata: { httpStatusCode: 503 },
    });
    proxy.heal();
    expect(await content(through, "k1")).toBe("old");
  });

  it("are none when the server is gone: the connection is cut", async () => {
    const nowhere = await startS3Proxy({ ...(await sharedVersitygw()), endpoint: "http://127.0.0.1:1" });
    const client = s3Client(nowhere, { maxAttempts: 1 });
    await expect(content({ client, bucket }, "k")).rejects.toThrow(/ECONNRESET|hang up/);
    expect(told(nowhere.requests)).toEqual(["GetObject k cut"]);
    client.destroy();
    await nowhere.close();
  });
});
