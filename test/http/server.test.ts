/** The real server over real sockets: what only the wire can show. */
import { readdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { pattern, sha256 } from "../support/bodies.ts";
import { snapshot } from "../support/invariants.ts";
import { CONFIG, imageOf } from "../support/manifests.ts";
import { until } from "../support/process.ts";
import { RawConnection, startTestServer, type TestServer } from "../support/server.ts";
import { filesystemDriver } from "../support/stores.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";

const layer = pattern(5_000_000);
const digest = sha256(layer);

let folder: string;
let server: TestServer;
let before: Map<string, string>;
beforeAll(async () => {
  folder = await fastTemporaryFolder();
  server = await startTestServer({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder });
  for (const bytes of [layer, CONFIG]) {
    const reply = await fetch(`${server.url}/v2/r/blobs/uploads/?digest=${sha256(bytes)}`, {
      method: "POST",
      body: new Uint8Array(bytes),
    });
    expect(reply.status).toBe(201);
  }
  before = await snapshot(filesystemDriver(folder));
});
afterAll(async () => {
  await server.close();
  await removeFolder(folder);
});

const open: RawConnection[] = [];
const connection = async (): Promise<RawConnection> => {
  const raw = await RawConnection.open(server.port);
  open.push(raw);
  return raw;
};
afterEach(() => {
  for (const raw of open.splice(0)) raw.destroy();
});

/** The storage without what abandoned sessions leave until they are purged. */
const unchanged = async (): Promise<void> => {
  const now = [...(await snapshot(filesystemDriver(folder)))].filter(([key]) => !key.includes("/_uploads/"));
  expect(new Map(now)).toEqual(before);
};
const answers = async (): Promise<void> => {
  expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
};
const startUpload = async (): Promise<string> =>
  (await fetch(`${server.url}/v2/r/blobs/uploads/`, { method: "POST" })).headers.get("location") ?? "";
const sizeOf = async (location: string): Promise<string | null> =>
  (await fetch(server.url + location)).headers.get("range");

describe("answers", () => {
  it("have a length, and HEAD has the same one and no body", async () => {
    for (const path of ["/v2/", `/v2/r/blobs/${digest}`, "/v2/none/tags/list", "/v2/_catalog", "/nowhere"]) {
      const raw = await connection();
      raw.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const get = await raw.answer();
      raw.write(`HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const length = (head = ""): string | undefined => /^content-length: (\d+)$/im.exec(head)?.[1];
      expect(length(get?.head), path).toBe(String(get?.body.length));
      expect(get?.head).not.toMatch(/^transfer-encoding:/im);
      const head = await fetch(server.url + path, { method: "HEAD" });
      expect([head.status, head.headers.get("content-length")]).toEqual([get?.status, length(get?.head)]);
    }
  });

  it("name each tag of a push in a line of its own", async () => {
    const image = imageOf([]);
    const raw = await connection();
    raw.write(
      `PUT /v2/tags/manifests/${image.digest}?tag=a&tag=b HTTP/1.1\r\nHost: x\r\n` +
        `Content-Type: ${image.mediaType}\r\nContent-Length: ${image.bytes.length}\r\n\r\n`,
    );
    await fetch(`${server.url}/v2/tags/blobs/uploads/?mount=${sha256(CONFIG)}&from=r`, { method: "POST" });
    raw.write(image.bytes);
    const reply = await raw.answer();
    expect(reply?.status, reply?.body).toBe(201);
    expect(reply?.head.match(/^oci-tag: .*$/gim)).toEqual(["OCI-Tag: a", "OCI-Tag: b"]);
    await fetch(`${server.url}/v2/tags/manifests/${image.digest}`, { method: "DELETE" });
    before = await snapshot(filesystemDriver(folder));
  });
});

describe("what is not well-formed", () => {
  it.each<[what: string, request: string, status: number]>([
    ["not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 400],
    ["headers of 20 KB", `GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`, 431],
    ["a path of 20 KB", `GET /v2/${"y".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    ["a length that is none", "POST /v2/r/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400],
    [
      "two lengths",
      "POST /v2/r/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      400,
    ],
    [
      "a length and chunks",
      "POST /v2/r/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["a NUL in a header", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 400],
    ["no host", "GET /v2/ HTTP/1.1\r\n\r\n", 400],
  ])("%s is refused and does no harm", async (_, request, status) => {
    const raw = await connection();
    raw.write(request);
    expect((await raw.answer())?.status).toBe(status);
    await answers();
    await unchanged();
  });

  it("an absolute URL and odd paths are answered like any others", async () => {
    for (const [target, status] of [
      ["http://elsewhere.example/v2/", 404],
      ["/v2/../../etc/passwd", 404],
      ["/v2/a/../b/tags/list", 400],
      ["*", 404],
    ] as const) {
      const raw = await connection();
      raw.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const reply = await raw.answer();
      expect([400, 404, status], target).toContain(reply?.status);
    }
    await unchanged();
  });
});

describe("bodies that are not what was announced", () => {
  it("shorter, with the connection closed: the session is as it was", async () => {
    const location = await startUpload();
    const raw = await connection();
    raw.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n${"x".repeat(500)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    raw.destroy();
    await until("it is logged", () => server.lines.some((line) => line.includes(location) && line.includes("PATCH")));
    expect(await sizeOf(location)).toBe("0-0");
    await unchanged();
  });

  it("longer: the rest is no part of it", async () => {
    const location = await startUpload();
    const raw = await connection();
    raw.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nexactMORE`);
    // The rest is a malformed request, which may be answered first.
    expect([202, 400]).toContain((await raw.answer())?.status);
    expect(["0-0", "0-4"]).toContain(await sizeOf(location));
    await answers();
  });

  it("in chunks that break off in the middle: the session is as it was", async () => {
    const location = await startUpload();
    const raw = await connection();
    raw.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    raw.write("not a length\r\n");
    await raw.answer();
    expect(await sizeOf(location)).toBe("0-0");
    await answers();
  });
});

describe("a connection", () => {
  it("is usable or closed after an answer that came before the body was read", async () => {
    let raw = await connection();
    const size = 6 * 1024 * 1024;
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    for (const [request, status] of [
      [`PATCH /v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000`, 404],
      [`PUT /v2/r/manifests/too-large`, 413],
      [`PUT /v2/NO/manifests/x`, 400],
    ] as const) {
      raw.write(`${request} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
      raw.write(chunk.repeat(size / 0x10000));
      raw.write("0\r\n\r\n");
      expect((await raw.answer())?.status, request).toBe(status);
      raw.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
      // Where too much is still to come the server may close instead, but never leave the client waiting.
      const next = await raw.answer();
      expect([200, undefined], `after ${request}`).toContain(next?.status);
      if (next === undefined) raw = await connection();
    }
    await unchanged();
  });

  it("with a body that stalls does not keep others waiting", async () => {
    const stalled = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const location = await startUpload();
        const raw = await connection();
        raw.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nslow`);
        return raw;
      }),
    );
    expect(stalled).toHaveLength(10);
    const location = await startUpload();
    expect((await fetch(server.url + location, { method: "PATCH", body: "quick" })).status).toBe(202);
    expect((await (await fetch(`${server.url}/v2/r/blobs/${digest}`)).arrayBuffer()).byteLength).toBe(layer.length);
  });

  it("that is idle does no harm, even in thousands", async () => {
    const idle = await Promise.all(Array.from({ length: 1000 }, async () => await connection()));
    for (const raw of idle.slice(0, 500)) raw.write("GET /v2/ HTTP/1.1\r\nHost: x\r\n");
    await answers();
    expect((await (await fetch(`${server.url}/v2/r/blobs/${digest}`)).arrayBuffer()).byteLength).toBe(layer.length);
  });

  it.runIf(process.platform === "linux")("closed in the middle of a download leaves no file open", async () => {
    // Counted by what they point to: sockets and pools come and go.
    const openFiles = async (): Promise<number> => {
      const { readlink } = await import("node:fs/promises");
      const links = readdirSync("/proc/self/fd").map(
        async (fd) => await readlink(`/proc/self/fd/${fd}`).catch(() => ""),
      );
      return (await Promise.all(links)).filter((target) => target.startsWith(folder)).length;
    };
    for (let i = 0; i < 30; i++) {
      const raw = await connection();
      const range = i % 2 ? "" : "Range: bytes=0-1999999,2000000-2999999\r\n";
      raw.write(`GET /v2/r/blobs/${digest} HTTP/1.1\r\nHost: x\r\n${range}\r\n`);
      if (i % 3) await new Promise((resolve) => setTimeout(resolve, 3));
      raw.destroy();
    }
    await until("all are closed", async () => (await openFiles()) === 0);
    await answers();
  });
});

describe("the log", () => {
  it("has a line for each request", async () => {
    await fetch(`${server.url}/v2/log-me/tags/list`);
    await until("it is logged", () =>
      server.lines.some((line) => line.includes("/v2/log-me/tags/list") && line.includes("404")),
    );
  });
});
