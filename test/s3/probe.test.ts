/** What a store promises, asked of real servers, and of some that promise less. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ListObjectsV2Command, PutBucketPolicyCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterEach, describe, expect, it } from "vitest";
import { PreconditionFailedError } from "../../shared/storage/driver.ts";
import { probePromises, PROBES } from "../../shared/storage/s3/probe.ts";
import { AMAZON_S3, type StorePromises } from "../../shared/storage/s3/settings.ts";
import { startS3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedCephRgw, sharedVersitygw, type S3Access, type S3Server } from "../support/s3-servers.ts";
import { CEPH_RGW, s3Settings, s3Store } from "../support/s3-stores.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function keysIn(server: S3Server, bucket: string): Promise<string[]> {
  const client = s3Client(server);
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  client.destroy();
  return Contents.map(({ Key = "" }) => Key);
}

describe.each([
  { name: "versitygw", shared: sharedVersitygw, promises: AMAZON_S3, requests: 6 },
  { name: "Ceph RGW", shared: sharedCephRgw, promises: CEPH_RGW, requests: 7 },
])("$name", ({ shared, promises, requests }) => {
  it("is asked with few requests below the root, by many at once, and nothing is left", async () => {
    const server = await shared();
    const bucket = await server.freshBucket();
    const proxy = await startS3Proxy(server);
    closing.push(async () => await proxy.close());
    const settings = s3Settings(proxy, bucket, { root: "some/root/" });
    expect(await probePromises(settings)).toEqual({ promises, weaker: [] });
    expect(proxy.requests).toHaveLength(requests);
    for (const { key } of proxy.requests) expect(key?.startsWith(`some/root/${PROBES}`)).toBe(true);

    const answers = await Promise.all(Array.from({ length: 8 }, async () => await probePromises(settings)));
    for (const answer of answers) expect(answer).toEqual({ promises, weaker: [] });
    expect(await keysIn(server, bucket)).toEqual([]);
  });

  it("is found out though an answer is lost, whichever", async () => {
    const server = await shared();
    const bucket = await server.freshBucket();
    const proxy = await startS3Proxy(server);
    closing.push(async () => await proxy.close());
    for (let nth = 1; nth <= requests; nth++) {
      const fault = proxy.inject({ kind: "after", nth });
      expect(await probePromises(s3Settings(proxy, bucket)), `answer ${nth}`).toEqual({ promises, weaker: [] });
      expect(fault.hits).toBe(1);
    }
    expect(await keysIn(server, bucket)).toEqual([]);
  });

  it("that cannot be reached, or has no such bucket, is no store that promises less", async () => {
    const server = await shared();
    await expect(probePromises(s3Settings(server, "no-such-bucket"))).rejects.toThrow("NoSuchBucket");
    const wrong = { ...server, secretAccessKey: "wrong" };
    await expect(probePromises(s3Settings(wrong, "no-such-bucket"))).rejects.toThrow("SignatureDoesNotMatch");
  });
});

it("of a bucket that may not be written to Amazon's promises are assumed", async () => {
  const server = await sharedCephRgw();
  const bucket = await server.freshBucket();
  const client = s3Client(server);
  const deny = (Action: string): object => ({
    Effect: "Deny",
    Principal: "*",
    Action,
    Resource: `arn:aws:s3:::${bucket}/*`,
  });
  const policy = async (...actions: string[]): Promise<void> => {
    const Policy = JSON.stringify({ Version: "2012-10-17", Statement: actions.map(deny) });
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
  };
  closing.push(async () => client.destroy());
  await policy("s3:PutObject");
  await expect(client.send(new PutObjectCommand({ Bucket: bucket, Key: "k", Body: "x" }))).rejects.toThrow();
  const unknown = await probePromises(s3Settings(server, bucket));
  expect(unknown).toEqual({ promises: AMAZON_S3, weaker: [expect.stringContaining("may not be written to")] });

  await policy("s3:DeleteObject");
  const { promises, weaker } = await probePromises(s3Settings(server, bucket));
  const [left] = await keysIn(server, bucket);
  expect(promises).toEqual(CEPH_RGW);
  expect(weaker).toEqual([`keeps ${left}, which could not be deleted`]);
});

describe("a store that promises less", () => {
  /** As little of S3 as the asking needs; `refuses` is the status of what it does not do, if it does not. */
  async function startStore(refuses: (headers: IncomingMessage["headers"]) => number | undefined): Promise<S3Access> {
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      request.resume().on("end", () => {
        const status = request.method === "PUT" ? (refuses(request.headers) ?? 200) : 204;
        response.writeHead(status, { etag: '"e"' }).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(async () => await new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    return { endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", accessKeyId: "a", secretAccessKey: "b" };
  }

  const NONE: StorePromises = { ...AMAZON_S3, conditionalWrites: false };
  const conditions = expect.stringContaining("does not decide conditional writes") as unknown;
  const sums = expect.stringContaining("takes bytes that do not have the SHA-256") as unknown;

  it.each([
    ["ignores all", () => undefined, NONE],
    ["ignores If-Match", (h) => (h["if-none-match"] === undefined ? undefined : 412), NONE],
    ["knows no conditions", (h) => ((h["if-none-match"] ?? h["if-match"]) === undefined ? undefined : 501), NONE],
    ["ignores If-None-Match", (h) => (h["if-match"]?.includes("00") === true ? 412 : undefined), NONE],
  ] satisfies [string, Parameters<typeof startStore>[0], StorePromises][])("%s", async (_, refuses, promises) => {
    const settings = s3Settings(await startStore(refuses), "bucket");
    expect(await probePromises(settings)).toEqual({ promises, weaker: [conditions, sums] });
  });

  it("keeps conditions all the same, but for writers at one moment", async () => {
    const store = await s3Store(sharedVersitygw, { promises: NONE })();
    closing.push(async () => await store.close());
    const { driver } = store;
    const put = async (text: string, condition: Parameters<typeof driver.put>[2]): Promise<string> =>
      (await driver.put("k", Buffer.from(text), condition)).etag;
    const first = await put("1", { ifNoneMatch: "*" });
    await expect(put("2", { ifNoneMatch: "*" })).rejects.toThrow(PreconditionFailedError);
    await put("3", { ifMatch: first });
    await expect(put("4", { ifMatch: first })).rejects.toThrow(PreconditionFailedError);
    expect(Buffer.from((await driver.read("k", 10)) ?? []).toString()).toBe("3");
  });
});

it("what a process that died was asking with is removed later", async () => {
  const store = await s3Store(sharedVersitygw)();
  closing.push(async () => await store.close());
  await store.driver.put(`${PROBES}dead`, Buffer.from("x"));
  await store.driver.put("docker/registry/v2/x", Buffer.from("x"));
  await store.driver.removeLeftovers?.(60_000, "docker/");
  expect((await store.driver.list(PROBES)).objects).toHaveLength(1);
  await store.driver.removeLeftovers?.(-60_000, "docker/");
  expect((await store.driver.list("")).objects.map(({ key }) => key)).toEqual(["docker/registry/v2/x"]);
});
