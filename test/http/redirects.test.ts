/** Downloads that are redirected to the store: which are, and what the client is told. What the store does then: test/s3. */
import { beforeEach, describe, expect, it } from "vitest";
import { createRedirects, type Redirects } from "../../functions/registry/redirects.ts";
import { loadConfig } from "../../shared/config/load.ts";
import { parseDigest } from "../../shared/oci/digest.ts";
import { OverloadedError, type Presigner } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type TestApp, type TestAppOptions } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { withFaults, type PlannedCall, type Verdict } from "../support/faults.ts";
import { pushBlob, pushImage } from "../support/manifests.ts";

const bytes = pattern(10_000);
const digest = sha256(bytes);
const url = `/v2/r/blobs/${digest}`;
const blobKey = `docker/registry/v2/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`;

/** Says in the URL what was asked for. */
const STORE = "https://store.example";
const presigner: Presigner = {
  presign: async (key, method) => await Promise.resolve(`${STORE}/${key}?method=${method}`),
};

let memory: MemoryDriver;
beforeEach(async () => {
  memory = new MemoryDriver();
  await pushBlob(createTestApp(memory).send, "r", bytes);
});

/** What a file with these keys under `storage.redirect` makes of it. */
function redirectsOf(keys: object): Redirects | undefined {
  const yaml = JSON.stringify({ version: "0.1", storage: { inmemory: {}, redirect: keys } });
  return createRedirects(loadConfig({ yaml, env: {} }).config.storage.redirect);
}

interface Store {
  readonly plan?: Parameters<typeof withFaults>[1];
  readonly failure?: () => Error;
  readonly presigner?: Presigner | undefined;
}

/** A registry over a store that signs URLs, with these keys under `storage.redirect`. */
function registry(keys: object = {}, settings: TestAppOptions["settings"] = {}, store: Store = {}): TestApp {
  const driver = withFaults(memory, store.plan ?? (() => "pass"), store.failure);
  const redirects = redirectsOf(keys);
  return createTestApp(
    { ...driver, presigner: store.presigner ?? presigner },
    { settings: { ...(redirects === undefined ? {} : { redirects }), ...settings } },
  );
}

describe("a download", () => {
  it("is redirected with the digest, no body, and a URL that nobody keeps", async () => {
    const reply = await registry().send("GET", url);
    expect([reply.status, reply.bytes.length]).toEqual([307, 0]);
    expect(Object.fromEntries(reply.headers)).toEqual({
      location: `${STORE}/${blobKey}?method=GET`,
      "docker-content-digest": digest,
      "content-length": "0",
      "cache-control": "no-store",
      "docker-distribution-api-version": "registry/2.0",
    });
  });

  it("costs one read of the link and one look at the bytes, together", async () => {
    let begun = 0;
    let both = (): void => undefined;
    const together = new Promise<void>((resolve) => (both = resolve));
    const plan = async (): Promise<Verdict> => {
      if (++begun === 2) both();
      await together;
      return "pass";
    };
    expect((await registry({}, {}, { plan }).send("GET", url)).status).toBe(307);
    expect(begun).toBe(2);
  });

  it("is redirected whatever the API's own addresses are", async () => {
    const settings = { prefix: "/x/", baseUrl: "https://registry.example" };
    const headers = { Host: "registry.example", "X-Forwarded-Prefix": "/team" };
    const reply = await registry({}, settings).send("GET", `/x${url}`, { headers });
    expect([reply.status, reply.header("location")]).toEqual([307, `${STORE}/${blobKey}?method=GET`]);
  });

  it("of a blob that is stored under another digest is redirected to where it lies", async () => {
    const alias = sha512(bytes);
    const link = `docker/registry/v2/repositories/r/_layers/sha512/${alias.slice(7)}/link`;
    await memory.put(link, Buffer.from(digest));
    const reply = await registry().send("GET", `/v2/r/blobs/${alias}`);
    expect([reply.status, reply.header("location")]).toEqual([307, `${STORE}/${blobKey}?method=GET`]);
    expect(reply.header("docker-content-digest")).toBe(alias);
  });

  it.each([
    ["Range", { Range: "bytes=0-9" }],
    ["several ranges", { Range: "bytes=0-9,20-29" }],
    ["a range beyond the end", { Range: "bytes=10000-" }],
    ["a range of the store's object", { Range: "bytes=5-", "If-Range": '"etag-of-the-store"' }],
    ["the store's ETag", { "If-None-Match": '"etag-of-the-store"' }],
  ])("with %s is the store's affair", async (_, headers) => {
    expect((await registry().send("GET", url, { headers })).status).toBe(307);
  });

  it.each([
    [{ "If-None-Match": `"${digest}"` }, 304, 0],
    [{ "If-None-Match": "*" }, 304, 0],
    [{ "If-Match": `"${digest}"` }, 200, 10_000],
    [{ "If-Match": `"${digest}"`, Range: "bytes=0-9" }, 206, 10],
    [{ "If-Match": '"other"' }, 412, 0],
  ])("with %j, which is about our ETag, is answered here", async (headers, status, length) => {
    const reply = await registry().send("GET", url, { headers });
    expect([reply.status, reply.bytes.length, reply.header("location")]).toEqual([status, length, null]);
  });
});

