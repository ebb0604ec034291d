/** A proxy that spoils one thing of what passes: what something in front of a registry may do. */
import {
  createServer,
  request as ask,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

/** A request on its way. */
export interface Passing {
  readonly method: string;
  url: string;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  /** Requests that are under way, itself included. */
  readonly atOnce: number;
}

/** An answer on its way back. */
export interface Returning {
  status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** What is spoilt. */
export interface Spoil {
  /** May change the request, answer in the place of the server, or cut the connection. */
  readonly request?: (passing: Passing) => Returning | "cut" | undefined;
  readonly answer?: (returning: Returning, passing: Passing) => void;
}

export interface FaultyProxy {
  readonly url: string;
  /** Nothing is spoilt while it is undefined. */
  spoil: Spoil | undefined;
  close(): Promise<void>;
}

/** Passes requests on to a server. `keepHost`: with the Host that they came with, as what is signed needs it. */
export async function startFaultyProxy(
  target: string,
  {
    keepHost = false,
    hostname = "127.0.0.1",
    tls,
  }: { keepHost?: boolean; hostname?: string; tls?: ServerOptions } = {},
): Promise<FaultyProxy> {
  const { hostname: to, port, host } = new URL(target);
  let atOnce = 0;
  const listener: RequestListener = (incoming, outgoing) => {
    atOnce++;
    outgoing.once("close", () => atOnce--);
    void pass(incoming, outgoing).catch(() => outgoing.destroy());
  };
  const server = tls === undefined ? createServer({ maxHeaderSize: 65_536 }, listener) : createTlsServer(tls, listener);
  // That a body may be sent is said where 417 is not.
  server.on("checkContinue", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (proxy.spoil?.request?.(passingOf(incoming, Buffer.alloc(0), 1)) === undefined) outgoing.writeContinue();
    listener(incoming, outgoing);
  });

  async function pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const passing = passingOf(incoming, Buffer.concat(chunks), atOnce);
    const own = proxy.spoil?.request?.(passing);
    if (own === "cut") {
      outgoing.destroy();
      return;
    }
    const returning = own ?? (await passOn(passing));
    proxy.spoil?.answer?.(returning, passing);
    outgoing.sendDate = false;
    outgoing.writeHead(returning.status, defined(returning.headers));
    outgoing.end(passing.method === "HEAD" ? undefined : returning.body);
  }

  async function passOn({ method, url, headers, body }: Passing): Promise<Returning> {
    const chunked = headers["transfer-encoding"] !== undefined;
    const sent = { ...endToEnd(headers), ...(chunked ? { "content-length": String(body.length) } : {}) };
    return await new Promise((resolve, reject) => {
      const onward = ask(
        { hostname: to, port, path: url, method, headers: defined(keepHost ? sent : { ...sent, host }), agent: false },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on("data", (chunk: Buffer) => chunks.push(chunk));
          answer.once("error", reject);
          answer.once("end", () => {
            const kept = endToEnd(answer.headers);
            resolve({ status: answer.statusCode ?? 0, headers: kept, body: Buffer.concat(chunks) });
          });
        },
      );
      onward.once("error", reject);
      onward.end(body);
    });
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FaultyProxy = {
    url: `http${tls === undefined ? "" : "s"}://${hostname}:${(server.address() as AddressInfo).port}`,
    spoil: undefined,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

function passingOf(incoming: IncomingMessage, body: Buffer, atOnce: number): Passing {
  return { method: incoming.method ?? "", url: incoming.url ?? "", headers: { ...incoming.headers }, body, atOnce };
}

/** Without those of one connection only. */
function endToEnd(headers: Passing["headers"]): Passing["headers"] {
  const ofConnection = ["connection", "transfer-encoding", "expect"];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ofConnection.includes(name)));
}

function defined(headers: Passing["headers"]): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
