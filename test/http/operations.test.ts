/** What an operator sees and does: signals, health, metrics, logs, read-only times, purging, and starts that fail. */
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { Agent, request, type ClientRequest, type IncomingMessage } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Api, sha256 } from "../support/api.ts";
import { pattern } from "../support/bodies.ts";
import { runChild, startChild, type Child } from "../support/child.ts";
import { until } from "../support/process.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";

/** More than the buffers of a connection hold, so that a download whose client does not read stays in flight. */
const large = pattern(32 * 1024 * 1024);
const digest = sha256(large);
const blob = `/v2/r/blobs/${digest}`;

let folder: string;
/** Storage with the large blob in it. */
let root: string;
const open: { close(): Promise<unknown> }[] = [];
const requests: ClientRequest[] = [];

beforeAll(async () => {
  folder = await fastTemporaryFolder();
  root = path.join(folder, "data");
  const server = await startTestServer({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root });
  await new Api({ url: server.url }).pushBlob("r", large);
  await server.close();
});
afterEach(async () => {
  for (const each of requests.splice(0)) each.destroy();
  for (const each of open.splice(0)) await each.close();
});
afterAll(async () => {
  await removeFolder(folder);
});

async function child(env: Readonly<Record<string, string>> = {}): Promise<Child> {
  const server = await startChild(env);
  open.push({ close: async () => (server.daemon.running() ? await server.daemon.stop("SIGKILL") : undefined) });
  return server;
}

async function inProcess(env: Record<string, string> = {}): Promise<TestServer> {
  const server = await startTestServer({
    ...("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY" in env ? {} : { REGISTRY_STORAGE: "inmemory" }),
    ...env,
  });
  open.push(server);
  return server;
}

/** A request that is begun: what is sent beyond its head, and when, is up to the test. */
function begin(url: string, method: string, headers = {}, agent: Agent | false = false): ClientRequest {
  const outgoing = request(url, { method, headers, agent });
  outgoing.on("error", () => undefined);
  requests.push(outgoing);
  return outgoing;
}

const responseTo = async (outgoing: ClientRequest): Promise<IncomingMessage> =>
  ((await once(outgoing, "response")) as [IncomingMessage])[0];

/** However it ends. */
async function closed(stream: IncomingMessage | ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => stream.once("close", () => resolve()));
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const exitOf = async (server: Child): Promise<number | null> => {
  await until("it ends", () => !server.daemon.running());
  return await server.stop();
};
const isLogged = async (server: { lines: readonly string[] }, text: string): Promise<void> =>
  await until(`logged: ${text}`, () => server.lines.some((line) => line.includes(text)));

describe("a signal", () => {
  /** A download and an upload, both in flight. */
  async function inFlight(
    server: Child,
    agent: Agent | false = false,
  ): Promise<{ download: IncomingMessage; upload: ClientRequest }> {
    const location = await server.api.startUpload("r");
    const download = begin(server.url + blob, "GET", {}, agent);
    download.end();
    const incoming = await responseTo(download);
    incoming.on("error", () => undefined);
    const upload = begin(server.url + location, "PATCH", { "Content-Length": 10 }, agent);
    upload.write("first");
    await until("both are in flight", async () => (await server.metric("registry_http_in_flight_requests")) === 2);
    return { download: incoming, upload };
  }

  it("lets what is in flight end, refuses what is new, and ends with 0 and all of its log", async () => {
    const server = await child({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root, REGISTRY_HTTP_DRAINTIMEOUT: "30s" });
    const agent = new Agent({ keepAlive: true });
    try {
      // A connection that is idle must not hold it up, nor those that become idle.
      const idle = begin(`${server.url}/v2/`, "GET", {}, agent);
      idle.end();
      await bodyOf(await responseTo(idle));
      const { download, upload } = await inFlight(server, agent);
      server.signal("SIGTERM");
      await isLogged(server.daemon, "stopping");
      await until("new connections are refused", async () => {
        const outcome = await server.api.call("GET", "/v2/").catch((error: unknown) => error);
        return (outcome as NodeJS.ErrnoException).code === "ECONNREFUSED";
      });

      const answered = responseTo(upload);
      upload.end("other");
      const reply = await answered;
      reply.resume();
      expect([reply.statusCode, reply.headers["range"]]).toEqual([202, "0-9"]);
      expect(server.daemon.running()).toBe(true);
      expect(sha256(await bodyOf(download))).toBe(digest);
      expect(await exitOf(server)).toBe(0);
    } finally {
      agent.destroy();
    }
    const log = server.accessLines();
    expect(log.filter((line) => line.includes("PATCH") && line.includes("http.response.status=202"))).toHaveLength(1);
    expect(log.filter((line) => line.includes(blob) && line.includes(`written=${large.length}`))).toHaveLength(1);
  });

  it("a second one ends it at once", async () => {
    const server = await child({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root, REGISTRY_HTTP_DRAINTIMEOUT: "10m" });
    await inFlight(server);
    server.signal("SIGTERM");
    await isLogged(server.daemon, "stopping");
    expect(server.daemon.running()).toBe(true);
    server.signal("SIGINT");
    expect(await exitOf(server)).toBe(1);
  });

  it.each(["300ms", "0"])(
    "a drain time of %s cuts what does not end, and each has its line in the log",
    async (time) => {
      const server = await child({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root, REGISTRY_HTTP_DRAINTIMEOUT: time });
      const { download, upload } = await inFlight(server);
      const cut = Promise.all([closed(download), closed(upload)]);
      server.signal("SIGTERM");
      expect(await exitOf(server)).toBe(0);
      download.resume();
      await cut;
      expect(download.complete).toBe(false);
      expect(server.accessLines().filter((line) => line.includes(blob))).toHaveLength(1);
      expect(server.accessLines().filter((line) => line.includes("method=PATCH"))).toHaveLength(1);
    },
  );
});