describe("a blob that is not there", () => {
  const none = sha256("none");
  it.each([
    ["nowhere", `/v2/r/blobs/${none}`],
    ["in this repository", `/v2/other/blobs/${digest}`],
  ])("%s is no redirect", async (_, path) => {
    for (const method of ["GET", "HEAD"]) {
      const reply = await registry({ head: true }).send(method, path);
      expect([reply.status, reply.header("location")]).toEqual([404, null]);
      if (method === "GET") expect(reply.code).toBe("BLOB_UNKNOWN");
    }
  });

  it("though it is linked is none either", async () => {
    await memory.delete(blobKey);
    for (const method of ["GET", "HEAD"]) {
      expect((await registry({ head: true }).send(method, url)).status).toBe(404);
    }
  });

  it("or cannot be looked at is none either", async () => {
    for (const part of ["_layers", "/data"]) {
      const plan = ({ key }: PlannedCall): Verdict => (key.includes(part) ? "before" : "pass");
      const failure = (): Error => new OverloadedError("S3 GetObject: SlowDown", 5);
      const { send } = registry({}, {}, { plan, failure });
      const reply = await send("GET", url);
      expect([reply.status, reply.header("retry-after"), reply.header("location")]).toEqual([429, "5", null]);
    }
  });

  it("is not told where a URL cannot be signed", async () => {
    const failing = { presign: async () => await Promise.reject(new Error("SECRET: no credentials")) };
    const reply = await registry({}, {}, { presigner: failing }).send("GET", url);
    expect([reply.status, reply.code]).toEqual([500, "UNKNOWN"]);
    expect(reply.bytes.toString()).not.toContain("SECRET");
  });
});

describe("HEAD", () => {
  it("is answered here, with length and digest, for one look at the mark, the link and the bytes each", async () => {
    const calls: PlannedCall[] = [];
    const plan = (call: PlannedCall): Verdict => (calls.push(call), "pass");
    const reply = await registry({}, {}, { plan }).send("HEAD", url);
    expect([reply.status, reply.header("location")]).toEqual([200, null]);
    expect([reply.header("content-length"), reply.header("docker-content-digest")]).toEqual(["10000", digest]);
    expect(calls.map(({ operation }) => operation).sort()).toEqual(["head", "look", "look"]);
  });

  it("is redirected to a URL for HEAD where the host cannot tell a length", async () => {
    const reply = await registry({ head: true }).send("HEAD", url);
    expect([reply.status, reply.header("location")]).toEqual([307, `${STORE}/${blobKey}?method=HEAD`]);
    expect([reply.header("docker-content-digest"), reply.header("cache-control")]).toEqual([digest, "no-store"]);
    const get = await registry({ head: true }).send("GET", url);
    expect(get.header("location")).toBe(`${STORE}/${blobKey}?method=GET`);
  });

  it("is answered here for whom no redirect is meant, and to what is about our ETag", async () => {
    const app = registry({ head: true, except: { clients: ["^crane/"] } });
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await app.send("HEAD", url, { headers })).status;
    expect(await status({ "User-Agent": "crane/v0.21.9" })).toBe(200);
    expect(await status({ "If-None-Match": `"${digest}"` })).toBe(304);
    expect(await status({ "If-Match": `"${digest}"` })).toBe(200);
    expect(await status({})).toBe(307);
  });
});

describe("nothing else is redirected", () => {
  it.each(["GET", "HEAD"])("%s of a manifest, a config that is a manifest's, lists", async (method) => {
    const app = registry({ head: true });
    const image = await pushImage(app.send, "r", "v1");
    for (const path of [`manifests/v1`, `manifests/${image.digest}`, "tags/list", `referrers/${image.digest}`]) {
      const reply = await app.send(method, `/v2/r/${path}`);
      expect([path, reply.status, reply.header("location")]).toEqual([path, 200, null]);
    }
  });

  it("where redirects are off, or the store signs nothing", async () => {
    const redirects = redirectsOf({});
    for (const { send } of [
      registry({ disable: true, head: true }),
      createTestApp({ ...withFaults(memory, () => "pass"), presigner }),
      createTestApp(memory, { settings: redirects === undefined ? {} : { redirects } }),
    ]) {
      const whole = await send("GET", url);
      expect([whole.status, whole.bytes.equals(bytes)]).toEqual([200, true]);
      const part = await send("GET", url, { headers: { Range: "bytes=10-19" } });
      expect([part.status, part.bytes.equals(bytes.subarray(10, 20))]).toEqual([206, true]);
      expect((await send("HEAD", url)).header("content-length")).toBe("10000");
    }
  });
});

