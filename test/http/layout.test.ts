/** Which keys each operation leaves, byte for byte: other registries read the same storage. */
import { describe, expect, it } from "vitest";
import type { Access } from "../../shared/auth/authorizer.ts";
import { StorageFullError } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { failingAt } from "../support/faults.ts";
import { snapshot } from "../support/invariants.ts";
import { CONFIG, pushBlob, pushImage, putManifest, referrerOf } from "../support/manifests.ts";

const ROOT = "docker/registry/v2/";
const blobKey = (digest: string): string => {
  const [algorithm, hex = ""] = digest.split(":");
  return `${ROOT}blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
};
const linkKey = (where: string, digest: string): string =>
  `${ROOT}repositories/${where}/${digest.replace(":", "/")}/link`;

describe("the storage after", () => {
  it("a push, byte for byte", async () => {
    const driver = new MemoryDriver();
    const { send } = createTestApp(driver);
    const { digest, bytes } = await pushImage(send, "a/b", "v1");
    const [config, layer] = [sha256(CONFIG), sha256("layer")];
    const current = `${ROOT}repositories/a/b/_manifests/tags/v1/current/link`;
    const wanted: [key: string, content: string][] = [
      [blobKey(config), CONFIG.toString()],
      [blobKey(layer), "layer"],
      [blobKey(digest), bytes.toString()],
      [linkKey("a/b/_layers", config), config],
      [linkKey("a/b/_layers", layer), layer],
      [linkKey("a/b/_manifests/revisions", digest), digest],
      [linkKey("a/b/_manifests/tags/v1/index", digest), digest],
      [current, digest],
    ];
    expect(await snapshot(driver)).toEqual(new Map(wanted));

    const other = await pushImage(send, "a/b", "v1", ["layer", "more"]);
    const after = await snapshot(driver);
    expect(after.get(current)).toBe(other.digest);
    for (const { digest: past } of [other, { digest }]) {
      expect(after.get(linkKey("a/b/_manifests/tags/v1/index", past))).toBe(past);
    }
  });

  it("a push by sha512", async () => {
    const driver = new MemoryDriver();
    const { send } = createTestApp(driver);
    const digest = sha512("x");
    await send("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: "x" });
    expect(await snapshot(driver)).toEqual(
      new Map([
        [blobKey(digest), "x"],
        [linkKey("r/_layers", digest), digest],
      ]),
    );
  });

  it("a push with a subject: one link of ours, where others do not look", async () => {
    const driver = new MemoryDriver();
    const { send } = createTestApp(driver);
    const { descriptor } = await pushImage(send, "r", "v1");
    const before = new Set((await snapshot(driver)).keys());
    const referrer = referrerOf(descriptor, "t/t");
    await putManifest(send, "r", referrer.digest, referrer);
    const added = [...(await snapshot(driver)).keys()].filter((key) => !before.has(key)).sort();
    expect(added).toEqual(
      [
        blobKey(referrer.digest),
        linkKey("r/_manifests/revisions", referrer.digest),
        linkKey(`r/_referrers/${descriptor.digest.replace(":", "/")}`, referrer.digest),
      ].sort(),
    );
  });

  it("deletes: links go, bytes stay until they are collected", async () => {
    const driver = new MemoryDriver();
    const { send } = createTestApp(driver);
    const { digest } = await pushImage(send, "r", "v1");
    await send("DELETE", `/v2/r/manifests/${digest}`);
    for (const blob of [CONFIG, "layer"]) await send("DELETE", `/v2/r/blobs/${sha256(blob)}`);
    expect([...(await snapshot(driver)).keys()].sort()).toEqual(
      [digest, sha256(CONFIG), sha256("layer")].map(blobKey).sort(),
    );
  });

  it("an append for which there was no room: as before, with what it took given back", async () => {
    const driver = new MemoryDriver();
    const location = (await createTestApp(driver).send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
    const before = await snapshot(driver);
    for (let k = 1; ; k++) {
      const faulty = failingAt(driver, k, "before", () => new StorageFullError("no space left"));
      const reply = await createTestApp(faulty.driver).send("PATCH", location, { body: pattern(1000) });
      if (reply.status === 202) break;
      expect(await snapshot(driver), faulty.calls[k - 1]).toEqual(before);
    }
  });
});

describe("who may not", () => {
  const app = (driver: MemoryDriver, may: (access: Access) => boolean, everywhere = false) =>
    createTestApp(driver, {
      parts: {
        authorizer: { authorize: (_, wanted) => wanted.every(may), mayPullEverywhere: () => everywhere },
      },
    });

  it("is told so, and nothing else", async () => {
    const driver = new MemoryDriver();
    await pushImage(createTestApp(driver).send, "r", "v1");
    const { send } = app(driver, ({ kind }) => kind === "base");
    for (const path of ["/v2/_catalog", "/v2/r/tags/list", "/v2/r/manifests/v1", "/v2/none/tags/list"]) {
      const reply = await send("GET", path);
      expect([reply.status, reply.code]).toEqual([403, "DENIED"]);
    }
    expect((await send("GET", "/v2/")).status).toBe(200);
  });

  it("pull from everywhere or from the source gets an upload instead of a mount", async () => {
    const driver = new MemoryDriver();
    const digest = await pushBlob(createTestApp(driver).send, "private", "secret");
    const notPrivate = (access: Access): boolean => access.kind === "repository" && access.repository !== "private";
    const mount = async (query: string, everywhere = false): Promise<number> =>
      (await app(driver, notPrivate, everywhere).send("POST", `/v2/r/blobs/uploads/?mount=${digest}${query}`)).status;
    expect(await mount("")).toBe(202);
    expect(await mount("&from=private")).toBe(202);
    expect((await createTestApp(driver).send("HEAD", `/v2/r/blobs/${digest}`)).status).toBe(404);
    expect(await mount("", true)).toBe(201);
  });

  it("push may not write, delete or see how far an upload is", async () => {
    const reader = (access: Access): boolean =>
      access.kind === "repository" && access.actions.every((action) => action === "pull");
    const driver = new MemoryDriver();
    await pushImage(createTestApp(driver).send, "r", "v1");
    const before = await snapshot(driver);
    const { send } = app(driver, reader);
    const id = "00000000-0000-8000-8000-000000000000";
    for (const [method, path] of [
      ["POST", "/v2/r/blobs/uploads/"],
      ["GET", `/v2/r/blobs/uploads/${id}`],
      ["PATCH", `/v2/r/blobs/uploads/${id}`],
      ["PUT", `/v2/r/blobs/uploads/${id}`],
      ["DELETE", `/v2/r/blobs/uploads/${id}`],
      ["PUT", "/v2/r/manifests/v1"],
      ["DELETE", "/v2/r/manifests/v1"],
      ["DELETE", `/v2/r/blobs/${sha256("layer")}`],
    ] as const) {
      expect((await send(method, path)).status, `${method} ${path}`).toBe(403);
    }
    expect(await snapshot(driver)).toEqual(before);
    expect((await send("GET", "/v2/r/manifests/v1")).status).toBe(200);
  });
});