describe("the debug server", () => {
  it("tells of a check that fails, for as long as it fails, and the API is out of service", async () => {
    const file = path.join(folder, "out-of-rotation");
    const server = await child({ REGISTRY_HEALTH_FILE: JSON.stringify([{ file, interval: "10ms" }]) });
    const health = async (): Promise<unknown[]> => {
      const reply = await fetch(`${server.debugUrl}/debug/health`);
      return [reply.status, await reply.json()];
    };
    expect(await health()).toEqual([200, {}]);
    expect((await server.api.call("GET", "/v2/")).status).toBe(200);

    await writeFile(file, "");
    await until("it is unhealthy", async () => (await health())[0] === 503);
    expect(await health()).toEqual([503, { [file]: "file exists" }]);
    for (const [method, target] of [
      ["GET", "/v2/"],
      ["GET", "/v2/r/tags/list"],
      ["POST", "/v2/r/blobs/uploads/"],
    ] as const) {
      const reply = await server.api.call(method, target);
      expect(reply.status).toBe(503);
      expect(reply.body.toString()).toMatch(/"code":"UNAVAILABLE".*out of service/);
    }
    await isLogged(server.daemon, "health check fails");

    await rm(file);
    await until("it is healthy", async () => (await health())[0] === 200);
    expect((await server.api.call("GET", "/v2/")).status).toBe(200);
    await isLogged(server.daemon, "health check passes again");
    expect((await fetch(`${server.debugUrl}/v2/`)).status).toBe(404);
    expect((await server.api.call("GET", "/debug/health")).status).toBe(404);
    expect((await server.api.call("GET", "/metrics")).status).toBe(404);
  });

  it("counts requests by what they address, and none of them stays in flight", async () => {
    const server = await child({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root });
    await server.api.call("GET", "/v2/");
    for (let i = 0; i < 3; i++) await server.api.call("GET", `/v2/r${i}/tags/list`);
    await server.api.startUpload("r");
    await server.api.call("PUT", "/v2/");
    await server.api.call("GET", blob, { onChunk: () => undefined });
    const aborted = begin(server.url + blob, "GET");
    aborted.end();
    await responseTo(aborted);
    aborted.destroy();

    const count = async (handler: string, method: string, code: number): Promise<number> =>
      await server.metric("registry_http_requests_total", { handler, method, code: String(code) });
    await until("the aborted one has ended", async () => (await count("blob", "GET", 200)) === 2);
    expect(await count("base", "GET", 200)).toBe(1);
    expect(await count("tags", "GET", 404)).toBe(3);
    expect(await count("uploads", "POST", 202)).toBe(1);
    expect(await server.metric("registry_http_requests_total", { handler: "base", code: "405" })).toBe(1);
    expect(await server.metric("registry_http_request_duration_seconds_count", { handler: "tags" })).toBe(3);
    expect(await server.metric("registry_http_in_flight_requests")).toBe(0);
    expect(await server.metric("registry_storage_action_seconds_count")).toBeGreaterThan(0);
    const text = await (await fetch(`${server.debugUrl}/metrics`)).text();
    expect(text).not.toContain("r1"); // no names of repositories: anybody could make up any number of them
  });

  it("counts the bytes that clients upload", async () => {
    const server = await child({ REGISTRY_STORAGE: "inmemory" });
    await server.api.pushBlob("r", pattern(12_345));
    await until("it is counted", async () => (await server.metric("registry_http_upload_bytes_total")) === 12_345);
  });
});