describe("who is redirected", () => {
  const networks = ["10.0.0.0/8", "fd00::/8", "fe80::/10", "192.0.2.7"];
  const statusOf = async (keys: object, from: string, headers: Record<string, string> = {}): Promise<number> =>
    (await registry(keys).send("GET", url, { remoteAddress: from, headers })).status;

  it.each([
    ["10.1.2.3", 200],
    ["::ffff:10.1.2.3", 200],
    ["fd12:3456::1", 200],
    ["fe80::1%eth0", 200],
    ["192.0.2.7", 200],
    ["192.0.2.8", 307],
    ["11.0.0.1", 307],
    ["::ffff:11.0.0.1", 307],
    ["2001:db8::1", 307],
    ["::a01:203", 307],
  ])("by address: %s gets %i", async (from, status) => {
    expect(await statusOf({ except: { networks } }, from)).toBe(status);
  });

  it.each([
    ["crane/v0.21.9 go-containerregistry/v0.21.9", 200],
    ["Regclient/regctl (v0.11.5)", 200],
    ["containerd/v2.3.4", 307],
    ["", 307],
  ])("by User-Agent: %s gets %i", async (agent, status) => {
    const keys = { except: { clients: ["^crane/", "^regclient/"] } };
    expect(await statusOf(keys, "192.0.2.1", { "User-Agent": agent })).toBe(status);
  });

  it("by either", async () => {
    const keys = { except: { networks, clients: ["^crane/"] } };
    expect(await statusOf(keys, "10.0.0.1", { "User-Agent": "containerd/v2" })).toBe(200);
    expect(await statusOf(keys, "192.0.2.1", { "User-Agent": "crane/v0.21.9" })).toBe(200);
    expect(await statusOf(keys, "192.0.2.1", { "User-Agent": "containerd/v2" })).toBe(307);
  });

  describe("behind a proxy", () => {
    const trustedproxies = ["10.9.0.0/16", "::1"];
    const keys = { except: { networks: ["10.0.0.0/8"] }, trustedproxies };
    it.each([
      ["nobody is believed who is not trusted", "192.0.2.1", "10.1.2.3", 307],
      ["nor is one in the network", "10.1.2.3", "192.0.2.1", 200],
      ["a trusted one is", "10.9.0.1", "192.0.2.1", 307],
      ["for a client in the network too", "10.9.0.1", "10.1.2.3", 200],
      ["over IPv6", "::1", "10.1.2.3", 200],
      ["as IPv4 in IPv6", "::ffff:10.9.0.1", "192.0.2.1", 307],
      ["not what the client wrote before it", "10.9.0.1", "10.1.2.3, 192.0.2.1", 307],
      ["not that the client is elsewhere", "10.9.0.1", "192.0.2.1, 10.1.2.3", 200],
      ["the last but trusted ones", "10.9.0.1", "192.0.2.9, 10.1.2.3, 10.9.0.2,10.9.0.3", 200],
      ["with a port", "10.9.0.1", "10.1.2.3:4711", 200],
      ["with a port, IPv6", "10.9.0.1", "[::ffff:10.1.2.3]:4711", 200],
      ["in brackets", "10.9.0.1", "[::ffff:10.1.2.3]", 200],
      ["no address is in no network", "10.9.0.1", "unknown", 307],
      ["nothing said: the proxy is the client", "10.9.0.1", "", 200],
      ["proxies alone: the first of them", "::1", "10.9.0.2, ::1", 200],
    ])("%s: from %s for %s", async (_, from, forwarded, status) => {
      expect(await statusOf(keys, from, { "X-Forwarded-For": forwarded })).toBe(status);
    });
  });

  it("over a socket of this machine, whose other end is a proxy", () => {
    const redirects = redirectsOf({ except: { networks } });
    const includes = (forwarded: string | undefined): boolean | undefined =>
      redirects?.includes({
        remoteAddress: undefined,
        header: (name) => (name === "x-forwarded-for" ? forwarded : undefined),
      });
    expect([includes("10.1.2.3"), includes("192.0.2.1"), includes(undefined)]).toEqual([false, true, true]);
  });
});

it("the core signs for what it found, and says so where the store cannot", async () => {
  const { registry: core } = createTestApp(memory);
  const { blobs } = core.repository("r" as Parameters<typeof core.repository>[0]);
  expect(blobs.canPresign).toBe(false);
  await expect(blobs.presign(parseDigest(digest), "GET", false)).rejects.toThrow("signs no URLs");
});
