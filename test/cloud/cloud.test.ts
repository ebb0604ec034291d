/** The functions as they are bundled, behind the shims: what a client that knows neither gets. */
import { writeFileSync } from "node:fs";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { hashSync } from "bcryptjs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { pattern, sha256 } from "../support/bodies.ts";
import { CONFIG, imageOf } from "../support/manifests.ts";
import { startParameterServer, type ParameterServer } from "../support/parameter-server.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { GATEWAY_QUIRKS } from "./api-gateway.ts";
import { clientOf, type Answer, type Send } from "./client.ts";
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
const download = async (send: Send, digest: string, repository = "r"): Promise<Buffer> => {
  const { status, headers } = await send("GET", `/v2/${repository}/blobs/${digest}`);
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

  const start = async (): Promise<string> => String((await api("POST", "/v2/r/blobs/uploads/")).headers["location"]);
  const append = async (send: Send, location: string, at: number, body: Uint8Array): Promise<Answer> =>
    await send("PATCH", new URL(location, "http://x").pathname, {
      body,
      headers: { ...octets, "Content-Range": `${at}-${at + body.length - 1}` },
    });

  it("takes a layer in chunks, each in a process that knows nothing of the others, and hashes it over all", async () => {
    const layer = pattern(13_500_001, "chunks");
    const before = cloud.events.started();
    let location = await start();
    // Below a part of S3's, at the most that a request may have, and single bytes.
    const sizes = [4_400_000, 4_400_000, 1, 900_000, 3_800_000];
    let at = 0;
    for (const size of sizes) {
      await cloud.events.retire();
      const patched = await append(api, location, at, layer.subarray(at, at + size));
      expect(patched.status, patched.body.toString()).toBe(202);
      at += size;
      await cloud.events.retire();
      const state = await api("GET", location);
      expect([state.status, state.headers["range"]]).toEqual([204, `0-${at - 1}`]);
      // A chunk whose answer was lost is told where to go on.
      const again = await append(api, location, at - size, layer.subarray(at - size, at));
      expect([again.status, again.headers["range"]]).toEqual([416, `0-${at - 1}`]);
      location = String(patched.headers["location"]);
    }
    expect(at).toBe(layer.length);
    await cloud.events.retire();
    expect((await api("PUT", `${location}?digest=${sha256(layer)}`)).status).toBe(201);
    // The first, two for each chunk, and the last.
    expect(cloud.events.started() - before).toBeGreaterThanOrEqual(2 * sizes.length + 1);
    expect((await download(uploads, sha256(layer))).equals(layer)).toBe(true);
  });

  it.each(["two processes of it", "one of each function"])("lets one of two writers win: %s", async (which) => {
    const location = await start();
    const bodies = [pattern(4_000_000, "one"), pattern(4_000_000, "two")];
    const answers = await Promise.all(
      bodies.map(
        async (body, i) => await append(i === 1 && which.startsWith("one") ? uploads : api, location, 0, body),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 416]);
    const [won = Buffer.of(), lost = Buffer.of()] = answers[0]?.status === 202 ? bodies : bodies.toReversed();
    expect((await api("GET", location)).headers["range"]).toBe("0-3999999");
    const last = pattern(1000, "last");
    expect((await append(api, location, 4_000_000, last)).status).toBe(202);
    const wrong = await api("PUT", `${location}?digest=${sha256(Buffer.concat([lost, last]))}`);
    expect(wrong.status).toBe(400);
    const layer = Buffer.concat([won, last]);
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
    await cloud.events.retire();
    const before = cloud.events.started();
    const statuses = await Promise.all(Array.from({ length: 12 }, async () => (await api("GET", "/v2/?many")).status));
    expect(new Set(statuses)).toEqual(new Set([200, 503]));
    expect(cloud.events.started() - before).toBeLessThanOrEqual(3);
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

describe("with users and secret in parameters, and a bucket for uploads", () => {
  const parameters = { secret: "/lading/test/secret", users: "/lading/test/htpasswd" };
  const [first, second] = ["first", "second"].map((which) => which.padEnd(32, "-")) as [string, string];
  let server: ParameterServer;
  let fed: Cloud;
  let keysIn: (which: "storage" | "uploads") => Promise<string[]>;
  beforeAll(async () => {
    server = await startParameterServer();
    server.texts.set(parameters.secret, first);
    server.texts.set(parameters.users, `ann:${hashSync("secret", 5)}\n`);
    const access = await sharedVersitygw();
    const buckets = { storage: await access.freshBucket(), uploads: await access.freshBucket() };
    keysIn = async (which) => {
      const client = s3Client(access);
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: buckets[which] }));
      client.destroy();
      return Contents.map(({ Key = "" }) => Key);
    };
    const env = {
      ...server.env,
      REGISTRY_STORAGE_S3_UPLOADSBUCKET: buckets.uploads,
      REGISTRY_HTTP_SECRET: `ssm:${parameters.secret}`,
      REGISTRY_AUTH_HTPASSWD_REALM: "lading",
      REGISTRY_AUTH_HTPASSWD_PATH: `ssm:${parameters.users}`,
    };
    fed = await startCloud({ bucket: { access, name: buckets.storage }, concurrency: 3, env });
  });
  afterAll(async () => {
    await fed.close();
    await server.close();
  });
  const statusOf = async (): Promise<number> => (await clientOf(fed.api)("GET", "/v2/", { headers: basic })).status;

  it("is out of service while they cannot be read, says why in the log, and serves as soon as they can", async () => {
    await fed.events.retire();
    server.fail("denied");
    const before = fed.events.lines.length;
    expect([await statusOf(), await statusOf()]).toEqual([503, 503]);
    const said = (): string => fed.events.lines.slice(before).join("\n");
    await expect
      .poll(said)
      .toMatch(/the registry cannot start.*cannot be read: AccessDeniedException.*ssm:GetParameter/);
    server.heal();
    const started = fed.events.started();
    expect(await statusOf()).toBe(200);
    expect(fed.events.started()).toBe(started);
  });

  it("reads each once, whoever asks for what", async () => {
    await fed.events.retire();
    const before = server.asked.length;
    for (let request = 0; request < 5; request++) expect(await statusOf()).toBe(200);
    const wrong = { Authorization: `Basic ${Buffer.from("ann:wrong").toString("base64")}` };
    for (let request = 0; request < 5; request++)
      expect((await clientOf(fed.api)("GET", "/v2/", { headers: wrong })).status).toBe(401);
    const asked = server.asked.slice(before).map((text) => text.split(" ")[0]);
    expect(asked.sort()).toEqual([`ssm:${parameters.users}`, `ssm:${parameters.secret}`]);
  });

  it("goes on with an upload whose address the secret before signed", async () => {
    const layer = pattern(6_000_000, "rotated");
    const headers = { ...basic, "User-Agent": "containerd/v2.3.4" };
    const begin = async (): Promise<string> => {
      const { headers: given } = await clientOf(fed.api)("POST", "/v2/r/blobs/uploads/", { headers });
      return new URL(String(given["location"])).pathname;
    };
    const path = await begin();
    // The new one is made known, before it signs.
    server.texts.set(parameters.secret, `${second}\n${first}\n`);
    await fed.events.retire();
    const patched = await clientOf(fed.uploads)("PATCH", path, { body: layer, headers: octets });
    expect([patched.status, patched.body.toString()]).toEqual([202, ""]);
    // What asks the store its promises comes and goes beside the session.
    expect((await keysIn("uploads")).filter((key) => key.includes("/_uploads/"))).toHaveLength(3);
    expect(await keysIn("storage")).toEqual([]);
    // The event function has both by now, and takes what the upload function signs with the old one.
    const next = String(patched.headers["location"]).replace(/^https?:\/\/[^/]+/, "");
    const put = await clientOf(fed.api)("PUT", `${next}?digest=${sha256(layer)}`);
    expect([put.status, put.body.toString()]).toEqual([201, ""]);
    expect(await keysIn("uploads")).toEqual([]);
    expect((await keysIn("storage")).some((key) => key.endsWith(`${sha256(layer).slice(7)}/data`))).toBe(true);
    server.texts.set(parameters.secret, second);
    await fed.events.retire();
    expect((await clientOf(fed.api)("PATCH", path, { headers: octets })).status).toBe(404);
  });
});

