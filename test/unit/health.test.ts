import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  startHealth,
  type Health,
  type HealthDependencies,
  type HealthSettings,
} from "../../shared/telemetry/health.ts";

const pause = async (milliseconds: number): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
};

describe("startHealth", () => {
  let health: Health | undefined;
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "health-test-"));
  });
  afterEach(async () => {
    health?.close();
    await rm(folder, { recursive: true, force: true });
  });

  function start(settings: Partial<HealthSettings>, dependencies: Partial<HealthDependencies> = {}): Health {
    health = startHealth(
      { storage: { enabled: false, intervalMs: 10, threshold: 1 }, file: [], http: [], tcp: [], ...settings },
      { probeStorage: async () => undefined, ...dependencies },
    );
    return health;
  }

  it("is healthy where nothing is checked", async () => {
    let probed = 0;
    const { status } = start(
      {},
      {
        probeStorage: async () => {
          probed++;
        },
      },
    );
    await pause(30);
    expect(status()).toEqual({});
    expect(probed).toBe(0);
  });

  it("fails after the threshold, passes with the first success, and tells of both", async () => {
    const seenByProbe: Record<string, string>[] = [];
    let broken = true;
    const changes: [string, string | undefined][] = [];
    const { status } = start(
      { storage: { enabled: true, intervalMs: 10, threshold: 3 } },
      {
        storageName: "storagedriver_filesystem",
        probeStorage: async () => {
          seenByProbe.push(health?.status() ?? {});
          if (broken) throw new Error("no disk", { cause: new Error("ENOSPC") });
        },
        onChange: (...change) => changes.push(change),
      },
    );
    await expect.poll(status).toEqual({ storagedriver_filesystem: "no disk: ENOSPC" });
    expect(seenByProbe.slice(0, 3)).toEqual([{}, {}, {}]);
    broken = false;
    await expect.poll(status).toEqual({});
    expect(changes).toEqual([
      ["storagedriver_filesystem", "no disk: ENOSPC"],
      ["storagedriver_filesystem", undefined],
    ]);
  });

  it("stops checking when closed", async () => {
    let probes = 0;
    const { close } = start(
      { storage: { enabled: true, intervalMs: 10, threshold: 1 } },
      {
        probeStorage: async () => {
          probes++;
        },
      },
    );
    await expect.poll(() => probes).toBeGreaterThan(1);
    close();
    const before = probes;
    await pause(50);
    expect(probes).toBe(before);
  });

  it("fails while a file exists", async () => {
    const path = join(folder, "down");
    const { status } = start({ file: [{ path, intervalMs: 10 }] });
    await pause(30);
    expect(status()).toEqual({});
    await writeFile(path, "");
    await expect.poll(status).toEqual({ [path]: "file exists" });
    await rm(path);
    await expect.poll(status).toEqual({});
  });

  it("compares the status an address answers with", async () => {
    const seen: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      seen.push(request);
      if (request.url !== "/hang") response.writeHead(request.url === "/up" ? 204 : 500).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const common = {
      headers: { "X-Check": ["a", "b"] },
      statusCode: 204,
      timeoutMs: 60_000,
      intervalMs: 10,
      threshold: 1,
    };
    const { status, close } = start({
      http: [
        { uri: `http://user:p%40ss@${host}/up`, ...common },
        { uri: `http://${host}/down`, method: "GET", ...common },
        { uri: `http://${host}/hang`, ...common, timeoutMs: 200 },
        { uri: "http://127.0.0.1:1/", ...common },
      ],
    });
    await expect.poll(status).toEqual({
      [`http://${host}/down`]: "answered with status 500, not 204",
      [`http://${host}/hang`]: "no answer within 200 ms",
      "http://127.0.0.1:1/": expect.stringMatching(/fetch failed/) as string,
    });
    await expect.poll(() => seen.map((request) => request.url)).toContain("/up");
    const up = seen.find((request) => request.url === "/up");
    expect(up?.method).toBe("HEAD");
    expect(up?.headers["x-check"]).toBe("a, b");
    expect(up?.headers.authorization).toBe(`Basic ${Buffer.from("user:p@ss").toString("base64")}`);
    expect(seen.find((request) => request.url === "/down")?.method).toBe("GET");
    close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("dials an address", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const addr = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { status } = start({ tcp: [{ addr, timeoutMs: 60_000, intervalMs: 10, threshold: 1 }] });
    await pause(50);
    expect(status()).toEqual({});
    await new Promise((resolve) => server.close(resolve));
    await expect.poll(status).toEqual({ [addr]: expect.stringContaining("ECONNREFUSED") as string });
  });

  it("refuses addresses that are none, and the same check twice", () => {
    const common = { timeoutMs: 1, intervalMs: 10, threshold: 1 };
    expect(() => start({ http: [{ uri: "nowhere", headers: {}, statusCode: 200, ...common }] })).toThrow(TypeError);
    for (const addr of ["localhost", "localhost:0", "localhost:99999", "::1:80", ""]) {
      expect(() => start({ tcp: [{ addr, ...common }] })).toThrow(TypeError);
    }
    const file = { path: "/nowhere", intervalMs: 10 };
    expect(() => start({ file: [file, file] })).toThrow(TypeError);
  });
});
