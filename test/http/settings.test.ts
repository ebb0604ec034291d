/** What the settings change, and what the app says when its storage fails. */
import { describe, expect, it } from "vitest";
import { UnauthorizedError } from "../../shared/auth/authenticator.ts";
import { OverloadedError, StorageFullError } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type SendOptions } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import { failingAt, withFaults } from "../support/faults.ts";
import { snapshot } from "../support/invariants.ts";
import { CONFIG, imageOf, pushBlob, pushImage, putManifest } from "../support/manifests.ts";

const layer = sha256("layer");

describe("Locations and links", () => {
  const rows: [what: string, settings: object, headers: Record<string, string>, before: string][] = [
    ["without settings", {}, {}, ""],
    ["below a prefix", { prefix: "/x/y/" }, {}, "/x/y"],
    ["of a base URL", { baseUrl: "https://registry.example:8443" }, {}, "https://registry.example:8443"],
    ["of a base URL and a prefix", { baseUrl: "https://e", prefix: "/p/" }, {}, "https://e/p"],
    ["behind a proxy that took a path off", {}, { "X-Forwarded-Prefix": "/team/registry/" }, "/team/registry"],
    ["with a base URL, whatever a proxy says", { baseUrl: "https://e" }, { "X-Forwarded-Prefix": "/t" }, "https://e"],
    ["with a forwarded prefix that is none", {}, { "X-Forwarded-Prefix": "//evil.example/" }, ""],
    ["with one that would end the header's URL", {}, { "X-Forwarded-Prefix": "/a>; rel=x" }, ""],
    ["whatever host is forwarded", {}, { "X-Forwarded-Host": "evil.example", Host: "evil.example" }, ""],
  ];
  it.each(rows)("%s", async (_, settings, headers, before) => {
    const driver = new MemoryDriver();
    const image = await pushImage(createTestApp(driver).send, "r", "v1");
    await putManifest(createTestApp(driver).send, "r", `${image.digest}?tag=v2`, image);
    const { send } = createTestApp(driver, { settings });
    const prefix = (settings as { prefix?: string }).prefix?.slice(0, -1) ?? "";
    const location = async (method: string, path: string, options: SendOptions = {}): Promise<string | null> =>
      (await send(method, prefix + path, { ...options, headers: { ...headers, ...options.headers } })).header(
        "location",
      );
    expect(await location("POST", `/v2/r/blobs/uploads/?digest=${layer}`, { body: "layer" })).toBe(
      `${before}/v2/r/blobs/${layer}`,
    );
    expect(await location("POST", `/v2/r/blobs/uploads/?mount=${layer}&from=r`)).toBe(`${before}/v2/r/blobs/${layer}`);
    expect(await location("POST", "/v2/r/blobs/uploads/")).toMatch(
      new RegExp(`^${before.replaceAll(".", "\\.")}/v2/r/blobs/uploads/[0-9a-f-]{36}$`),
    );
    const put = { body: image.bytes, headers: { "Content-Type": image.mediaType } };
    expect(await location("PUT", "/v2/r/manifests/v1", put)).toBe(`${before}/v2/r/manifests/${image.digest}`);
    const tags = await send("GET", `${prefix}/v2/r/tags/list?n=1`, { headers });
    expect(tags.header("link")).toBe(`<${before}/v2/r/tags/list?last=v1&n=1>; rel="next"`);
    if (prefix !== "") expect((await send("GET", "/v2/")).status).toBe(404);
  });
});

describe("headers for every answer", () => {
  it("are sent with successes, failures and to browsers that ask first", async () => {
    const headers = { "Access-Control-Allow-Origin": ["*"], "X-Content-Type-Options": ["nosniff"] };
    const { send } = createTestApp(new MemoryDriver(), { settings: { headers } });
    for (const [method, path, status] of [
      ["GET", "/v2/", 200],
      ["GET", "/v2/r/tags/list", 404],
      ["PUT", "/v2/", 405],
      ["POST", "/v2/r/blobs/uploads/", 202],
      ["OPTIONS", "/v2/r/manifests/v1", 200],
    ] as const) {
      const reply = await send(method, path);
      expect(reply.status).toBe(status);
      expect(reply.header("access-control-allow-origin")).toBe("*");
      expect(reply.header("x-content-type-options")).toBe("nosniff");
      expect(reply.header("docker-distribution-api-version")).toBe("registry/2.0");
    }
  });

  it("of OPTIONS need no credentials", async () => {
    const authenticator = {
      challenge: "Basic",
      authenticate: async () => await Promise.reject(new UnauthorizedError("sign in", 'Basic realm="r"')),
    };
    const { send } = createTestApp(new MemoryDriver(), { parts: { authenticator } });
    expect((await send("OPTIONS", "/v2/")).status).toBe(200);
    for (const path of ["/v2/", "/v2/r/tags/list", "/v2/NO/tags/list", "/v2/_catalog"]) {
      const reply = await send("GET", path);
      expect([reply.status, reply.code, reply.header("www-authenticate")]).toEqual([
        401,
        "UNAUTHORIZED",
        'Basic realm="r"',
      ]);
    }
    expect((await send("GET", "/")).status).toBe(200);
  });
});

