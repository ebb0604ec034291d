/**
 * API Gateway (an HTTP API with a Lambda proxy integration, payload format 2.0) as far as Lading can tell: its limits, what
 * it does to a request on its way, and what it is feared to do. docs/assumptions.md says where each of these comes from.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { GatewayEvent, GatewayResult } from "../../functions/registry/gateway-event.ts";
import { FunctionThrottledError } from "./event-function.ts";

/** Sizes in bytes, times in milliseconds. Infinity turns one off. */
export interface GatewayLimits {
  readonly payloadBytes: number;
  /** The event and the result, as JSON: Lambda's own limit. */
  readonly eventBytes: number;
  readonly resultBytes: number;
  /** Request line and headers together. */
  readonly headBytes: number;
  readonly integrationMs: number;
}

export const GATEWAY_LIMITS: GatewayLimits = {
  payloadBytes: 10 * 1024 * 1024,
  eventBytes: 6 * 1024 * 1024,
  resultBytes: 6 * 1024 * 1024,
  headBytes: 10_240,
  integrationMs: 30_000,
};

/** What nobody knows of the real one, or what happens there at times. Changed while it runs. */
export interface GatewayQuirks {
  /** How often the path is decoded. */
  decodings: 0 | 1 | 2;
  /** What follows a decoded question mark: cut off, as seen, or kept in the path. */
  cutsAtQuestionMark: boolean;
  /** WWW-Authenticate comes as x-amzn-Remapped-WWW-Authenticate. */
  remapsChallenge: boolean;
  /** Content-Length of an answer to HEAD: the function's, that of the body it gave, or 0. */
  headLength: "kept" | "computed" | "zero";
  /** Answers with this status instead of calling the function. */
  throttledWith: 429 | 503 | undefined;
}

export const GATEWAY_QUIRKS: Readonly<GatewayQuirks> = {
  decodings: 1,
  cutsAtQuestionMark: true,
  remapsChallenge: false,
  headLength: "kept",
  throttledWith: undefined,
};

/** The function behind it: takes an event as JSON and gives the result as JSON. */
export type Invoke = (event: string) => Promise<string>;

export interface ApiGateway {
  readonly port: number;
  readonly quirks: GatewayQuirks;
  close(): Promise<void>;
}

