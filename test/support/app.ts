/** The HTTP app over a driver, and a client that talks to it as a host would. */
import { createServer, request as httpRequest, type OutgoingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import {
  createApp,
  type App,
  type AppParts,
  type HostBindings,
  type RequestReport,
} from "../../functions/registry/app.ts";
import { answerEvent, type GatewayEvent } from "../../functions/registry/gateway-event.ts";
import { createListener } from "../../functions/registry/listener.ts";
import type { ApiSettings } from "../../functions/registry/request.ts";
import { anonymousAuthenticator } from "../../shared/auth/authenticator.ts";
import { allowAll } from "../../shared/auth/authorizer.ts";
import type { ManifestPolicy } from "../../shared/registry/manifest-store.ts";
import { Registry, type RegistryParts } from "../../shared/registry/registry.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { bodyOf, collect } from "./bodies.ts";

/** What a test may set; all else is as in an open registry with deletes. */
export interface TestAppOptions {
  readonly settings?: Partial<ApiSettings>;
  readonly policy?: Partial<ManifestPolicy>;
  readonly parts?: Partial<AppParts>;
  readonly registry?: Partial<RegistryParts>;
}

/** An answer, read to its end. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  header(name: string): string | null;
  json(): unknown;
  /** The code of the first error. */
  readonly code: string | undefined;
}

/** What goes with a request. A body of bytes announces its length, any other is sent in chunks. */
export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** What the host it comes through can carry. */
  readonly limits?: HostBindings["limits"];
  /** Where it comes from. */
  readonly remoteAddress?: string;
}

/** Sends one request. `path` is taken as it is, with whatever escapes it has. */
export type Send = (method: string, path: string, options?: SendOptions) => Promise<Reply>;

/** A registry under test. */
export interface TestApp {
  readonly send: Send;
  readonly registry: Registry;
  /** What the app told its host of. */
  readonly reports: RequestReport[];
  readonly faults: { readonly error: unknown; readonly requestId: string }[];
}

/** The app over this storage. */
export function createTestApp(
  driver: StorageDriver,
  { settings, policy, parts, registry: registryParts }: TestAppOptions = {},
): TestApp {
  const registry = new Registry({
    driver,
    policy: { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true, ...policy },
    now: () => new Date(),
    ...registryParts,
  });
  const reports: RequestReport[] = [];
  const faults: TestApp["faults"] = [];
  const app = createApp({
    registry,
    authenticator: anonymousAuthenticator,
    authorizer: allowAll,
    settings: {
      prefix: "/",
      headers: {},
      deleteEnabled: true,
      readOnly: false,
      catalogMaxEntries: 1000,
      tagsMaxEntries: 1000,
      ...settings,
    },
    clock: () => performance.now(),
    onRequest: (report) => reports.push(report),
    onFault: (error, requestId) => faults.push({ error, requestId }),
    ...parts,
  });
  if (throughStack) return { send: sendToStack, registry, reports, faults };
  let server: Promise<number> | undefined;
  const send: Send = async (method, path, options = {}) => {
    if (throughEvents) return await sendEvent(app, method, path, options);
    const { limits, remoteAddress } = options;
    if (throughUploadFunction && limits === undefined && remoteAddress === undefined) {
      server ??= uploadFunction(app);
      return await sendRequest(await server, method, path, options);
    }
    const host: HostBindings = {
      url: path,
      remoteAddress,
      ...bodyBindings(options),
      ...(limits === undefined ? {} : { limits }),
    };
    return await read(await app.fetch(new Request("http://registry.test/", { method }), host));
  };
  return { send, registry, reports, faults };
}

/** Whether this run of the suites goes through API Gateway's events instead of HTTP. */
export const throughEvents = process.env["LADING_TEST_HOST"] === "event";

/** Whether it goes over sockets to a server as the upload function is one, whose answers wait for the end of the body. */
const throughUploadFunction = process.env["LADING_TEST_HOST"] === "uploads";

/** Whether it goes to the stack as it is synthesized, both functions with their roles: then nothing can be set. */
export const throughStack = process.env["LADING_TEST_HOST"] === "stack";

let stack: Promise<string> | undefined;