describe("the access log", () => {
  it.each(["text", "json"])("has one line for each request, as %s", async (formatter) => {
    const server = await inProcess({
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
      REGISTRY_LOG_FORMATTER: formatter,
      REGISTRY_LOG_FIELDS: "{service: test}",
    });
    const api = new Api({ url: server.url });
    await api.call("GET", `${blob}?streamed`, { onChunk: () => undefined });
    await api.call("GET", `${blob}?part`, { headers: { Range: "bytes=0-9" } });
    await api.call("GET", `${blob}?parts`, { headers: { Range: "bytes=0-9,20-29" } });
    await api.call("HEAD", `${blob}?head`);
    await api.call("GET", "/v2/none/tags/list?unknown", { headers: { "User-Agent": 'a "b"\tc' } });
    await api.call("GET", "/elsewhere?no-path");

    const aborted = begin(`${server.url}${blob}?aborted`, "GET");
    aborted.end();
    await responseTo(aborted);
    aborted.destroy();
    const broken = begin(`${server.url}${await api.startUpload("r")}?broken`, "PATCH", { "Content-Length": 10 });
    await new Promise<void>((resolve) => broken.write("first", () => resolve()));
    await until(
      "it has arrived",
      async () => (await readdir(`${root}/docker/registry/v2/repositories/r/_uploads`)).length > 0,
    );
    broken.destroy();

    const marks = ["streamed", "part", "parts", "head", "unknown", "no-path", "aborted"];
    const linesOf = (mark: string): string[] =>
      server.lines.filter((line) => new RegExp(`\\?${mark}["\\s]`).test(line));
    for (const mark of marks) await until(`${mark} is logged`, () => linesOf(mark).length > 0);
    await api.call("GET", "/v2/?last");
    for (const mark of marks) expect(linesOf(mark), mark).toHaveLength(1);
    expect(linesOf("broken").length).toBeLessThan(2);
    for (const line of server.lines) expect(line.trimEnd()).not.toMatch(/[\n\t]/);

    const [streamed = "", part = "", cut = ""] = ["streamed", "part", "aborted"].map((mark) => linesOf(mark)[0]);
    if (formatter === "text") {
      expect(streamed).toMatch(/^time="[^"]+" level=info msg="response completed" .*service=test/);
      expect(streamed).toContain(`http.response.status=200 http.response.written=${large.length} `);
      expect(part).toContain("http.response.status=206 http.response.written=10 ");
    } else {
      const read = (line: string): Record<string, unknown> => JSON.parse(line) as Record<string, unknown>;
      expect(read(streamed)).toMatchObject({
        level: "info",
        msg: "response completed",
        service: "test",
        "http.request.method": "GET",
        "http.request.uri": `${blob}?streamed`,
        "http.request.proto": "HTTP/1.1",
        "http.response.status": 200,
        "http.response.written": large.length,
      });
      expect(read(part)).toMatchObject({ "http.response.status": 206, "http.response.written": 10 });
      expect(read(linesOf("unknown")[0] ?? "")["http.request.useragent"]).toBe('a "b"\tc');
      expect(read(cut)["http.response.written"]).toBeLessThan(large.length);
    }
  });

  it("can be turned off, and a level leaves out what is below it", async () => {
    const linesWith = async (env: Record<string, string>): Promise<string[]> => {
      const file = path.join(folder, "always");
      await writeFile(file, "");
      const server = await inProcess({
        ...env,
        REGISTRY_HEALTH_FILE: JSON.stringify([{ file, interval: "10ms" }]),
      });
      await until("the check fails", async () => (await fetch(`${server.url}/v2/`)).status === 503);
      return server.lines;
    };
    const all = await linesWith({});
    expect(all.some((line) => line.includes("response completed"))).toBe(true);
    expect(all.some((line) => line.includes("health check fails"))).toBe(true);
    for (const env of [
      { REGISTRY_LOG_ACCESSLOG_DISABLED: "true" },
      { REGISTRY_LOG_LEVEL: "warn" },
      { REGISTRY_LOG_LEVEL: "error" },
    ]) {
      const lines = await linesWith(env);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/level=error msg="health check fails"/);
    }
  });
});

