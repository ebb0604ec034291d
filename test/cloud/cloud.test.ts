/** The functions as they are bundled, behind the shims: what a client that knows neither gets. */
import { writeFileSync } from "node:fs";
import { hashSync } from "bcryptjs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { pattern, sha256 } from "../support/bodies.ts";
import { CONFIG, imageOf } from "../support/manifests.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { GATEWAY_QUIRKS } from "./api-gateway.ts";
import { clientOf, type Send } from "./client.ts";
import { startCloud, type Cloud } from "./cloud.ts";

const secrets = await fastTemporaryFolder();
const basic = { Authorization: `Basic ${Buffer.from("ann:secret").toString("base64")}` };
const octets = { "Content-Type": "application/octet-stream" };
let cloud: Cloud;
let api: Send;
let uploads: Send;
beforeAll(async () => {
  const htpasswd = path.join(secrets, "htpasswd");
  writeFileSync(htpasswd, `ann:${hashSync("secret", 5)}\n`);
  const env = {
    REGISTRY_AUTH: "htpasswd",
    REGISTRY_AUTH_HTPASSWD_REALM: "lading",
    REGISTRY_AUTH_HTPASSWD_PATH: htpasswd,
  };
  const access = await sharedVersitygw();
  cloud = await startCloud({ bucket: { access, name: await access.freshBucket() }, concurrency: 3, env });
  const signedIn =
    (send: Send): Send =>
    async (method, target, call = {}) =>
      await send(method, target, { ...call, headers: { ...basic, ...call.headers } });
  [api, uploads] = [signedIn(clientOf(cloud.api)), signedIn(clientOf(cloud.uploads))];
});
afterEach(() => void Object.assign(cloud.gateway.quirks, GATEWAY_QUIRKS));
afterAll(async () => {
  await cloud.close();
  await removeFolder(secrets);
});

const push = async (send: Send, bytes: Uint8Array): Promise<string> => {
  const location = String((await send("POST", "/v2/r/blobs/uploads/")).headers["location"]);
  const put = await send("PUT", `${location}?digest=${sha256(bytes)}`, { body: bytes, headers: octets });
  expect(put.status, put.body.toString()).toBe(201);
  return sha256(bytes);
};

/** The bytes of a blob, which the bucket gives. */
const download = async (send: Send, digest: string): Promise<Buffer> => {
  const { status, headers } = await send("GET", `/v2/r/blobs/${digest}`);
  expect(status).toBe(307);
  const reply = await fetch(String(headers["location"]));
  return Buffer.from(await reply.arrayBuffer());
};

describe("both functions", () => {
  it("ask for a sign-in, and check it with bcrypt in a thread of the bundle's", async () => {
    for (const host of [cloud.api, cloud.uploads]) {
      const { status, headers } = await clientOf(host)("GET", "/v2/");
      expect([status, headers["www-authenticate"]]).toEqual([401, 'Basic realm="lading"']);
      expect((await clientOf(host)("GET", "/v2/", { headers: basic })).status).toBe(200);
    }
  });

  it("share what was pushed, byte for byte", async () => {
    const layer = pattern(4_000_000);
    const image = imageOf([layer]);
    await push(api, CONFIG);
    await push(uploads, layer);
    const headers = { "Content-Type": image.mediaType };
    const put = await api("PUT", "/v2/r/manifests/v1", { body: image.bytes, headers });
    expect(put.status, put.body.toString()).toBe(201);
    for (const send of [api, uploads]) {
      const manifest = await send("GET", "/v2/r/manifests/v1");
      expect(manifest.body.equals(image.bytes)).toBe(true);
      expect((await download(send, sha256(layer))).equals(layer)).toBe(true);
    }
  });
});

