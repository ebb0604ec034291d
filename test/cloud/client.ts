/** Plain requests to one of the shims, which answer to a name that no resolver has to know. */
import { request } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface Call {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: Uint8Array | string;
}

/** Sends to `127.0.0.1` what is meant for `host` (a name and a port). */
export type Send = (method: string, path: string, call?: Call) => Promise<Answer>;

export function clientOf(host: string): Send {
  const port = Number(host.split(":")[1]);
  return async (method, path, { headers = {}, body } = {}) =>
    await new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
      const outgoing = request(
        { host: "127.0.0.1", port, method, path, agent: false, headers: { Host: host, ...length, ...headers } },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.once("error", reject);
          incoming.once("end", () =>
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
          );
        },
      );
      outgoing.once("error", reject);
      outgoing.end(body);
    });
}