describe("the upload function", () => {
  describe("at an address that the event function signed", () => {
    const layer = pattern(6_000_000, "signed");
    const anonymous = (): Send => clientOf(cloud.uploads);
    const startAs = async (agent: string): Promise<string> => {
      const { headers } = await api("POST", "/v2/signed/blobs/uploads/", { headers: { "User-Agent": agent } });
      const { host, pathname } = new URL(String(headers["location"]));
      expect(host).toBe(cloud.uploads);
      return pathname;
    };

    it.each([
      ["the digest alone", `?digest=${sha256(layer)}`],
      ["ns behind it", `?digest=${sha256(layer)}&ns=registry.lading.localhost`],
      ["ns before it, escaped", `?ns=registry.lading.localhost&digest=${encodeURIComponent(sha256(layer))}`],
    ])("takes the body, and takes it again, with %s", async (_, query) => {
      const path = await startAs("containerd/v2.3.4");
      for (const attempt of ["first", "again"]) {
        const { status, body } = await anonymous()("PUT", path + query, { body: layer, headers: octets });
        expect([attempt, status, body.toString()]).toEqual([attempt, 201, ""]);
      }
      expect((await download(api, sha256(layer), "signed")).equals(layer)).toBe(true);
    });

    it("goes on where a PATCH ended, at the addresses that it gives itself", async () => {
      const path = await startAs("docker/29.7.2");
      const patched = await anonymous()("PATCH", path, { body: layer, headers: octets });
      expect([patched.status, patched.headers["range"]]).toEqual([202, `0-${layer.length - 1}`]);
      const next = String(patched.headers["location"]);
      expect((await anonymous()("PUT", `${next}?digest=${sha256(layer)}`)).status).toBe(201);
    });

    it("never asks for credentials, and looks at none", async () => {
      const path = await startAs("skopeo/1.18.0");
      const wrong = { ...octets, Authorization: "Basic Og==" };
      const attempts: [status: number, path: string][] = [
        [400, `${path}?digest=${sha256("other")}`],
        [400, `${path}?digest=nonsense`],
        [404, `${path}x?digest=${sha256(layer)}`],
        [404, `${path.replace("/signed/", "/other/")}?digest=${sha256(layer)}`],
      ];
      for (const [expected, target] of attempts) {
        const { status, headers } = await anonymous()("PUT", target, { body: layer, headers: wrong });
        expect([target, status, headers["www-authenticate"]]).toEqual([target, expected, undefined]);
      }
      const right = await anonymous()("PUT", `${path}?digest=${sha256(layer)}`, { body: layer, headers: wrong });
      expect(right.status).toBe(201);
    });
  });

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