/** As a client that stays on the registry's host; it follows where a blob lies. The stack ends with the process. */
const sendToStack: Send = async (method, path, options = {}) => {
  stack ??= import("../cloud/stack.ts").then(async ({ sharedStack }) => await sharedStack());
  const first = await sendRequest(Number((await stack).split(":")[1]), method, path, {
    ...options,
    headers: { host: await stack, ...options.headers },
  });
  const location = first.header("location");
  if (first.status !== 307 || location === null) return first;
  const range = options.headers?.["Range"] ?? options.headers?.["range"];
  const last = await fetch(location, { method, headers: range === undefined ? {} : { range } });
  const headers = new Headers(last.headers);
  headers.set("docker-content-digest", first.header("docker-content-digest") ?? "");
  return replyOf(last.status, headers, Buffer.from(await last.arrayBuffer()));
};

/** Gives its port. The server ends with the process. */
async function uploadFunction(app: App): Promise<number> {
  const listener = createListener((request, host) => app.fetch(request, host), { halfDuplex: true });
  const server = createServer(listener).unref();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function sendRequest(port: number, method: string, path: string, options: SendOptions): Promise<Reply> {
  const { headers, body } = bodyBindings(options);
  return await new Promise((resolve, reject) => {
    const sent = { ...headers, host: headers?.["host"] ?? "registry.test" } as OutgoingHttpHeaders;
    const request = httpRequest({ port, host: "127.0.0.1", method, path, headers: sent, agent: false }, (incoming) => {
      collect(incoming).then((bytes) => {
        const received = new Headers();
        for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
          received.append(incoming.rawHeaders[i] ?? "", incoming.rawHeaders[i + 1] ?? "");
        }
        // The server's, and not the app's.
        for (const name of ["connection", "date", "keep-alive"]) received.delete(name);
        resolve(replyOf(incoming.statusCode ?? 0, received, bytes));
      }, reject);
    });
    request.once("error", reject);
    Readable.from(body ?? [], { objectMode: false }).pipe(request);
  });
}

/** The request as the event that API Gateway would make of it, and the result as the client would get it. */
async function sendEvent(app: App, method: string, path: string, options: SendOptions): Promise<Reply> {
  const { headers = {}, body, remoteAddress = "192.0.2.1" } = options;
  const [rawPath = "", ...query] = path.split("?");
  const bytes =
    body === undefined || typeof body === "string"
      ? Buffer.from(body ?? "")
      : body instanceof Uint8Array
        ? Buffer.from(body)
        : await collect(body);
  const event: GatewayEvent = {
    rawPath: decodePath(rawPath),
    rawQueryString: query.join("?"),
    headers: {
      ...(bytes.byteLength > 0 ? { "content-length": String(bytes.byteLength) } : {}),
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    },
    requestContext: { http: { method, sourceIp: remoteAddress, protocol: "HTTP/1.1" } },
    ...(bytes.byteLength > 0 ? { body: bytes.toString("base64") } : {}),
    isBase64Encoded: bytes.byteLength > 0,
  };
  const result = await answerEvent((request, host) => app.fetch(request, host), event);
  const answer = Buffer.from(result.body, result.isBase64Encoded ? "base64" : "utf8");
  const length = new Headers(result.headers).get("content-length");
  // As API Gateway does it, to HEAD too; a HEAD without a body keeps the length it was given.
  const received = {
    ...result.headers,
    ...(answer.length > 0 || length === null ? { "content-length": String(answer.length) } : {}),
  };
  return replyOf(result.statusCode, new Headers(received), method === "HEAD" ? Buffer.alloc(0) : answer);
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function bodyBindings({ headers = {}, body }: SendOptions): Pick<HostBindings, "headers" | "body"> {
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  if (body === undefined) return { headers: lower, body: bodyOf() };
  if (typeof body === "string" || body instanceof Uint8Array) {
    return { headers: { "content-length": String(Buffer.byteLength(body)), ...lower }, body: bodyOf(body) };
  }
  return { headers: { "transfer-encoding": "chunked", ...lower }, body };
}

async function read(response: Response): Promise<Reply> {
  const bytes = Buffer.from(await response.arrayBuffer());
  return replyOf(response.status, response.headers, bytes);
}

/** A reply of these parts, whichever way it came. */
export function replyOf(status: number, headers: Headers, bytes: Buffer): Reply {
  const json = (): unknown => JSON.parse(bytes.toString());
  return {
    status,
    headers,
    bytes,
    header: (name) => headers.get(name),
    json,
    get code() {
      if (!(headers.get("content-type") ?? "").startsWith("application/json")) return undefined;
      return (json() as { errors?: { code: string }[] }).errors?.[0]?.code;
    },
  };
}
