/**
 * What stands in front of a Lambda Web Function, as far as Lading can tell: HTTP/1.1 on one name, the whole request passed on
 * before a byte of the answer is read. docs/assumptions.md says where each of these comes from.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Times in milliseconds. Infinity turns one off. */
export interface WebLimits {
  readonly requestMs: number;
  readonly concurrency: number;
  readonly headerCount: number;
}

export const WEB_LIMITS: WebLimits = { requestMs: 900_000, concurrency: 64, headerCount: 6_300 };

export interface WebGateway {
  readonly port: number;
  close(): Promise<void>;
}

const REMOVED = new Set(
  "connection keep-alive proxy-connection transfer-encoding upgrade expect te trailer".split(" "),
);
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "DELETE"]);

/** Passes requests for `hostname` on to `127.0.0.1:backend`. */
export async function startWebGateway(
  backend: number,
  { hostname = "uploads.localhost", port = 0, limits = WEB_LIMITS, halfDuplex = true } = {},
): Promise<WebGateway> {
  let running = 0;
  const server = createServer({ maxHeaderSize: 1024 * 1024, requestTimeout: 0 }, (incoming, outgoing) => {
    const refusal = refusalOf(incoming, hostname, running, limits);
    if (refusal !== undefined) {
      outgoing.writeHead(refusal, { connection: "close", "content-length": 0 }).end();
      return;
    }
    running++;
    outgoing.once("close", () => running--);
    passOn(incoming, outgoing, { backend, limits, halfDuplex });
  });
  server.maxHeadersCount = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function refusalOf(
  incoming: IncomingMessage,
  hostname: string,
  running: number,
  limits: WebLimits,
): number | undefined {
  if (incoming.httpVersion !== "1.1") return 505;
  if (incoming.headers.host?.replace(/:\d+$/, "") !== hostname) return 404;
  if (!METHODS.has(incoming.method ?? "")) return 405;
  if (incoming.rawHeaders.length / 2 > limits.headerCount) return 431;
  if (running >= limits.concurrency) return 429;
  return undefined;
}

interface Passage {
  readonly backend: number;
  readonly limits: WebLimits;
  readonly halfDuplex: boolean;
}

function passOn(incoming: IncomingMessage, outgoing: ServerResponse, { backend, limits, halfDuplex }: Passage): void {
  const headers: string[] = [];
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = incoming.rawHeaders.slice(i, i + 2);
    if (!REMOVED.has(name.toLowerCase())) headers.push(name, value);
  }
  if (incoming.headers["transfer-encoding"] !== undefined) headers.push("Transfer-Encoding", "chunked");
  const fail = (status: number): void => {
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(status, { connection: "close", "content-length": 0 }).end();
    onward.destroy();
  };
  const { method = "", url = "" } = incoming;
  const onward = request({ host: "127.0.0.1", port: backend, agent: false, method, path: url, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, dropRemoved(answer.rawHeaders));
    answer.pipe(outgoing);
    answer.once("error", () => outgoing.destroy());
  });
  const timer = limits.requestMs === Infinity ? undefined : setTimeout(() => fail(504), limits.requestMs);
  outgoing.once("close", () => {
    clearTimeout(timer);
    onward.destroy();
  });
  onward.once("error", () => fail(502));
  if (halfDuplex) {
    onward.once("socket", (socket) => {
      socket.pause();
      onward.once("finish", () => socket.resume());
    });
  }
  incoming.once("error", () => onward.destroy());
  incoming.pipe(onward);
}

function dropRemoved(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, i) => !REMOVED.has((rawHeaders[i - (i % 2)] ?? "").toLowerCase()));
}