describe("the event function", () => {
  it.each(["kept", "computed"] as const)(
    "tells a manifest's length to HEAD where the gateway has it %s",
    async (headLength) => {
      const config = await push(api, CONFIG);
      expect(config).toBe(sha256(CONFIG));
      const image = imageOf([]);
      await api("PUT", "/v2/r/manifests/head", { body: image.bytes, headers: { "Content-Type": image.mediaType } });
      cloud.gateway.quirks.headLength = headLength;
      const head = await api("HEAD", "/v2/r/manifests/head");
      expect([head.status, head.headers["content-length"], head.body.length]).toEqual([
        200,
        String(image.bytes.length),
        0,
      ]);
    },
  );

  it("takes a layer in chunks, each perhaps by another process, and hashes it over all of them", async () => {
    const layer = pattern(10_000_000, "chunks");
    let location = String((await api("POST", "/v2/r/blobs/uploads/")).headers["location"]);
    for (let start = 0; start < layer.length; start += 4_000_000) {
      const body = layer.subarray(start, start + 4_000_000);
      const range = { "Content-Range": `${start}-${start + body.length - 1}` };
      // Others at the same time: the next chunk may meet another process.
      const [patched] = await Promise.all([
        api("PATCH", location, { body, headers: { ...octets, ...range } }),
        api("GET", "/v2/"),
      ]);
      expect(patched.status, patched.body.toString()).toBe(202);
      location = String(patched.headers["location"]);
    }
    expect((await api("PUT", `${location}?digest=${sha256(layer)}`)).status).toBe(201);
    expect((await download(uploads, sha256(layer))).equals(layer)).toBe(true);
  });

  it("says what to do with a body that is a little too large; the gateway has a word of its own for more", async () => {
    const location = String((await api("POST", "/v2/r/blobs/uploads/")).headers["location"]);
    const little = await api("PATCH", location, { body: Buffer.alloc(4_450_000), headers: octets });
    expect([little.status, little.body.toString()]).toEqual([
      413,
      expect.stringContaining(`push to http://${cloud.uploads}`),
    ]);
    expect((await api("PATCH", location, { body: Buffer.alloc(5_000_000), headers: octets })).status).toBe(413);
  });

  it("answers as many at a time as it has processes, and has logged what it answered", async () => {
    const statuses = await Promise.all(Array.from({ length: 12 }, async () => (await api("GET", "/v2/?many")).status));
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    expect(cloud.events.started()).toBeLessThanOrEqual(3);
    const answered = statuses.filter((status) => status === 200).length;
    await expect.poll(() => cloud.events.lines.filter((line) => line.includes('"/v2/?many"')).length).toBe(answered);
    for (const line of cloud.events.lines) expect(() => JSON.parse(line) as unknown, line).not.toThrow();
  });

  it.each(["%2F", "%252F", "%3F", "%253F", "%23", "%00", "%25"])(
    "gives nothing for a path with %s that it would not give for what the gateway makes of it",
    async (escape) => {
      for (const decodings of [1, 2] as const) {
        Object.assign(cloud.gateway.quirks, { decodings, cutsAtQuestionMark: false });
        const { status } = await api("GET", `/v2/r${escape}x/tags/list`);
        expect([400, 404]).toContain(status);
        expect((await clientOf(cloud.api)("GET", `/v2/r${escape}x/tags/list`)).status).toBe(401);
      }
    },
  );
});

describe("the upload function", () => {
  it("takes a layer of any size in one request", async () => {
    await push(uploads, pattern(20_000_000, "large"));
  });

  it("reads a body to its end before it refuses it, since its front reads no answer before", async () => {
    const body = Buffer.alloc(64 * 1024 * 1024);
    const unsigned = await clientOf(cloud.uploads)("PUT", `/v2/r/blobs/uploads/x?digest=${sha256("x")}`, { body });
    expect(unsigned.status).toBe(401);
    expect((await uploads("PATCH", "/v2/r/blobs/uploads/nothing", { body, headers: octets })).status).toBe(404);
    expect((await uploads("PUT", "/v2/r/manifests/v9", { body, headers: octets })).status).toBe(413);
  });
});
