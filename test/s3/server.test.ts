/** The server, with its images where `storage.s3` says. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { afterEach, describe, expect, it } from "vitest";
import { makeManifest, pushMade } from "../dropin/content.ts";
import { Api } from "../support/api.ts";
import { startS3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedCephRgw, sharedVersitygw, type S3Access } from "../support/s3-servers.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const running: TestServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.close();
});

/** A server on a bucket; `more` are keys of `storage.s3`. */
async function serve(
  bucket: string,
  more: Record<string, string> = {},
  access?: S3Access,
  env: Record<string, string> = {},
): Promise<TestServer> {
  const { endpoint, region, accessKeyId, secretAccessKey } = access ?? (await sharedVersitygw());
  const keys = {
    bucket,
    region,
    regionendpoint: endpoint,
    accesskey: accessKeyId,
    secretkey: secretAccessKey,
    ...more,
  };
  const server = await startTestServer({
    REGISTRY_STORAGE: "s3",
    ...env,
    ...Object.fromEntries(
      Object.entries(keys).map(([key, text]) => [`REGISTRY_STORAGE_S3_${key.toUpperCase()}`, text]),
    ),
  });
  running.push(server);
  return server;
}

async function keysIn(bucket: string): Promise<string[]> {
  const client = s3Client(await sharedVersitygw());
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  client.destroy();
  return Contents.map(({ Key = "" }) => Key);
}

describe("storage.s3", () => {
  it("keeps images in the bucket, below rootdirectory, for every process that is told the same", async () => {
    const bucket = await (await sharedVersitygw()).freshBucket();
    const [one, other] = [
      await serve(bucket, { rootdirectory: "/a/b" }),
      await serve(bucket, { rootdirectory: "a/b" }),
    ];
    const made = makeManifest();
    await pushMade(new Api({ url: one.url }), "team/app", made, "v1");
    const reply = await new Api({ url: other.url }).manifest("team/app", "v1");
    expect(reply.body.equals(made.bytes)).toBe(true);
    const keys = await keysIn(bucket);
    expect(keys.length).toBeGreaterThan(5);
    expect(keys.filter((key) => !key.startsWith("a/b/docker/registry/v2/"))).toEqual([]);
    expect(await new Api({ url: other.url }).catalog()).toEqual(["team/app"]);
  });

  it("writes a line for each request where loglevel asks for it, with no secret in it", async () => {
    const server = await sharedVersitygw();
    const bucket = await server.freshBucket();
    const { url, lines } = await serve(bucket, { loglevel: "debug" });
    await fetch(`${url}/v2/a/manifests/v1`);
    const logged = lines.filter((line) => line.includes("request to the store"));
    expect(logged.join("\n")).toMatch(/operation=GetObject.*_manifests\/tags\/v1\/current\/link.*status=404/);
    expect(lines.join("\n")).not.toContain(server.secretAccessKey);
  });

  it("a bucket that is not there is a fault, never an absence", async () => {
    const { url, lines } = await serve("not-there");
    for (const path of ["/v2/a/manifests/v1", "/v2/a/tags/list", "/v2/_catalog"]) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(500);
    }
    expect(lines.join("\n")).toContain("NoSuchBucket");
  });

  it("keys that are not accepted are a fault, never an absence", async () => {
    const bucket = await (await sharedVersitygw()).freshBucket();
    const { url, lines } = await serve(bucket, { secretkey: "wrong" });
    for (const path of ["/v2/a/manifests/v1", "/v2/a/tags/list", "/v2/_catalog"]) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(500);
    }
    expect(lines.join("\n")).toContain("SignatureDoesNotMatch");
  });

  describe("on a store with other promises than Amazon's", () => {
    const digest = `sha256:${createHash("sha256").update("abc").digest("hex")}`;

    /** An upload that compares and swaps its state twice. */
    async function pushInChunks(url: string): Promise<number[]> {
      const statuses: number[] = [];
      let location = `${url}/v2/a/blobs/uploads/`;
      for (const [method, body] of [
        ["POST", ""],
        ["PATCH", "ab"],
        ["PATCH", "c"],
        ["PUT", ""],
      ] as const) {
        const target = method === "PUT" ? `${location}?digest=${digest}` : location;
        const reply = await fetch(target, { method, ...(body === "" ? {} : { body }) });
        statuses.push(reply.status);
        location = new URL(reply.headers.get("location") ?? "", url).href;
      }
      return statuses;
    }

    it("asks it at start, says what it promises, and keeps to it", async () => {
      const rgw = await sharedCephRgw();
      const { url, lines } = await serve(await rgw.freshBucket(), {}, rgw);
      expect(lines.join("\n")).toMatch(/asked the store what it promises.*conditionalWrites=true etags=bare/);
      expect(await pushInChunks(url)).toEqual([202, 202, 202, 201]);
    });

    it("that does not answer at start is asked again when that is needed", async () => {
      const rgw = await sharedCephRgw();
      const proxy = await startS3Proxy(rgw);
      proxy.inject({ kind: "before", operation: "PutObject", times: Infinity });
      const { url, lines } = await serve(await rgw.freshBucket(), {}, proxy);
      expect(lines.join("\n")).toContain("the store cannot be asked what it promises");
      expect((await fetch(`${url}/v2/a/blobs/uploads/`, { method: "POST" })).status).toBe(429);
      proxy.heal();
      expect(await pushInChunks(url)).toEqual([202, 202, 202, 201]);
      expect(lines.filter((line) => line.includes("etags=bare"))).toHaveLength(1);
      await proxy.close();
    });

    it("that decides no conditional writes is refused where tags are to be immutable", async () => {
      const careless = createServer((request, response) => {
        request.resume().on("end", () => response.writeHead(200, { etag: '"e"' }).end());
      });
      await new Promise<void>((resolve) => careless.listen(0, "127.0.0.1", resolve));
      const { port } = careless.address() as AddressInfo;
      const access = { ...(await sharedVersitygw()), endpoint: `http://127.0.0.1:${port}` };
      const immutable = { REGISTRY_STORAGE_TAG_IMMUTABLE: "[{tags: [v*]}]" };
      await expect(serve("bucket", {}, access, immutable)).rejects.toThrow(
        "storage.tag.immutable: this store does not decide conditional writes",
      );
      await serve("bucket", {}, access);
      await new Promise((resolve) => careless.close(resolve));
    });

    it("that is only read is not written to", async () => {
      const rgw = await sharedCephRgw();
      const proxy = await startS3Proxy(rgw);
      await serve(await rgw.freshBucket(), {}, proxy, { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "true" });
      expect(proxy.requests.filter(({ operation }) => operation === "PutObject")).toEqual([]);
      await proxy.close();
    });
  });
});