describe("what is turned off", () => {
  const writes: [method: string, path: string][] = [
    ["POST", "/v2/r/blobs/uploads/"],
    ["POST", `/v2/r/blobs/uploads/?digest=${layer}`],
    ["POST", `/v2/r/blobs/uploads/?mount=${layer}&from=r`],
    ["PATCH", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ["PUT", `/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000?digest=${layer}`],
    ["DELETE", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ["PUT", "/v2/r/manifests/v2"],
    ["DELETE", "/v2/r/manifests/v1"],
    ["DELETE", `/v2/r/blobs/${layer}`],
  ];
  it.each(writes)("read-only: %s %s is 405 and changes nothing", async (method, path) => {
    const driver = new MemoryDriver();
    await pushImage(createTestApp(driver).send, "r", "v1");
    const before = await snapshot(driver);
    const { send } = createTestApp(driver, { settings: { readOnly: true } });
    const reply = await send(method, path, { body: "layer" });
    expect([reply.status, reply.code]).toEqual([405, "UNSUPPORTED"]);
    expect(await snapshot(driver)).toEqual(before);
    expect((await send("GET", "/v2/r/manifests/v1")).status).toBe(200);
  });

  it("deleting: 405 for blobs, tags and manifests, while uploads can be cancelled", async () => {
    const driver = new MemoryDriver();
    const { send } = createTestApp(driver, { settings: { deleteEnabled: false } });
    const image = await pushImage(send, "r", "v1");
    const before = await snapshot(driver);
    for (const path of ["/v2/r/manifests/v1", `/v2/r/manifests/${image.digest}`, `/v2/r/blobs/${layer}`]) {
      const reply = await send("DELETE", path);
      expect([reply.status, reply.code]).toEqual([405, "UNSUPPORTED"]);
    }
    const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
    expect((await send("DELETE", location)).status).toBe(204);
    expect(await snapshot(driver)).toEqual(before);
  });

  it("everything, while it is out of service: 503 with the reason", async () => {
    const { send } = createTestApp(new MemoryDriver(), { parts: { unavailable: () => "the disk is away" } });
    const reply = await send("GET", "/v2/");
    expect([reply.status, reply.code]).toEqual([503, "UNAVAILABLE"]);
    expect(reply.bytes.toString()).toContain("the disk is away");
  });
});

describe("what a manifest may lack", () => {
  it("blobs and children, where sparse manifests are allowed", async () => {
    const { send } = createTestApp(new MemoryDriver(), { policy: { allowSparse: true, allowSparseIndexes: true } });
    expect((await putManifest(send, "r", "sparse", imageOf(["not here"]))).status).toBe(201);
    await pushBlob(send, "r", CONFIG);
    const lie = imageOf([], { layers: [{ mediaType: "a/b", digest: sha256(CONFIG), size: 1 }] });
    expect((await putManifest(send, "r", "lie", lie)).status).toBe(400); // what is here must still be true
  });

  it("layers that may not be distributed, and URLs that are allowed", async () => {
    const layerOf = (url: string): object => ({
      mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      digest: sha256("elsewhere"),
      size: 9,
      urls: [url],
    });
    const { send } = createTestApp(new MemoryDriver(), {
      policy: { urlAllowed: (url) => url.startsWith("https://ok/") },
    });
    await pushBlob(send, "r", CONFIG);
    expect((await putManifest(send, "r", "v1", imageOf([], { layers: [layerOf("https://ok/x")] }))).status).toBe(201);
    const refused = await putManifest(send, "r", "v2", imageOf([], { layers: [layerOf("https://no/x")] }));
    expect([refused.status, refused.code]).toEqual([400, "MANIFEST_INVALID"]);
  });
});

describe("a storage that fails", () => {
  const requests: [method: string, path: string, options?: SendOptions][] = [
    ["GET", "/v2/_catalog"],
    ["GET", "/v2/r/tags/list"],
    ["GET", "/v2/r/manifests/v1"],
    ["HEAD", "/v2/r/manifests/v1"],
    ["GET", `/v2/r/manifests/${layer}`],
    ["GET", `/v2/r/blobs/${layer}`],
    ["HEAD", `/v2/r/blobs/${layer}`],
    ["GET", `/v2/r/blobs/${layer}`, { headers: { Range: "bytes=0-1" } }],
    ["GET", `/v2/r/referrers/${layer}`],
    ["POST", "/v2/r/blobs/uploads/"],
    ["POST", `/v2/r/blobs/uploads/?digest=${layer}`, { body: "layer" }],
    ["POST", `/v2/r/blobs/uploads/?mount=${layer}&from=s`],
    ["GET", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ["PATCH", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000", { body: "x" }],
    ["PUT", `/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000?digest=${layer}`],
    ["DELETE", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ["PUT", "/v2/r/manifests/v1", { body: imageOf([]).bytes, headers: { "Content-Type": imageOf([]).mediaType } }],
    ["DELETE", "/v2/r/manifests/v1"],
    ["DELETE", `/v2/r/manifests/${layer}`],
    ["DELETE", `/v2/r/blobs/${layer}`],
  ];

  it.each(requests)("%s %s: 500 with the request's id and no detail, never 404", async (method, path, options) => {
    const { send, faults, reports } = createTestApp(withFaults(new MemoryDriver(), () => "before"));
    const reply = await send(method, path, options);
    expect(reply.status).toBe(500);
    expect(faults).toHaveLength(1);
    expect(String(faults[0]?.error)).toContain("hunter2"); // all of it is for the log
    expect(reports.at(-1)?.requestId).toBe(faults[0]?.requestId);
    if (method === "HEAD") return;
    expect(reply.code).toBe("UNKNOWN");
    expect(reply.bytes.toString()).toContain(faults[0]?.requestId);
    expect(reply.bytes.toString()).not.toMatch(/hunter2|SECRET|i\/o|\/var|Error|\.ts/);
  });

  it.each(requests)("%s %s: 507 where it is full, and a line for the log", async (method, path, options) => {
    const full = (): Error => new StorageFullError("the registry's storage is full", { cause: new Error("ENOSPC") });
    const { send, faults } = createTestApp(withFaults(new MemoryDriver(), () => "before", full));
    const reply = await send(method, path, options);
    expect(reply.status).toBe(507);
    expect(faults).toHaveLength(1);
    if (method !== "HEAD") expect(reply.bytes.toString()).toContain("storage is full");
  });

  it.each(requests)(
    "%s %s: 429 and when to come back, where there is too much to do",
    async (method, path, options) => {
      const driver = withFaults(
        new MemoryDriver(),
        () => "before",
        () => new OverloadedError("too many uploads at once", 7),
      );
      const { send, faults } = createTestApp(driver);
      const reply = await send(method, path, options);
      expect([reply.status, reply.header("retry-after")]).toEqual([429, "7"]);
      if (method !== "HEAD") expect(reply.code).toBe("TOOMANYREQUESTS");
      expect(faults).toEqual([]);
    },
  );

  it("in one call of many is never taken for an absent thing", async () => {
    const driver = new MemoryDriver();
    const image = await pushImage(createTestApp(driver).send, "r", "v1");
    for (const path of [
      "/v2/r/manifests/v1",
      `/v2/r/manifests/${image.digest}`,
      `/v2/r/blobs/${layer}`,
      "/v2/_catalog",
    ]) {
      for (let k = 1; ; k++) {
        const { driver: broken, calls } = failingAt(driver, k, "before");
        const reply = await createTestApp(broken).send("GET", path);
        const fired = calls.length >= k;
        expect(reply.status, `${path}, call ${k}`).toBe(fired ? 500 : 200);
        if (!fired) break;
      }
    }
  });
});

describe("what the host is told of each request", () => {
  it("is told once, with the status, the bytes and what was addressed", async () => {
    const { send, reports } = createTestApp(new MemoryDriver());
    await pushBlob(send, "r", Buffer.alloc(5000));
    const digest = sha256(Buffer.alloc(5000));
    await send("GET", `/v2/r/blobs/${digest}`);
    await send("GET", "/nowhere?x=1");
    expect(reports.map(({ method, uri, kind, status, bytes }) => [method, uri, kind, status, bytes])).toEqual([
      ["POST", `/v2/r/blobs/uploads/?digest=${digest}`, "uploads", 201, 0],
      ["GET", `/v2/r/blobs/${digest}`, "blob", 200, 5000],
      ["GET", "/nowhere?x=1", "unknown", 404, reports[2]?.bytes],
    ]);
    expect(new Set(reports.map(({ requestId }) => requestId)).size).toBe(3);
  });
});
