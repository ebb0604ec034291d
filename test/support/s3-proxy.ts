/** A proxy in front of an S3 server that writes down what is asked of it, and fails on demand. */
import { once } from "node:events";
import { Agent, createServer, request as ask, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { operationOf, type S3Operation } from "./s3-operation.ts";
import { Rounds } from "./s3-rounds.ts";
import type { S3Access } from "./s3-servers.ts";

/** One request. It is in the list from its start; what is not known yet is undefined. */
export interface RecordedRequest {
  readonly operation: S3Operation;
  readonly bucket: string;
  /** Undefined where it is about no single object. */
  readonly key: string | undefined;
  /** What the client was told; undefined where its connection was cut before. */
  readonly status: number | undefined;
  /** Bytes of the bodies, as on the wire. */
  readonly bytes: { readonly sent: number; readonly received: number };
  /** On the clock of `performance.now()`. The end is when the last byte of the answer was there. */
  readonly start: number;
  readonly end: number | undefined;
  readonly fault: FaultKind | undefined;
}

/**
 * - `before`: the connection is cut, the server never hears of it
 * - `after`: the server does it, the connection is cut instead of an answer
 * - `slow-down`: 503 SlowDown, the server never hears of it
 * - `internal-error`: the server does it, the answer is 500 InternalError
 * - `error-in-200`: 200 with an error in its body, as S3 ends what it had begun to answer; the server never hears of it
 * - `slow`: it waits for `until` before the server hears of it
 * - `late`: the server does it, the answer waits for `until`
 * - `partial`: the connection is cut in the middle of the answer's body
 */
export type FaultKind =
  "before" | "after" | "slow-down" | "internal-error" | "error-in-200" | "slow" | "late" | "partial";

export interface FaultRule {
  readonly kind: FaultKind;
  /** Unless given, any. */
  readonly operation?: S3Operation;
  readonly key?: string | RegExp;
  /** The first of the requests that fit and that comes after the rule was made to suffer from it; 1 unless given. */
  readonly nth?: number;
  /** How many suffer; 1 unless given. */
  readonly times?: number;
  /** For `slow` and `late`. */
  readonly until?: Promise<unknown>;
}

export interface Fault {
  /** How many requests suffered from it. */
  readonly hits: number;
  /** Resolves when the first one did: with `after`, `late` and `internal-error`, when the server has done it. */
  readonly reached: Promise<void>;
}

export interface S3Proxy extends S3Access {
  readonly requests: readonly RecordedRequest[];
  /** Those that began while `work` ran. */
  during(work: () => Promise<unknown>): Promise<RecordedRequest[]>;
  /** The same in rounds: as many as there were serial round trips. See `Rounds`; one at a time. */
  inRounds(work: () => Promise<unknown>, silenceMs?: number): Promise<RecordedRequest[][]>;
  inject(rule: FaultRule): Fault;
  /** No faults from now on. Requests that wait go on waiting. */
  heal(): void;
  close(): Promise<void>;
}

/** What a process on a busy machine needs to go from one request to the next, and more. */
const SILENCE_MS = 40;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Omit<RecordedRequest, "bytes">> & { readonly bytes: Mutable<RecordedRequest["bytes"]> };

interface Rule extends FaultRule {
  seen: number;
  hits: number;
  hit(): void;
}

/** Starts one on a free port. Buckets are in the path. */
export async function startS3Proxy(server: S3Access): Promise<S3Proxy> {
  const requests: Draft[] = [];
  let rules: Rule[] = [];
  let rounds: Rounds<RecordedRequest> | undefined;
  const agent = new Agent({ keepAlive: true });
  const target = new URL(server.endpoint);

  const listener = createServer();
  const receive = (request: IncomingMessage, response: ServerResponse): void => {
    const record: Draft = {
      ...operationOf(request.method ?? "", request.url ?? "", request.headers),
      ...{ status: undefined, bytes: { sent: 0, received: 0 } },
      ...{ start: performance.now(), end: undefined, fault: undefined },
    };
    requests.push(record);
    const rule = suffers(rules, record);
    record.fault = rule?.kind;
    const { socket } = request;
    const entry = rounds?.enter(record);
    // Without its server or its client a request has nowhere to go.
    void handle(request, response, record, rule, async () => await entry?.answered())
      .catch(() => socket.destroy())
      .finally(() => {
        record.end ??= performance.now();
        entry?.gone();
      });
  };
  listener.on("request", receive);
  // Whether a client that waits may send its body is for the server to say.
  listener.on("checkContinue", receive);

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    record: Draft,
    rule: Rule | undefined,
    mayAnswer: () => Promise<void>,
  ): Promise<void> {
    if (rule?.kind === "before") {
      rule.hit();
      request.socket.destroy();
      return;
    }
    if (rule?.kind === "slow-down" || rule?.kind === "error-in-200") {
      if (request.headers.expect !== undefined) response.writeContinue();
      await drain(request, (bytes) => (record.bytes.sent += bytes));
      rule.hit();
      if (rule.kind === "slow-down") refuse(response, record, 503, "SlowDown");
      else refuse(response, record, 200, "InternalError");
      return;
    }
    if (rule?.kind === "slow") {
      rule.hit();
      await rule.until;
    }
    const answer = await passOn(request, response, record);
    await mayAnswer();
    if (rule?.kind === "after" || rule?.kind === "internal-error") {
      await drain(answer);
      rule.hit();
      if (rule.kind === "after") request.socket.destroy();
      else refuse(response, record, 500, "InternalError");
      return;
    }
    if (rule?.kind === "late") {
      rule.hit();
      await rule.until;
    }
    record.status = answer.statusCode;
    response.sendDate = false;
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
    if (rule?.kind === "partial") {
      rule.hit();
      await half(answer, response, record);
      request.socket.destroy();
      return;
    }
    await pipeline(
      answer,
      counting(
        (bytes) => (record.bytes.received += bytes),
        () => (record.end = performance.now()),
      ),
      response,
    );
  }

  /** Sends it on as it is; gives the answer, of which no body is read yet. */
  async function passOn(request: IncomingMessage, response: ServerResponse, record: Draft): Promise<IncomingMessage> {
    const { method, url, rawHeaders } = request;
    // The array of headers, with the Host that was signed.
    const headers = endToEnd(rawHeaders) as unknown as Record<string, string>;
    const onward = ask({ host: target.hostname, port: target.port, method, path: url, headers, agent });
    const answered = once(onward, "response") as Promise<[IncomingMessage]>;
    response.once("close", () => {
      if (!response.writableFinished) onward.destroy();
    });
    onward.on("continue", () => response.writeContinue());
    request.on("error", () => onward.destroy());
    // A server may answer, and close, before it has read all of a body: then the answer counts, and the rest is dropped.
    onward.on("error", () => request.unpipe().resume());
    request.on("data", (chunk: Buffer) => (record.bytes.sent += chunk.length));
    request.pipe(onward);
    return (await answered)[0];
  }

  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    endpoint: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    region: server.region,
    accessKeyId: server.accessKeyId,
    secretAccessKey: server.secretAccessKey,
    requests,
    during: async (work) => {
      const before = requests.length;
      await work();
      return requests.slice(before);
    },
    inRounds: async (work, silenceMs = SILENCE_MS) => {
      const clock = new Rounds<RecordedRequest>(silenceMs);
      rounds = clock;
      try {
        await work();
        await clock.ended();
      } finally {
        rounds = undefined;
      }
      return clock.rounds;
    },
    inject: (given) => {
      let reach = (): void => undefined;
      const reached = new Promise<void>((resolve) => (reach = resolve));
      const rule: Rule = { ...given, seen: 0, hits: 0, hit: reach };
      rules.push(rule);
      return {
        reached,
        get hits() {
          return rule.hits;
        },
      };
    },
    heal: () => {
      rules = [];
    },
    close: async () => {
      const closed = once(listener, "close");
      listener.close();
      listener.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

/** Counts the request for every rule that it fits; gives the first that is about it. */
function suffers(rules: readonly Rule[], { operation, key }: RecordedRequest): Rule | undefined {
  let found: Rule | undefined;
  for (const rule of rules) {
    if (rule.operation !== undefined && rule.operation !== operation) continue;
    if (rule.key !== undefined && !fits(rule.key, key ?? "")) continue;
    const { nth = 1, times = 1 } = rule;
    rule.seen++;
    if (found === undefined && rule.seen >= nth && rule.seen < nth + times) found = rule;
  }
  if (found !== undefined) found.hits++;
  return found;
}

const fits = (wanted: string | RegExp, key: string): boolean =>
  typeof wanted === "string" ? wanted === key : wanted.test(key);

/** Names and values by turns, without those of one connection only. */
function endToEnd(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, index) => {
    const name = (rawHeaders[index - (index % 2)] ?? "").toLowerCase();
    return name !== "connection" && name !== "keep-alive";
  });
}

