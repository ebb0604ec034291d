import { execFile, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatDuration, logAccess } from "../../shared/telemetry/access-log.ts";
import { openLogDestination } from "../../shared/telemetry/log-destination.ts";
import { createLogger, type LogFields, type LogFormatter, type LogLevel } from "../../shared/telemetry/logger.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 6);

function setup(formatter: LogFormatter, level: LogLevel = "debug", fields: LogFields = {}) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { lines, logger: createLogger({ level, formatter, fields, destination, now: () => NOW }) };
}

function parse(line: string | undefined): Record<string, unknown> {
  return JSON.parse(line ?? "") as Record<string, unknown>;
}

describe("text entries", () => {
  it.each<[string, LogFields | undefined, string]>([
    ["listening", undefined, "msg=listening"],
    ["hello world", { a: 1, b: true, c: 10n }, 'msg="hello world" a=1 b=true c=10'],
    ["x", { path: "/v2/a/b@c", tag: "a:b", empty: "" }, 'msg=x path=/v2/a/b@c tag="a:b" empty=""'],
    ["x", { none: undefined, nothing: null }, "msg=x"],
    ["x", { list: ["a b"], when: new Date(NOW) }, 'msg=x list="[\\"a b\\"]" when="2026-01-02T03:04:05.006Z"'],
    ["a\nlevel=error", { "k y": 'q"\\\r\u001b[31m' }, 'msg="a\\nlevel=error" k_y="q\\"\\\\\\r\\u001b[31m"'],
    ["\u2028\u009b\u202e\u007f", undefined, 'msg="\\u2028\\u009b\\u202e\\u007f"'],
    ["x", { msg: "m", level: "l" }, "msg=x fields.msg=m fields.level=l"],
  ])("writes %j with %o", (message, fields, expected) => {
    const { lines, logger } = setup("text");
    logger.info(message, fields);
    expect(lines).toEqual([`time="2026-01-02T03:04:05.006Z" level=info ${expected}\n`]);
  });

  it("names the levels as logrus does", () => {
    const { lines, logger } = setup("text");
    for (const level of ["error", "warn", "info", "debug"] as const) logger[level]("x");
    expect(lines.map((line) => / level=(\w+)/.exec(line)?.[1])).toEqual(["error", "warning", "info", "debug"]);
  });
});

describe("JSON entries", () => {
  it("says the same in one object", () => {
    const { lines, logger } = setup("json", "debug", { service: "registry" });
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    logger.warn("a\nb", { n: 1.5, nan: NaN, big: 2n ** 70n, o: { a: ["\u2028"] }, circle, f: setup, service: "mine" });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\n\u2028]*\n$/);
    expect(parse(lines[0])).toMatchObject({
      time: "2026-01-02T03:04:05.006Z",
      level: "warning",
      msg: "a\nb",
      n: 1.5,
      nan: "NaN",
      o: { a: ["\u2028"] },
      circle: "[cannot be written as JSON]",
      f: "function",
      "fields.service": "mine",
      service: "registry",
    });
  });
});

describe.each(["text", "json"] as const)("every %s entry", (formatter) => {
  it("is one line, whatever it holds", () => {
    const { lines, logger } = setup(formatter, "debug", { "fixed\nkey": "fixed\nvalue" });
    let all = "";
    for (let code = 0; code < 0x3000; code++) all += String.fromCharCode(code);
    for (let start = 0; start < all.length; start += 4096) {
      const text = all.slice(start, start + 4096);
      logger.error(text, { [text]: text, error: new Error(text) });
    }
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line.endsWith("\n")).toBe(true);
      expect(line.slice(0, -1)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]/);
      if (formatter === "json") parse(line);
    }
  });

  it("cuts what is too long", () => {
    const { lines, logger } = setup(formatter);
    logger.info("x", { agent: "a".repeat(100_000), list: ["b".repeat(100_000)] });
    expect(lines[0]?.length).toBeLessThan(20_000);
    if (formatter === "json") parse(lines[0]);
  });

  it("obeys the level", () => {
    const { lines, logger } = setup(formatter, "warn");
    logger.debug("no");
    logger.info("no");
    logger.warn("yes");
    logger.error("yes");
    expect(lines).toHaveLength(2);
  });
});

describe("errors", () => {
  it("are told with their causes, and with a stack at level error only", () => {
    const { lines, logger } = setup("json");
    const error = new Error("no answer", { cause: new AggregateError([new Error("refused"), new Error("reset")]) });
    logger.warn("x", { error });
    logger.error("x", { error });
    expect(parse(lines[0])["error"]).toBe("no answer: refused; reset");
    expect(parse(lines[0])).not.toHaveProperty(["error.stack"]);
    expect(parse(lines[1])["error.stack"]).toMatch(/^Error: no answer\n {4}at [\s\S]*\ncaused by: AggregateError/);
  });

  it("whose cause is a circle are told all the same", () => {
    const { lines, logger } = setup("json");
    const error = new Error("round");
    error.cause = error;
    logger.error("x", { error });
    expect(parse(lines[0])["error"]).toBe("round: round: round: round: round");
  });
});

