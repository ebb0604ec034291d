/** The stack as it is synthesized, on this machine: each function does its work with its own role, and with nothing more. */
import { randomUUID } from "node:crypto";
import { readdir, utimes } from "node:fs/promises";
import path from "node:path";
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { examine } from "../../shared/doctor/doctor.ts";
import { parseDigest, type Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { pattern, sha256 } from "../support/bodies.ts";
import { CONFIG, imageOf, referrerOf } from "../support/manifests.ts";
import { until } from "../support/process.ts";
import { s3Client, sharedVersitygw, type S3Server } from "../support/s3-servers.ts";
import { clientOf, type Answer, type Call, type Send } from "./client.ts";
import { startDeployed, type DeployedCloud } from "./deployed.ts";

const basic = { Authorization: `Basic ${Buffer.from("ann:secret").toString("base64")}` };
/** How often the schedule calls the collector in a night. */
const CALLS = 16;
const octets = { "Content-Type": "application/octet-stream" };
const DOCKER = { "User-Agent": "docker/29.0.0 go/go1.25" };
let cloud: DeployedCloud;
let api: Send;

const layers = [pattern(20_000_000), pattern(3000)];

/** The storage bucket, by those who own it. */
const store = {
  put: async (key: string, text: string): Promise<void> => {
    await owner.send(new PutObjectCommand({ Bucket: cloud.buckets.storage, Key: key, Body: Buffer.from(text) }));
  },
  remove: async (key: string): Promise<void> => {
    await owner.send(new DeleteObjectCommand({ Bucket: cloud.buckets.storage, Key: key }));
  },
  /** Makes an object older. */
  age: async (key: string, ms: number): Promise<void> => {
    const time = new Date(Date.now() - ms);
    await utimes(path.join(server.folder, "data", cloud.buckets.storage, key), time, time);
  },
  /** Makes everything in both buckets older, uploads that were begun too. */
  ageAll: async (ms: number): Promise<void> => {
    const time = new Date(Date.now() - ms);
    for (const bucket of Object.values(cloud.buckets)) {
      const folder = path.join(server.folder, "data", bucket);
      for (const name of await readdir(folder, { recursive: true })) await utimes(path.join(folder, name), time, time);
    }
  },
  has: async (key: string): Promise<boolean> =>
    await owner.send(new HeadObjectCommand({ Bucket: cloud.buckets.storage, Key: key })).then(
      () => true,
      () => false,
    ),
};
let owner: S3Client;
let server: S3Server;
beforeAll(async () => {
  server = await sharedVersitygw();
  owner = s3Client(server);
  cloud = await startDeployed({ store: server });
  const send = clientOf(cloud.api);
  api = async (method, target, call = {}) =>
    await send(method, target, { ...call, headers: { ...basic, ...call.headers } });
}, 180_000);
afterAll(async () => await cloud.close());

const digestOf = (bytes: string | Uint8Array): Digest => parseDigest(sha256(bytes));

const expectStatus = async (asked: Promise<Answer>, status: number): Promise<Answer> => {
  const answer = await asked;
  expect(answer.status, answer.body.toString()).toBe(status);
  return answer;
};

/** Sends to wherever an answer leads, without credentials. */
const anywhere = async (method: string, url: string, call: Call = {}): Promise<Answer> => {
  const { host, pathname, search } = new URL(url, `http://${cloud.uploads}`);
  return await clientOf(host)(method, pathname + search, call);
};

const begin = async (repository: string, headers: Record<string, string> = {}): Promise<string> =>
  String((await expectStatus(api("POST", `/v2/${repository}/blobs/uploads/`, { headers }), 202)).headers["location"]);

/** As Docker does it: at the address for uploads, in one append of any size, then the end. */
async function pushLarge(repository: string, bytes: Uint8Array): Promise<string> {
  const location = await begin(repository, DOCKER);
  expect(new URL(location).host).toBe(cloud.uploads);
  const patched = await expectStatus(anywhere("PATCH", location, { headers: octets, body: bytes }), 202);
  const end = `${String(patched.headers["location"])}?digest=${sha256(bytes)}`;
  await expectStatus(anywhere("PUT", end), 201);
  return sha256(bytes);
}

/** As oras does it: on the same host, whole. */
async function pushSmall(repository: string, bytes: Uint8Array): Promise<string> {
  const location = await begin(repository);
  await expectStatus(api("PUT", `${location}?digest=${sha256(bytes)}`, { headers: octets, body: bytes }), 201);
  return sha256(bytes);
}

/** Rights that nothing here needs, each with the reason. */
const NOT_NEEDED_HERE: Readonly<Record<string, string>> = {
  "uploads RemoveEntries: s3:DeleteObject …/docker/registry/v2/_catalog/*":
    "the same code as the registry's, of which only a process that just began would need it",
};

describe("the stack as it is synthesized", () => {
  it("lets nobody in before a user is added, and then without a deployment", { timeout: 150_000 }, async () => {
    const { status, headers } = await api("GET", "/v2/");
    expect([status, headers["www-authenticate"]]).toEqual([401, 'Basic realm="Lading"']);
    cloud.addUser(`ann:${hashSync("secret", 5)}`);
    await until("the user may come in", async () => (await api("GET", "/v2/")).status === 200, 90_000);
    await until(
      "and at the upload function",
      async () => {
        return (await clientOf(cloud.uploads)("GET", "/v2/", { headers: basic })).status === 200;
      },
      90_000,
    );
  });

  it("takes, gives and deletes whatever clients want, and collects what they leave", { timeout: 300_000 }, async () => {
    const config = CONFIG;
    await pushSmall("team/app", config);
    for (const layer of layers) await pushLarge("team/app", layer);
    await pushSmall("team/app", pattern(200_000));
    // In chunks, so that tails are joined and copied.
    const chunked = pattern(14_000_000);
    let location = await begin("team/app", DOCKER);
    for (const [from, to] of [
      [0, 6_000_000],
      [6_000_000, 12_500_000],
      [12_500_000, 14_000_000],
    ] as const) {
      const headers = { ...octets, "Content-Range": `${from}-${to - 1}` };
      const answer = await expectStatus(
        anywhere("PATCH", location, { headers, body: chunked.subarray(from, to) }),
        202,
      );
      location = String(answer.headers["location"]);
    }
    await expectStatus(anywhere("PUT", `${location}?digest=${sha256(chunked)}`), 201);
    // One that is given up, one that is wrong, one that breaks off.
    await expectStatus(api("DELETE", await begin("team/app")), 204);
    const wrong = `${await begin("team/app", DOCKER)}?digest=${sha256("other")}`;
    await expectStatus(anywhere("PUT", wrong, { headers: octets, body: pattern(15_000_000) }), 400);

    const image = imageOf(layers);
    const manifests = "/v2/team/app/manifests";
    const type = { "Content-Type": image.mediaType };
    await expectStatus(api("PUT", `${manifests}/v1`, { headers: type, body: image.bytes }), 201);
    const referrer = referrerOf({ mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }, "t/t");
    await expectStatus(
      api("PUT", `${manifests}/${referrer.digest}`, {
        headers: { "Content-Type": referrer.mediaType },
        body: referrer.bytes,
      }),
      201,
    );
    const pulled = await expectStatus(api("GET", `${manifests}/v1`), 200);
    expect(pulled.body.equals(Buffer.from(image.bytes))).toBe(true);
    for (const method of ["GET", "HEAD"]) {
      const { headers } = await expectStatus(api(method, `/v2/team/app/blobs/${sha256(layers[0] ?? "")}`), 307);
      const { status, headers: last } = await anywhere(method, String(headers["location"]));
      expect([status, last["content-length"]]).toEqual([200, "20000000"]);
    }
    await expectStatus(api("HEAD", `/v2/team/app/blobs/${sha256("missing")}`), 404);
    await expectStatus(api("GET", `${manifests}/missing`), 404);
    await expectStatus(api("POST", `/v2/team/copy/blobs/uploads/?mount=${sha256(config)}&from=team/app`), 201);
    for (const path of ["/v2/_catalog", "/v2/team/app/tags/list", `/v2/team/app/referrers/${image.digest}`]) {
      await expectStatus(api("GET", path), 200);
    }
    await expectStatus(api("DELETE", `${manifests}/v1`), 202);
    await expectStatus(api("DELETE", `${manifests}/${image.digest}`), 202);
    await expectStatus(api("DELETE", `/v2/team/app/blobs/${sha256(chunked)}`), 202);
    // At the other function too, whatever a client does there.
    const uploads = clientOf(cloud.uploads);
    const there = async (method: string, target: string, call: Call = {}): Promise<Answer> =>
      await uploads(method, target, { ...call, headers: { ...basic, ...call.headers } });
    await expectStatus(there("PUT", `${manifests}/v2`, { headers: type, body: image.bytes }), 201);
    await expectStatus(there("DELETE", `${manifests}/v2`), 202);
    await expectStatus(there("GET", "/v2/_catalog"), 200);
    await expectStatus(there("PUT", `${manifests}/v3`, { headers: type, body: image.bytes }), 201);
    // What the store refuses half way is given up: by the one function a copy, by the other a part.
    cloud.refuseOnce("uploads", "UploadPart");
    await anywhere("PATCH", await begin("team/app", DOCKER), { headers: octets, body: pattern(15_000_000) });
    const inChunks = pattern(16_000_000);
    let own = await begin("team/app");
    for (let from = 0; from < inChunks.length; from += 4_000_000) {
      if (from === 4_000_000) cloud.refuseOnce("registry", "UploadPart");
      const patch = async (): Promise<Answer> =>
        await api("PATCH", own, { headers: octets, body: inChunks.subarray(from, from + 4_000_000) });
      let answer = await patch();
      if (answer.status !== 202) answer = await patch();
      own = String((await expectStatus(Promise.resolve(answer), 202)).headers["location"]);
    }
    cloud.refuseOnce("registry", "UploadPartCopy");
    const end = `${own}?digest=${sha256(inChunks)}`;
    expect((await api("PUT", end)).status).toBeGreaterThanOrEqual(500);
    await expectStatus(api("PUT", end), 201);

    // Who wants what a collection has condemned says so: a process that has not just seen that there was no mark.
    const condemned = digestOf(pattern(200_000));
    await cloud.events.retire();
    for (const send of [api, there]) {
      await store.put(layout.blobMark(condemned), JSON.stringify({ state: "condemned", nonce: randomUUID() }));
      const { status } = await send("HEAD", `/v2/team/app/blobs/${condemned}`);
      expect([200, 307]).toContain(status);
    }
    // A new process lists an index that nobody has completed, with an entry of a repository that is gone.
    await store.put(layout.catalogEntry("gone/long/ago"), "");
    await store.age(layout.catalogEntry("gone/long/ago"), 3 * 3_600_000);
    await store.remove(layout.catalogComplete);
    await cloud.events.retire();
    expect((await expectStatus(api("GET", "/v2/_catalog"), 200)).body.toString()).not.toContain("gone");
  });

  it("collects at night what nobody refers to, and what uploads left", { timeout: 300_000 }, async () => {
    await begin("team/app");
    // As they are left by functions that were killed.
    const key = layout.blob(digestOf("never finished"));
    for (const [Bucket, Key] of [
      [cloud.buckets.storage, key],
      [cloud.buckets.uploads, `${layout.uploads("team/app")}0/0`],
    ]) {
      await owner.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    }
    const garbage = layout.blob(digestOf(pattern(14_000_000)));
    const kept = layout.blob(digestOf(layers[0] ?? ""));
    // The first night condemns, the second deletes; what was deleted is forgotten in the third.
    for (let night = 0; night < 3; night++) {
      await store.ageAll(8 * 24 * 3_600_000);
      // When the last run began is written in it.
      await store.remove(layout.gcLease);
      const states: (string | undefined)[] = [];
      // Told that it has next to no time, it does a little at each call; the last one finds nothing to do.
      while (states.at(-1) !== "idle") {
        const log = await cloud.collect(60_000);
        states.push(/"state":"(\w+)"/.exec(log)?.[1]);
        if (states.length > CALLS) throw new Error(`the night is over: ${states.join()}`);
      }
      expect(states.length).toBeGreaterThan(3);
      expect(states.slice(0, -2)).toEqual(states.slice(0, -2).map(() => "more"));
    }
    expect([await store.has(garbage), await store.has(kept)]).toEqual([false, true]);
    for (const Bucket of [cloud.buckets.storage, cloud.buckets.uploads]) {
      expect((await owner.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).toEqual([]);
    }
    expect((await owner.send(new ListObjectsV2Command({ Bucket: cloud.buckets.uploads }))).KeyCount).toBe(0);
    await expectStatus(api("GET", "/v2/team/app/manifests/v3"), 200);
  });

  it("passes what doctor looks at", { timeout: 300_000 }, async () => {
    const user = { name: "ann", password: "secret" };
    const bodies = [4_000_000, 8_000_000];
    const seen = await examine(
      { registry: `http://${cloud.api}`, user, repository: "lading/doctor", atOnce: 8, bodies },
      () => undefined,
    );
    expect(seen.filter(({ level }) => level === "fail")).toEqual([]);
  });

  it("took less memory than it is given", () => {
    const peak = cloud.events.peakMib();
    expect(peak).toBeGreaterThan(20);
    expect(peak).toBeLessThan(cloud.deployment.registry.memoryMb ?? 0);
  });

  it("had each right that it needed, and needed each right that it has", () => {
    const { registry, uploads, collector } = cloud.policies;
    expect({ registry: registry.denied, uploads: uploads.denied, collector: collector.denied }).toEqual({
      registry: [],
      uploads: [],
      collector: [],
    });
    const unused = Object.entries(cloud.policies).flatMap(([which, policy]) =>
      policy.unused().map((name) => `${which} ${name.replace(/arn:aws:s3:::[^/]*/, "…")}`),
    );
    expect(unused.filter((name) => name.includes(" s3:") && NOT_NEEDED_HERE[name] === undefined)).toEqual([]);
    for (const asked of cloud.parameters.asked) {
      const name = /^ssm:(\/[^ ]*) /.exec(asked)?.[1] ?? asked;
      const need = { action: "ssm:GetParameter", resource: `arn:aws:ssm:eu-central-1:123456789012:parameter${name}` };
      expect([need, registry.would(need), uploads.would(need)]).toEqual([need, true, true]);
    }
  });
});

describe("the upload function, where downloads come through CloudFront", () => {
  it("streams blobs, with ranges and lengths, and its role is enough for it", { timeout: 300_000 }, async () => {
    // What `downloads=cloudfront` adds to its variables, as test/infra looks at.
    const env = { REGISTRY_STORAGE_REDIRECT_DISABLE: "true" };
    const users = [`ann:${hashSync("secret", 5)}`];
    const other = await startDeployed({ store: await sharedVersitygw(), users, env });
    try {
      const there = clientOf(other.uploads);
      const ask = async (method: string, target: string, call: Call = {}): Promise<Answer> =>
        await there(method, target, { ...call, headers: { ...basic, ...call.headers } });
      const bytes = pattern(20_000_000);
      const { headers } = await expectStatus(ask("POST", "/v2/team/app/blobs/uploads/"), 202);
      const end = `${String(headers["location"])}?digest=${sha256(bytes)}`;
      await expectStatus(ask("PUT", end, { headers: octets, body: bytes }), 201);

      const blob = `/v2/team/app/blobs/${sha256(bytes)}`;
      const whole = await expectStatus(ask("GET", blob), 200);
      expect(Buffer.compare(whole.body, Buffer.from(bytes))).toBe(0);
      const head = await expectStatus(ask("HEAD", blob), 200);
      expect(head.headers["content-length"]).toBe("20000000");
      const part = await expectStatus(ask("GET", blob, { headers: { Range: "bytes=19999990-" } }), 206);
      expect(Buffer.compare(part.body, Buffer.from(bytes.subarray(19_999_990)))).toBe(0);
      expect(other.policies.uploads.denied).toEqual([]);
    } finally {
      await other.close();
    }
  });
});