/** Counts what passes. */
function counting(count: (bytes: number) => void, ended: () => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _, done) {
      count(chunk.length);
      done(null, chunk);
    },
    flush(done) {
      ended();
      done();
    },
  });
}

async function drain(body: IncomingMessage, count: (bytes: number) => void = () => undefined): Promise<void> {
  for await (const chunk of body) count((chunk as Buffer).length);
}

/** The first half of a body, or of its first piece where its length is not told. */
async function half(answer: IncomingMessage, response: ServerResponse, record: Draft): Promise<void> {
  const length = Number(answer.headers["content-length"] ?? NaN);
  let left = Math.floor(length / 2);
  for await (const chunk of answer) {
    const whole = chunk as Buffer;
    if (Number.isNaN(left)) left = Math.floor(whole.length / 2);
    const piece = whole.subarray(0, left);
    left -= piece.length;
    record.bytes.received += piece.length;
    // What was written must have left before the connection is cut.
    await new Promise<void>((sent) => response.write(piece, () => sent()));
    if (left === 0) return;
  }
}

function refuse(response: ServerResponse, record: Draft, status: number, code: string): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>injected</Message></Error>`;
  record.status = status;
  record.end = performance.now();
  response.writeHead(status, { "content-type": "application/xml", "content-length": Buffer.byteLength(body) });
  response.end(record.operation.startsWith("Head") ? undefined : body);
}