export async function startApiGateway(
  invoke: Invoke,
  { hostname = "api.localhost", port = 0, limits = GATEWAY_LIMITS } = {},
): Promise<ApiGateway> {
  const quirks: GatewayQuirks = { ...GATEWAY_QUIRKS };
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, (incoming, outgoing) => {
    answer(incoming, outgoing, { invoke, hostname, limits, quirks }).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    quirks,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Settings {
  readonly invoke: Invoke;
  readonly hostname: string;
  readonly limits: GatewayLimits;
  readonly quirks: GatewayQuirks;
}

/** An answer of the gateway's own. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, settings: Settings): Promise<void> {
  try {
    send(incoming.method ?? "", outgoing, await exchange(incoming, settings), settings.quirks);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const body = JSON.stringify({ message: error.message });
    outgoing.writeHead(error.status, { "content-type": "application/json", "content-length": body.length });
    outgoing.end(incoming.method === "HEAD" ? undefined : body);
  }
}

async function exchange(incoming: IncomingMessage, settings: Settings): Promise<GatewayResult> {
  const { limits, quirks, invoke } = settings;
  const requestLine = `${incoming.method ?? ""} ${incoming.url ?? ""} HTTP/1.1\r\n`;
  const head = incoming.rawHeaders.reduce((sum, text) => sum + text.length + 2, requestLine.length);
  // It takes in the whole request before it does anything.
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size <= limits.payloadBytes) chunks.push(chunk);
  }
  if (head > limits.headBytes) throw new Refusal(431, "Request Header Fields Too Large");
  if (size > limits.payloadBytes) throw new Refusal(413, "Request Entity Too Large");
  if (quirks.throttledWith !== undefined) throw new Refusal(quirks.throttledWith, "Service Unavailable");

  const event = JSON.stringify(eventOf(incoming, Buffer.concat(chunks), settings));
  if (event.length > limits.eventBytes) throw new Refusal(413, "Request Entity Too Large");
  const result = await within(limits.integrationMs, invoke(event).catch(asRefusal));
  if (result === undefined) throw new Refusal(503, "Service Unavailable");
  if (result.length > limits.resultBytes) throw new Refusal(500, "Internal Server Error");
  return JSON.parse(result) as GatewayResult;
}

function asRefusal(error: unknown): never {
  throw error instanceof FunctionThrottledError
    ? new Refusal(503, "Service Unavailable")
    : new Refusal(500, "Internal Server Error");
}

async function within(ms: number, work: Promise<string>): Promise<string | undefined> {
  if (ms === Infinity) return await work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What comes as text; everything else comes in base64. */
const TEXT = /^(?:text\/|application\/(?:json|javascript|xml)\b)|\+(?:json|xml)\b/i;

function eventOf(incoming: IncomingMessage, body: Buffer, { hostname, quirks }: Settings): GatewayEvent {
  const { method = "", url = "" } = incoming;
  const mark = url.indexOf("?");
  const rawPath = decoded(mark < 0 ? url : url.slice(0, mark), quirks);
  const headers: Record<string, string> = {};
  const cookies: string[] = [];
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = [incoming.rawHeaders[i]?.toLowerCase(), incoming.rawHeaders[i + 1]];
    if (name === "cookie") cookies.push(...value.split("; "));
    else if (!HOP_BY_HOP.has(name)) headers[name] = name in headers ? `${headers[name] ?? ""},${value}` : value;
  }
  headers["content-length"] = String(body.byteLength);
  headers["host"] = hostname;
  headers["x-forwarded-for"] = [headers["x-forwarded-for"], "127.0.0.1"].filter(Boolean).join(", ");
  const isText = TEXT.test(headers["content-type"] ?? "");
  const event = {
    version: "2.0",
    routeKey: "$default",
    rawPath,
    rawQueryString: mark < 0 ? "" : url.slice(mark + 1),
    ...(cookies.length > 0 ? { cookies } : {}),
    headers,
    requestContext: {
      domainName: hostname,
      stage: "$default",
      http: { method, path: rawPath, protocol: "HTTP/1.1", sourceIp: "127.0.0.1" },
    },
    ...(body.byteLength > 0 ? { body: body.toString(isText ? "utf8" : "base64") } : {}),
    isBase64Encoded: body.byteLength > 0 && !isText,
  };
  return event;
}

function decoded(path: string, { decodings, cutsAtQuestionMark }: GatewayQuirks): string {
  let text = path;
  for (let i = 0; i < decodings; i++) {
    try {
      text = decodeURIComponent(text);
    } catch {
      return text;
    }
  }
  return cutsAtQuestionMark ? (text.split("?")[0] ?? "") : text;
}

function send(method: string, outgoing: ServerResponse, result: GatewayResult, quirks: GatewayQuirks): void {
  const body = Buffer.from(result.body, result.isBase64Encoded ? "base64" : "utf8");
  const { "content-length": given, ...headers } = result.headers;
  for (const [name, value] of Object.entries(headers)) {
    const remapped = quirks.remapsChallenge && name === "www-authenticate";
    outgoing.setHeader(remapped ? "x-amzn-Remapped-WWW-Authenticate" : name, value);
  }
  const isHead = method === "HEAD";
  const length =
    !isHead || quirks.headLength === "computed"
      ? body.byteLength
      : quirks.headLength === "zero"
        ? 0
        : (given ?? body.byteLength);
  if (result.statusCode !== 204 && result.statusCode !== 304) outgoing.setHeader("content-length", length);
  outgoing.setHeader("apigw-requestid", "local");
  outgoing.writeHead(result.statusCode);
  outgoing.end(isHead ? undefined : body);
}