describe("logAccess", () => {
  it("writes one line for a request", () => {
    const { lines, logger } = setup("text");
    logAccess(logger, {
      method: "GET",
      uri: "/v2/a/manifests/latest",
      status: 200,
      bytes: 12,
      durationMs: 1.23456,
      remoteAddress: "192.0.2.1",
      userAgent: 'evil"\n',
      requestId: "r-1",
      proto: "HTTP/1.1",
    });
    expect(lines).toEqual([
      'time="2026-01-02T03:04:05.006Z" level=info msg="response completed" http.request.id=r-1 ' +
        "http.request.method=GET http.request.uri=/v2/a/manifests/latest http.request.proto=HTTP/1.1 " +
        'http.request.remoteaddr=192.0.2.1 http.request.useragent="evil\\"\\n" http.response.status=200 ' +
        "http.response.written=12 http.response.duration=1.235ms\n",
    ]);
    expect(formatDuration(0)).toBe("0ms");
  });
});

describe("openLogDestination", () => {
  let folder: string;
  let program: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "logger-test-"));
    // Under node_modules, from where the program finds its packages.
    const out = join(import.meta.dirname, "../../node_modules/.cache/lading-test");
    await mkdir(out, { recursive: true });
    program = join(out, `log-program-${process.pid}.mjs`);
    await build({
      stdin: {
        contents: `
          import { openLogDestination } from "./shared/telemetry/log-destination.ts";
          import { pbkdf2 } from "node:crypto";
          const [how, count, length] = process.argv.slice(2);
          // Heard before the destination's own listener: nothing that it begins then gets the one thread of the pool.
          if (how === "busy") process.on("exit", () => pbkdf2("p", "s", 500_000, 32, "sha256", () => undefined));
          const destination = openLogDestination(1);
          const line = "x".repeat(Number(length)) + "\\n";
          const writeAll = () => { for (let i = 0; i < Number(count); i++) destination.write(i + line); };
          if (how === "exit") { writeAll(); process.exit(0); }
          if (how === "throw") { writeAll(); throw new Error("unexpected"); }
          if (how === "end") writeAll();
          if (how === "busy") process.once("beforeExit", writeAll);
          if (how === "broken") {
            const timer = setInterval(() => {
              writeAll();
              if (destination.dropped > 0) {
                clearInterval(timer);
                destination.close().then(() => process.stderr.write("survived " + destination.dropped));
              }
            }, 5);
          }
          if (how === "stalled") { writeAll(); destination.close().then(() => process.stderr.write("closed")); }
        `,
        resolveDir: join(import.meta.dirname, "../.."),
        loader: "ts",
      },
      outfile: program,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
    });
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await rm(program, { force: true });
  });

  it("writes every line in order, flushes and closes", async () => {
    const path = join(folder, "log");
    const destination = openLogDestination(openSync(path, "a"));
    let expected = "";
    for (let turn = 0; turn < 50; turn++) {
      for (let line = 0; line < 100; line++) {
        destination.write(`${turn} ${line} ä\n`);
        expected += `${turn} ${line} ä\n`;
      }
      if (turn % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await destination.flush();
    expect(readFileSync(path, "utf8")).toBe(expected);
    destination.write("last\n");
    await destination.close();
    await destination.close();
    destination.write("too late\n");
    expect(readFileSync(path, "utf8")).toBe(`${expected}last\n`);
    expect(destination.dropped).toBe(1);
  });

  it("does not throw for a descriptor that cannot be written", async () => {
    const fd = openSync(join(folder, "closed"), "w");
    closeSync(fd);
    const destination = openLogDestination(fd);
    destination.write("nobody reads this\n");
    await destination.flush();
    destination.write("nor this\n");
    await destination.close();
  });

  it.each(["exit", "throw", "end", "busy"])("loses nothing when the process ends (%s)", async (how) => {
    const run = promisify(execFile)(process.execPath, [program, how, "2000", "100"], {
      maxBuffer: 2 ** 24,
      env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
    });
    const { stdout } = await run.catch((error: unknown) => error as { stdout: string });
    expect(
      stdout
        .split("\n")
        .map((line) => Number.parseInt(line, 10))
        .slice(0, -1),
    ).toEqual(Array.from({ length: 2000 }, (_, index) => index));
  });

  it("outlives a reader that goes away", async () => {
    const child = spawn(process.execPath, [program, "broken", "10", "100"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(stderr).toMatch(/^survived [0-9]+$/);
    expect(code).toBe(0);
  });

  it("does not wait for ever for a reader that does not read", async () => {
    const child = spawn(process.execPath, [program, "stalled", "20000", "100"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.pause();
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    await expect.poll(() => stderr).toBe("closed");
    child.kill("SIGKILL");
  });
});
