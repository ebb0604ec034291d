/** Requests as they are meant: the path is sent as it is written, no redirect is followed, nothing is tried again. */
import { createHash, randomBytes } from "node:crypto";
import { request as requestPlain, type IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";

/** Bytes to send, of any length, that need not be held. */
export interface Payload {
  /** In bytes. */
  readonly size: number;
  readonly digest: string;
  /** The bytes, anew for each call. */
  bytes(): Iterable<Uint8Array>;
}

/** What goes with a request. */
export interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Payload;
  /** Milliseconds without a byte in either direction until it is given up. Default 60,000. */
  readonly silenceMs?: number;
}

/** An answer that came whole. */
export interface Reply {
  readonly status: number;
  /** Of the answer, by its name in small letters. */
  header(name: string): string | undefined;
  /** All of the answer's body. */
  readonly body: Buffer;
  /** When the certificate of the server ends, where it has one. */
  readonly certificateEnds: Date | undefined;
}

const BLOCK = 64 * 1024;
const SILENCE_MS = 60_000;

/** Bytes that no earlier payload had: a registry that knows them already would not take them. */
export function payload(size: number): Payload {
  const block = randomBytes(Math.min(BLOCK, Math.max(1, size)));
  const bytes = function* (): Generator<Uint8Array> {
    for (let left = size; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block;
  };
  const hash = createHash("sha256");
  for (const piece of bytes()) hash.update(piece);
  return { size, digest: `sha256:${hash.digest("hex")}`, bytes };
}

/** These bytes. */
export function payloadOf(content: Uint8Array): Payload {
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
  return { size: content.byteLength, digest, bytes: () => (content.byteLength === 0 ? [] : [content]) };
}

/** Sends one request; gives the answer whatever its status. Rejects where the connection fails, with the system's words. */
export async function ask(
  method: string,
  url: string,
  { headers = {}, body, silenceMs = SILENCE_MS }: Call = {},
): Promise<Reply> {
  const [, scheme = "", host = "", path = ""] = /^(https?):\/\/([^/?]+)(.*)$/.exec(url) ?? [];
  const { hostname, port } = new URL(`${scheme}://${host}`);
  const open = scheme === "https" ? requestTls : requestPlain;
  return await new Promise((resolve, reject) => {
    const sending = open({
      method,
      hostname: hostname.replace(/^\[|\]$/g, ""),
      ...(port === "" ? {} : { port }),
      path: path === "" ? "/" : path,
      agent: false,
      headers: { ...(body === undefined ? {} : { "content-length": String(body.size) }), ...headers },
    });
    sending.setTimeout(silenceMs, () => sending.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)));
    let answered = false;
    sending.once("response", (answer) => {
      answered = true;
      replyOf(answer).then(resolve, reject);
    });
    // A server may answer before it has read all, and close: what it said counts.
    sending.once("error", (error) => {
      if (!answered) reject(error);
    });
    if (body === undefined) sending.end();
    else pipeline(Readable.from(body.bytes(), { objectMode: false }), sending).catch(() => undefined);
  });
}

async function replyOf(answer: IncomingMessage): Promise<Reply> {
  const certificate = (answer.socket as Partial<TLSSocket>).getPeerCertificate?.();
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer) chunks.push(chunk as Uint8Array);
  return {
    status: answer.statusCode ?? 0,
    header: (name) => {
      const value = answer.headers[name];
      return typeof value === "object" ? value.join(", ") : value;
    },
    body: Buffer.concat(chunks),
    certificateEnds: certificate?.valid_to === undefined ? undefined : new Date(certificate.valid_to),
  };
}