describe("a registry that is read-only", () => {
  it("answers pulls, and refuses what would change it", async () => {
    const before = await readdir(root, { recursive: true });
    const server = await inProcess({
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
      REGISTRY_STORAGE_MAINTENANCE_READONLY: "{enabled: true}",
    });
    const api = new Api({ url: server.url });
    expect((await api.call("HEAD", blob)).status).toBe(200);
    for (const [method, target] of [
      ["POST", "/v2/r/blobs/uploads/"],
      ["POST", `/v2/s/blobs/uploads/?mount=${digest}&from=r`],
      ["POST", `/v2/r/blobs/uploads/?digest=${sha256("x")}`],
      ["PATCH", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
      ["PUT", "/v2/r/manifests/v1"],
      ["DELETE", "/v2/r/manifests/v1"],
      ["DELETE", blob],
    ] as const) {
      const reply = await api.call(method, target, { body: method === "DELETE" ? "" : "x" });
      expect([method, target, reply.status]).toEqual([method, target, 405]);
      expect(reply.body.toString()).toMatch(/"code":"UNSUPPORTED".*read-only/);
    }
    expect(await readdir(root, { recursive: true })).toEqual(before);
  });
});

describe("purging", () => {
  it("removes an old upload and leaves a young one; a dry run removes nothing", async () => {
    const data = await mkdtemp(path.join(folder, "purge-"));
    const env = (more: object): Record<string, string> => ({
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: data,
      REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING: JSON.stringify({ age: "2h", interval: "20ms", ...more }),
    });
    const first = await inProcess(env({ enabled: false }));
    const locations: string[] = [];
    for (let i = 0; i < 2; i++) {
      const api = new Api({ url: first.url });
      const { headers } = await api.expect(202, "PATCH", await api.startUpload("a/b"), { body: "begun" });
      locations.push(headers.location ?? "");
    }
    await first.close();
    const uploads = `${data}/docker/registry/v2/repositories/a/b/_uploads`;
    const [old = "", young = ""] = locations.map((location) => location.split("/").at(-1) ?? "");
    for (const [id, minutes] of [
      [old, 121],
      [young, 119],
    ] as const) {
      const time = new Date(Date.now() - minutes * 60_000);
      for (const name of await readdir(path.join(uploads, id))) await utimes(path.join(uploads, id, name), time, time);
    }

    const dry = await inProcess(env({ dryrun: true }));
    await isLogged(dry, "purged abandoned uploads");
    expect(dry.lines.find((line) => line.includes("purged"))).toMatch(/sessions=1 bytes=\d+ dryRun=true/);
    await dry.close();
    expect((await readdir(uploads)).sort()).toEqual([old, young].sort());

    const real = await inProcess(env({}));
    await isLogged(real, "purged abandoned uploads");
    expect(await readdir(uploads)).toEqual([young]);
    const api = new Api({ url: real.url });
    expect((await api.call("GET", `/v2/a/b/blobs/uploads/${old}`)).status).toBe(404);
    await api.expect(201, "PUT", `/v2/a/b/blobs/uploads/${young}?digest=${sha256("begun")}`);
  });
});

describe("a start that fails", () => {
  it("ends with 1 and names all that is wrong with the configuration, each with its key", async () => {
    const file = path.join(folder, "wrong.yml");
    await writeFile(
      file,
      JSON.stringify({
        version: 0.1,
        log: { level: "loud" },
        storage: { filesystem: { rootdirectory: root }, delete: { enabled: "perhaps" } },
        catalog: { maxentrys: 5 },
        health: { file: [{ file: "/x", interval: "soon" }] },
      }),
    );
    const env = { REGISTRY_HTTP_ADDR: "nonsense", REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root };
    const { code, stderr } = await runChild(env, file);
    expect(code).toBe(1);
    const lines = stderr.trimEnd().split("\n").sort();
    expect(lines).toEqual([
      expect.stringMatching(/^lading: catalog\.maxentrys: is not a key .*did you mean catalog\.maxentries\?/),
      expect.stringMatching(/^lading: health\.file\.0\.interval: expected .*, got "soon"/),
      expect.stringMatching(/^lading: http\.addr \(REGISTRY_HTTP_ADDR\): expected host:port.*, got "nonsense"/),
      expect.stringMatching(/^lading: log\.level: expected .*, got "loud"/),
      expect.stringMatching(/^lading: storage\.delete\.enabled: expected .*, got "perhaps"/),
    ]);
  });

  it("ends with 1 where the file is missing, and with 2 and the usage where the command is not understood", async () => {
    const { code, stderr } = await runChild({}, path.join(folder, "none.yml"));
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^lading: the configuration .*none\.yml cannot be read: /),
    ]);
    const two = await runChild({}, "a", "b");
    expect([two.code, two.stderr]).toEqual([2, expect.stringContaining("usage: lading")]);
  });

  it("ends with 1 and says what to do where its port is in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const where = address.replace(":", " port ");
    try {
      for (const [variable, key] of [
        ["REGISTRY_HTTP_ADDR", "http.addr"],
        ["REGISTRY_HTTP_DEBUG_ADDR", "http.debug.addr"],
      ] as const) {
        const { code, stderr } = await runChild({ [variable]: address });
        expect(code).toBe(1);
        expect(stderr).toContain(
          `lading: ${key}: ${where} is in use already; end what listens there, or choose another address with ${key} or ${variable}\n`,
        );
        expect(stderr).not.toContain("    at ");
      }
    } finally {
      other.close();
    }
  });

  it("ends with 1 and says so where the machine does not have the address", async () => {
    const { code, stderr } = await runChild({ REGISTRY_HTTP_ADDR: "192.0.2.123:0" });
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^lading: http\.addr: .*no such address: 192\.0\.2\.123/m),
    ]);
  });
});

