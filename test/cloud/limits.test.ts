/** Each limit and quirk of the shims, with and without it: none is there that does nothing. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { GatewayEvent, GatewayResult } from "../../functions/registry/gateway-event.ts";
import { RawConnection } from "../support/server.ts";
import { GATEWAY_LIMITS, startApiGateway, type GatewayLimits, type GatewayQuirks, type Invoke } from "./api-gateway.ts";
import { clientOf, type Answer, type Call } from "./client.ts";
import { FunctionThrottledError } from "./event-function.ts";
import { startWebGateway, WEB_LIMITS, type WebLimits } from "./web-gateway.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

const resultOf = (more: Partial<GatewayResult>): string =>
  JSON.stringify({ statusCode: 200, headers: {}, body: "", isBase64Encoded: false, ...more });
const echo: Invoke = async (event) => resultOf({ body: event });

interface Try {
  readonly limits?: Partial<GatewayLimits>;
  readonly quirks?: Partial<GatewayQuirks>;
  readonly invoke?: Invoke;
  readonly request?: readonly [method: string, path: string, call?: Call];
}

async function ask({ limits = {}, quirks = {}, invoke = echo, request = ["GET", "/"] }: Try): Promise<Answer> {
  const gateway = await startApiGateway(invoke, { limits: { ...GATEWAY_LIMITS, ...limits } });
  open.push(gateway);
  Object.assign(gateway.quirks, quirks);
  return await clientOf(`api.localhost:${gateway.port}`)(...request);
}

async function eventOf(attempt: Try): Promise<GatewayEvent & { cookies?: string[] }> {
  return JSON.parse((await ask(attempt)).body.toString()) as GatewayEvent & { cookies?: string[] };
}

const octets = { "content-type": "application/octet-stream" };

describe("API Gateway", () => {
  it.each<[what: string, status: number, attempt: Try, without: Partial<GatewayLimits>]>([
    [
      "a payload of more than 10 MB",
      413,
      {
        request: ["PUT", "/", { headers: octets, body: Buffer.alloc(10 * 1024 * 1024 + 1) }],
        invoke: async () => resultOf({}),
        limits: { eventBytes: Infinity },
      },
      { payloadBytes: Infinity },
    ],
    [
      "an event of more than 6 MB",
      413,
      { request: ["PUT", "/", { headers: octets, body: Buffer.alloc(4_750_000) }], invoke: async () => resultOf({}) },
      { eventBytes: Infinity },
    ],
    [
      "an answer of more than 6 MB",
      500,
      { invoke: async () => resultOf({ body: "x".repeat(6 * 1024 * 1024) }) },
      { resultBytes: Infinity },
    ],
    [
      "more than 10,240 bytes of headers",
      431,
      { request: ["GET", "/", { headers: { x: "y".repeat(10_240) } }] },
      { headBytes: Infinity },
    ],
  ])("refuses %s", async (_, status, attempt, without) => {
    expect((await ask(attempt)).status).toBe(status);
    expect((await ask({ ...attempt, limits: { ...attempt.limits, ...without } })).status).toBe(200);
  });

  it("waits for 30 seconds, no longer", async () => {
    expect(GATEWAY_LIMITS.integrationMs).toBe(30_000);
    const ends: ((result: string) => void)[] = [];
    const invoke: Invoke = async () => await new Promise((resolve) => ends.push(resolve));
    expect((await ask({ invoke, limits: { integrationMs: 20 } })).status).toBe(503);
    const slow = ask({ invoke, limits: { integrationMs: Infinity } });
    await expect.poll(() => ends.length).toBe(2);
    const early = Symbol("early");
    expect(await Promise.race([slow, new Promise((resolve) => setTimeout(() => resolve(early), 60))])).toBe(early);
    ends[1]?.(resultOf({}));
    expect((await slow).status).toBe(200);
  });

  it("says what became of a function that is throttled, or fails", async () => {
    const failing = (error: Error) => async (): Promise<string> => await Promise.reject(error);
    expect((await ask({ invoke: failing(new FunctionThrottledError("full")) })).status).toBe(503);
    expect((await ask({ invoke: failing(new Error("broken")) })).status).toBe(500);
    expect((await ask({ quirks: { throttledWith: 429 } })).status).toBe(429);
  });

  it.each<[path: string, quirks: Partial<GatewayQuirks>, rawPath: string]>([
    ["/v2/a%2Fb/x", {}, "/v2/a/b/x"],
    ["/v2/a%2Fb/x", { decodings: 0 }, "/v2/a%2Fb/x"],
    ["/v2/a%252Fb/x", {}, "/v2/a%2Fb/x"],
    ["/v2/a%252Fb/x", { decodings: 2 }, "/v2/a/b/x"],
    ["/v2/a%3Fn=1?n=2", {}, "/v2/a"],
    ["/v2/a%3Fn=1?n=2", { cutsAtQuestionMark: false }, "/v2/a?n=1"],
  ])("makes %s with %j the path %s", async (path, quirks, rawPath) => {
    expect((await eventOf({ quirks, request: ["GET", path] })).rawPath).toBe(rawPath);
  });

  it("keeps the query as it is, joins headers and takes cookies out", async () => {
    const event = await eventOf({
      request: ["GET", "/?a=b+c%2Fd&a=%e2", { headers: { "X-Many": ["1", "2"], Cookie: "a=1; b=2", TE: "trailers" } }],
    });
    expect(event.rawQueryString).toBe("a=b+c%2Fd&a=%e2");
    expect(event.headers["x-many"]).toBe("1,2");
    expect([event.cookies, event.headers["cookie"], event.headers["te"]]).toEqual([
      ["a=1", "b=2"],
      undefined,
      undefined,
    ]);
  });

  it.each<[type: string, isText: boolean]>([
    ["text/plain", true],
    ["application/json", true],
    ["application/vnd.oci.image.manifest.v1+json", true],
    ["application/octet-stream", false],
    ["", false],
  ])("passes a body of type '%s' as text: %s", async (type, isText) => {
    const event = await eventOf({
      request: ["PUT", "/", { body: "é", headers: type === "" ? {} : { "content-type": type } }],
    });
    expect([event.isBase64Encoded, event.body]).toEqual([!isText, isText ? "é" : "w6k="]);
  });

  it("renames a challenge when it is told to", async () => {
    const invoke: Invoke = async () => resultOf({ statusCode: 401, headers: { "www-authenticate": "Basic" } });
    expect((await ask({ invoke })).headers["www-authenticate"]).toBe("Basic");
    const { headers } = await ask({ invoke, quirks: { remapsChallenge: true } });
    expect([headers["www-authenticate"], headers["x-amzn-remapped-www-authenticate"]]).toEqual([undefined, "Basic"]);
  });

  it.each<[quirk: GatewayQuirks["headLength"], body: string, length: string]>([
    ["kept", "", "7"],
    ["computed", "", "0"],
    ["computed", "1234567", "7"],
    ["zero", "1234567", "0"],
  ])("answers HEAD, length %s, body '%s', with Content-Length %s", async (headLength, body, length) => {
    const invoke: Invoke = async () => resultOf({ headers: { "content-length": "7" }, body });
    const answer = await ask({ invoke, quirks: { headLength }, request: ["HEAD", "/"] });
    expect([answer.headers["content-length"], answer.body.length]).toEqual([length, 0]);
  });
});

describe("the front of a Web Function", () => {
  const backendOf = async (listener: RequestListener): Promise<number> => {
    const server: Server = createServer({ maxHeaderSize: 1024 * 1024 }, listener);
    server.maxHeadersCount = 0;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push({
      close: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    });
    return (server.address() as AddressInfo).port;
  };
  const tellHeaders: RequestListener = (incoming, outgoing) => {
    incoming.resume().once("end", () => outgoing.end(JSON.stringify(incoming.headers)));
  };
  const front = async (
    backend: number,
    limits: Partial<WebLimits> = {},
    halfDuplex = true,
  ): Promise<{ port: number; host: string }> => {
    const gateway = await startWebGateway(backend, { limits: { ...WEB_LIMITS, ...limits }, halfDuplex });
    open.push(gateway);
    return { port: gateway.port, host: `uploads.localhost:${gateway.port}` };
  };

  it("speaks HTTP/1.1 only, under its own name, with methods it knows", async () => {
    const { port, host } = await front(await backendOf(tellHeaders));
    const raw = await RawConnection.open(port);
    raw.write("GET / HTTP/1.0\r\nHost: uploads.localhost\r\n\r\n");
    expect((await raw.answer())?.status).toBe(505);
    expect((await clientOf(host)("GET", "/", { headers: { Host: "elsewhere" } })).status).toBe(404);
    expect((await clientOf(host)("PROPFIND", "/")).status).toBe(405);
    expect((await clientOf(host)("PATCH", "/")).status).toBe(200);
  });

  it("passes on at most 6,300 headers", async () => {
    const backend = await backendOf(tellHeaders);
    const headers = Object.fromEntries(Array.from({ length: 6_300 }, (_, i) => [`x${i}`, "1"]));
    expect((await clientOf((await front(backend)).host)("GET", "/", { headers })).status).toBe(431);
    const { host } = await front(backend, { headerCount: Infinity });
    expect((await clientOf(host)("GET", "/", { headers })).status).toBe(200);
  });

  it("removes what belongs to one connection, and Expect, TE and Trailer", async () => {
    const { host } = await front(await backendOf(tellHeaders));
    const { body } = await clientOf(host)("PUT", "/", {
      body: "x",
      headers: { Expect: "100-continue", TE: "trailers", "Keep-Alive": "1", "X-Kept": "1" },
    });
    const received = JSON.parse(body.toString()) as Record<string, string>;
    expect(Object.keys(received).sort()).toEqual(["connection", "content-length", "host", "x-kept"]);
  });

  it("passes on 64 requests at a time", async () => {
    const waiting: (() => void)[] = [];
    const backend = await backendOf((_, outgoing) => void waiting.push(() => outgoing.end()));
    const { host } = await front(backend, { concurrency: 2 });
    const first = [clientOf(host)("GET", "/"), clientOf(host)("GET", "/")];
    await expect.poll(() => waiting.length).toBe(2);
    expect((await clientOf(host)("GET", "/")).status).toBe(429);
    for (const end of waiting) end();
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200]);
    expect(WEB_LIMITS.concurrency).toBe(64);
  });

  it("reads no answer before the whole body is passed on, and gives up after a time", async () => {
    // Answers at once, and reads nothing.
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const backend = (server.address() as AddressInfo).port;
    const [small, large] = [Buffer.alloc(1000), Buffer.alloc(64 * 1024 * 1024)];
    const patient = await front(backend, { requestMs: Infinity });
    expect((await clientOf(patient.host)("PUT", "/", { body: small })).status).toBe(401);
    const { host } = await front(backend, { requestMs: 300 });
    const outcome = await clientOf(host)("PUT", "/", { body: large }).then(
      ({ status }) => status,
      () => "cut",
    );
    expect([504, "cut"]).toContain(outcome);
    const duplex = await front(backend, { requestMs: Infinity }, false);
    expect((await clientOf(duplex.host)("PUT", "/", { body: large })).status).toBe(401);
    server.close();
    expect(WEB_LIMITS.requestMs).toBe(900_000);
  });
});
