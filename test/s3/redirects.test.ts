/** Downloads that a bucket answers: from the registry's word to the last byte, as a client goes. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRedirects } from "../../functions/registry/redirects.ts";
import type { RedirectConfig } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { createTestApp, type Reply, type SendOptions, type TestApp, type TestAppOptions } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { pushBlob, pushImage } from "../support/manifests.ts";
import { startS3Proxy, type S3Proxy } from "../support/s3-proxy.ts";
import { sharedVersitygw, type S3Server } from "../support/s3-servers.ts";
import { s3Settings, s3Store } from "../support/s3-stores.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import type { TestStore } from "../support/stores.ts";

const small = pattern(100_000);
const large = pattern(6 * 1024 * 1024 + 1);

/** What a client gets where it is sent to, with the headers that it had sent before. */
async function follow({ status, headers }: Reply, method = "GET", sent: Record<string, string> = {}) {
  expect(status).toBe(307);
  const reply = await fetch(headers.get("location") ?? "", { method, headers: sent });
  return { status: reply.status, headers: reply.headers, bytes: Buffer.from(await reply.arrayBuffer()) };
}

describe.each([
  ["", ""],
  ["below a root", "some/root/"],
])("over versitygw %s", (_, root) => {
  let server: S3Server;
  let proxy: S3Proxy;
  let store: TestStore;
  beforeEach(async () => {
    server = await sharedVersitygw();
    proxy = await startS3Proxy(server);
    store = await s3Store(async () => await Promise.resolve({ ...server, endpoint: proxy.endpoint }), { root })();
  });
  afterEach(async () => {
    await store.close();
    await proxy.close();
  });

  function registry(
    { disabled = false, head = false, clients = [] as readonly string[] } = {},
    settings: TestAppOptions["settings"] = {},
    driver = store.driver,
  ): TestApp {
    const config: RedirectConfig = { disabled, head, except: { networks: [], clients }, trustedProxies: [] };
    const redirects = createRedirects(config);
    return createTestApp(driver, {
      settings: { ...(redirects === undefined ? {} : { redirects }), ...settings },
    });
  }

  it.each([
    ["empty", Buffer.alloc(0)],
    ["small", small],
    ["large", large],
  ])("a blob that is %s has its digest's bytes, and its length for HEAD", async (__, bytes) => {
    const { send } = registry({ head: true });
    const digest = await pushBlob(send, "team/app", bytes);
    const redirect = await send("GET", `/v2/team/app/blobs/${digest}`);
    expect([redirect.header("docker-content-digest"), redirect.header("content-length")]).toEqual([digest, "0"]);
    const get = await follow(redirect);
    expect([get.status, sha256(get.bytes)]).toEqual([200, digest]);
    const head = await follow(await send("HEAD", `/v2/team/app/blobs/${digest}`), "HEAD");
    expect(head.status).toBe(200);
    for (const { headers } of [get, head]) {
      expect(headers.get("content-type")).toBe("application/octet-stream");
      expect(headers.get("content-length")).toBe(String(bytes.byteLength));
    }
  });

  it("the same with sha512", async () => {
    const { send } = registry();
    const digest = sha512(small);
    const pushed = await send("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: small });
    expect(pushed.status).toBe(201);
    const { status, bytes } = await follow(await send("GET", `/v2/r/blobs/${digest}`));
    expect([status, sha512(bytes)]).toEqual([200, digest]);
  });

  it("ranges are the store's to answer, sent again by the client", async () => {
    const { send } = registry();
    const url = `/v2/r/blobs/${await pushBlob(send, "r", small)}`;
    for (const [range, status, contentRange, part] of [
      ["bytes=10-19", 206, "bytes 10-19/100000", small.subarray(10, 20)],
      ["bytes=99990-", 206, "bytes 99990-99999/100000", small.subarray(99_990)],
      ["bytes=-5", 206, "bytes 99995-99999/100000", small.subarray(99_995)],
    ] as const) {
      const headers = { Range: range };
      const reply = await follow(await send("GET", url, { headers }), "GET", headers);
      expect([reply.status, reply.headers.get("content-range")]).toEqual([status, contentRange]);
      expect(reply.bytes.equals(part)).toBe(true);
    }
    const beyond = { Range: "bytes=100000-" };
    expect((await follow(await send("GET", url, { headers: beyond }), "GET", beyond)).status).toBe(416);
  });

  it("with redirects off all of it is streamed, and of the ETags that the registry gives all is answered here", async () => {
    const { send } = registry({ disabled: true });
    const url = `/v2/r/blobs/${await pushBlob(send, "r", large)}`;
    const whole = await send("GET", url);
    expect([whole.status, whole.bytes.equals(large)]).toEqual([200, true]);
    const headers = { Range: "bytes=6000000-6000009" };
    const part = await send("GET", url, { headers });
    expect([part.status, part.bytes.equals(large.subarray(6_000_000, 6_000_010))]).toEqual([206, true]);
    const etag = whole.header("etag") ?? "";
    const redirecting = registry();
    expect((await redirecting.send("GET", url, { headers: { "If-None-Match": etag } })).status).toBe(304);
    expect((await redirecting.send("GET", url, { headers: { "If-Match": etag, ...headers } })).status).toBe(206);
  });

  it("only what is in the repository, and there, is redirected", async () => {
    const { send } = registry({ head: true });
    const digest = await pushBlob(send, "one", small);
    const statuses = async (path: string): Promise<number[]> =>
      await Promise.all(["GET", "HEAD"].map(async (method) => (await send(method, path)).status));
    expect(await statuses(`/v2/one/blobs/${digest}`)).toEqual([307, 307]);
    expect(await statuses(`/v2/other/blobs/${digest}`)).toEqual([404, 404]);
    expect(await statuses(`/v2/one/blobs/${sha256("none")}`)).toEqual([404, 404]);
    expect((await send("POST", `/v2/other/blobs/uploads/?mount=${digest}&from=one`)).status).toBe(201);
    expect((await follow(await send("GET", `/v2/other/blobs/${digest}`))).bytes.equals(small)).toBe(true);
    expect((await send("DELETE", `/v2/one/blobs/${digest}`)).status).toBe(202);
    expect(await statuses(`/v2/one/blobs/${digest}`)).toEqual([404, 404]);
    await store.driver.delete(`docker/registry/v2/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`);
    expect(await statuses(`/v2/other/blobs/${digest}`)).toEqual([404, 404]);
  });

  it("manifests are never redirected", async () => {
    const { send } = registry({ head: true });
    const image = await pushImage(send, "r", "v1");
    for (const reference of ["v1", image.digest]) {
      const reply = await send("GET", `/v2/r/manifests/${reference}`);
      expect([reply.status, reply.bytes.equals(image.bytes)]).toEqual([200, true]);
      expect((await send("HEAD", `/v2/r/manifests/${reference}`)).status).toBe(200);
    }
  });

  it("leads to the store whatever the API's own address is", async () => {
    const { send } = registry({}, { prefix: "/x/", baseUrl: "https://registry.example" });
    const digest = sha256(small);
    expect((await send("POST", `/x/v2/r/blobs/uploads/?digest=${digest}`, { body: small })).status).toBe(201);
    expect((await follow(await send("GET", `/x/v2/r/blobs/${digest}`))).bytes.equals(small)).toBe(true);
  });

  it("costs two requests and one round trip, and HEAD one more, which promises", async () => {
    const digest = await pushBlob(registry().send, "r", small);
    const url = `/v2/r/blobs/${digest}`;
    const both = [/_layers.*link$/, /data$/];
    const all = [...both, /_gc\/marks\//];
    for (const [method, head, status, keys] of [
      ["GET", false, 307, both],
      ["HEAD", false, 200, all],
      ["HEAD", true, 307, all],
    ] as const) {
      // The store answers none before it has been asked all.
      let answer = (): void => undefined;
      const until = new Promise<void>((resolve) => (answer = resolve));
      const asked = keys.map((key) => proxy.inject({ kind: "slow", key, until }).reached);
      void Promise.all(asked).then(answer);
      const requests = await proxy.during(async () => {
        expect((await registry({ head }).send(method, url)).status).toBe(status);
      });
      expect(requests).toHaveLength(keys.length);
      // The mark is not there, which the store says in XML.
      const content = requests.filter(({ key }) => both.some((pattern) => pattern.test(key ?? "")));
      expect(content.reduce((sum, { bytes }) => sum + bytes.received, 0)).toBeLessThan(200);
      proxy.heal();
    }
  });

  it("gives what is larger than a host can carry, but to whom no redirect is meant", async () => {
    const { send } = registry({ clients: ["^crane/"] });
    const url = `/v2/r/blobs/${await pushBlob(send, "r", large)}`;
    const event: SendOptions = {
      limits: { requestBytes: limits.eventBodyBytes, answerBytes: limits.eventAnswerBytes, headBodies: true },
    };
    expect((await follow(await send("GET", url, event))).bytes.equals(large)).toBe(true);
    const excepted = await send("GET", url, { ...event, headers: { "User-Agent": "crane/v0.21.9" } });
    expect(excepted.status).toBe(501);
  });

  it("a bucket that is not there is no 404 and no redirect", async () => {
    const driver = new S3Driver(s3Settings(server, "not-there", { root }), new MemoryBudget(64 * 1024 * 1024, 5000));
    const { send } = registry({ head: true }, {}, driver);
    for (const method of ["GET", "HEAD"]) {
      const reply = await send(method, `/v2/r/blobs/${sha256(small)}`);
      expect([reply.status, reply.header("location")]).toEqual([500, null]);
    }
    driver.close();
  });
});

describe("a server on a bucket", () => {
  const running: TestServer[] = [];
  afterEach(async () => {
    for (const server of running.splice(0)) await server.close();
  });

  async function serve(env: Record<string, string>): Promise<string> {
    const versitygw = await sharedVersitygw();
    const { endpoint, region, accessKeyId, secretAccessKey } = versitygw;
    const server = await startTestServer({
      REGISTRY_STORAGE: "s3",
      REGISTRY_STORAGE_S3_BUCKET: await versitygw.freshBucket(),
      REGISTRY_STORAGE_S3_REGION: region,
      REGISTRY_STORAGE_S3_REGIONENDPOINT: endpoint,
      REGISTRY_STORAGE_S3_ACCESSKEY: accessKeyId,
      REGISTRY_STORAGE_S3_SECRETKEY: secretAccessKey,
      ...env,
    });
    running.push(server);
    return server.url;
  }

  it.each<[env: Record<string, string>, forwarded: string, redirected: boolean]>([
    [{}, "10.0.0.1", true],
    [{ DISABLE: "true" }, "10.0.0.1", false],
    [{ EXCEPT_NETWORKS: "[127.0.0.0/8]" }, "192.0.2.1", false],
    [{ EXCEPT_NETWORKS: "[10.0.0.0/8]" }, "10.0.0.1", true],
    [{ EXCEPT_NETWORKS: "[10.0.0.0/8]", TRUSTEDPROXIES: "[127.0.0.1]" }, "10.0.0.1", false],
    [{ EXCEPT_NETWORKS: "[10.0.0.0/8]", TRUSTEDPROXIES: "[127.0.0.1]" }, "10.0.0.1, 192.0.2.1", true],
    [{ EXCEPT_CLIENTS: "['^a-client/']" }, "10.0.0.1", false],
    [{ EXCEPT_CLIENTS: "['^another']" }, "10.0.0.1", true],
  ])("with storage.redirect %j: redirects a client at this address, for %s: %s", async (env, forwarded, redirected) => {
    const url = await serve(
      Object.fromEntries(Object.entries(env).map(([key, text]) => [`REGISTRY_STORAGE_REDIRECT_${key}`, text])),
    );
    const digest = sha256(large);
    const headers = { "User-Agent": "a-client/1.0", "X-Forwarded-For": forwarded };
    const pushed = await fetch(`${url}/v2/r/blobs/uploads/?digest=${digest}`, {
      method: "POST",
      body: new Uint8Array(large),
    });
    expect(pushed.status).toBe(201);
    const first = await fetch(`${url}/v2/r/blobs/${digest}`, { headers, redirect: "manual" });
    expect(first.status).toBe(redirected ? 307 : 200);
    await first.body?.cancel();
    const followed = await fetch(`${url}/v2/r/blobs/${digest}`, { headers: { ...headers, Range: "bytes=5-" } });
    expect([followed.status, followed.redirected]).toEqual([206, redirected]);
    expect(Buffer.from(await followed.arrayBuffer()).equals(large.subarray(5))).toBe(true);
    const head = await fetch(`${url}/v2/r/blobs/${digest}`, { method: "HEAD", headers, redirect: "manual" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(large.byteLength)]);
  });

  it("sends HEAD to the store where storage.redirect.head says so", async () => {
    const url = await serve({ REGISTRY_STORAGE_REDIRECT_HEAD: "true" });
    const digest = sha256(small);
    await fetch(`${url}/v2/r/blobs/uploads/?digest=${digest}`, { method: "POST", body: new Uint8Array(small) });
    const head = await fetch(`${url}/v2/r/blobs/${digest}`, { method: "HEAD" });
    expect([head.status, head.redirected, head.headers.get("content-length")]).toEqual([200, true, "100000"]);
  });
});