describe("where it listens", () => {
  it("a socket of Unix, which a killed process leaves and the next one takes over, but never from a living one", async () => {
    const socket = path.join(folder, "lading.sock");
    const env = { REGISTRY_HTTP_NET: "unix", REGISTRY_HTTP_ADDR: socket };
    const status = async (): Promise<number | undefined> => {
      const outgoing = request({ socketPath: socket, path: "/v2/", headers: { Host: "x" }, agent: false }).end();
      const incoming = await responseTo(outgoing);
      incoming.resume();
      return incoming.statusCode;
    };
    const first = await child(env);
    expect(await status()).toBe(200);
    const { code, stderr } = await runChild(env);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`http.addr: ${socket} is in use already`)]);
    expect(await status()).toBe(200);
    await first.daemon.stop("SIGKILL");
    expect((await stat(socket)).isSocket()).toBe(true);
    const second = await child(env);
    expect(await status()).toBe(200);
    expect(await second.stop()).toBe(0);
    await expect(stat(socket)).rejects.toThrow("ENOENT");
    // What is no socket is not taken away.
    await writeFile(socket, "mine");
    expect((await runChild(env)).code).toBe(1);
    expect((await stat(socket)).isFile()).toBe(true);
  });

  it("below http.prefix and nowhere else", async () => {
    const { port, url } = await inProcess({ REGISTRY_HTTP_PREFIX: "/some/where" });
    expect(url).toBe(`http://127.0.0.1:${port}/some/where`);
    const api = new Api({ url: `http://127.0.0.1:${port}` });
    const location = (await api.expect(202, "POST", "/some/where/v2/r/blobs/uploads/")).headers.location ?? "";
    expect(location).toMatch(/^\/some\/where\/v2\/r\/blobs\/uploads\//);
    const { headers } = await api.expect(201, "PUT", `${location}?digest=${sha256("x")}`, { body: "x" });
    expect(headers.location).toBe(`/some/where/v2/r/blobs/${sha256("x")}`);
    await api.expect(200, "GET", headers.location ?? "");
    await api.expect(404, "GET", "/v2/");
    await api.expect(404, "GET", `/v2/r/blobs/${sha256("x")}`);
  });

  it("soon", async () => {
    const started = performance.now();
    const server = await child();
    const announced = performance.now() - started;
    expect((await server.api.call("GET", "/v2/")).status).toBe(200);
    // For whoever reads the output; a machine under load would fail any limit.
    console.log(
      `from the start of the process: ${announced.toFixed()} ms to "serving", ${(performance.now() - started).toFixed()} ms to the first answer`,
    );
  });
});
