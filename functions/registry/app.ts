/**
 * The registry's HTTP API as a Hono app. It knows no host: a composition root gives it what it needs, and an adapter gives
 * it requests.
 *
 *     request -> sign-in -> target (from the path) -> access -> handler -> answer
 *                                                        any failure -> errors.ts
 *
 * Hono is the shell around this and the bridge to the hosts; its router is not used, since no pattern language tells
 * `/v2/a/blobs/uploads/x` from a repository called `a/blobs` as plainly as `target.ts` does.
 */
import { randomUUID } from "node:crypto";
import { Hono, type Context } from "hono";
import { ANONYMOUS, UnauthorizedError, type Authenticator, type Principal } from "../../shared/auth/authenticator.ts";
import type { Access, Authorizer } from "../../shared/auth/authorizer.ts";
import { MethodNotAllowedError, RangeMismatchError, RegistryError } from "../../shared/oci/error.ts";
import { limits } from "../../shared/oci/limits.ts";
import { OngoingCommits } from "../../shared/registry/ongoing-commits.ts";
import type { Registry } from "../../shared/registry/registry.ts";
import type { Body } from "../../shared/registry/upload-store.ts";
import { empty, type Answer } from "./answer.ts";
import { renderError } from "./errors.ts";
import { getBase, getRoot } from "./handlers/base.ts";
import { deleteBlob, getBlob } from "./handlers/blobs.ts";
import { listCatalog, listTags } from "./handlers/listings.ts";
import { deleteManifest, getManifest, putManifest } from "./handlers/manifests.ts";
import { listReferrers } from "./handlers/referrers.ts";
import {
  appendUpload,
  cancelUpload,
  commitUpload,
  getUpload,
  sessionHeaders,
  startUpload,
} from "./handlers/uploads.ts";
import { observeBody } from "./observe-body.ts";
import type { ApiRequest, ApiSettings } from "./request.ts";
import { looksSigned, parseTarget, withoutCapability, type Target } from "./target.ts";
import { bodyTooLarge, checkSigned, type UploadAddresses } from "./upload-addresses.ts";

/** What became of a request, told when the last byte of its answer was handed on. */
export interface RequestReport {
  readonly requestId: string;
  readonly method: string;
  /** Path and query as sent, but for the capability of a signed address. */
  readonly uri: string;
  /** What the path addressed; "unknown" where nothing. */
  readonly kind: Target["kind"] | "unknown";
  readonly status: number;
  /** Bytes of the answer's body. */
  readonly bytes: number;
  /** Bytes of the request's body that were read. */
  readonly received: number;
  readonly durationMs: number;
  readonly principal: Principal;
  readonly header: (name: string) => string | undefined;
  readonly host: HostBindings;
}

export interface AppParts {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly settings: ApiSettings;
  /** Milliseconds of a clock that only goes forward. */
  readonly clock: () => number;
  /** The reason why nothing can be served now, if there is one. */
  readonly unavailable?: () => string | undefined;
  readonly onRequest?: (report: RequestReport) => void;
  /** A fault of ours, with all it says; the client is told only the request's id. */
  readonly onFault?: (error: unknown, requestId: string) => void;
}

/** What a host knows better, or has more cheaply, than the Request object that it made. All of it may be missing. */
export interface HostBindings {
  readonly method?: string;
  /** Path and query exactly as received. */
  readonly url?: string | undefined;
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly body?: Body;
  readonly remoteAddress?: string | undefined;
  readonly httpVersion?: string | undefined;
  /** What it cannot carry. Missing: anything goes. */
  readonly limits?: HostLimits;
}

/** What a host cannot carry and an HTTP server can. */
export interface HostLimits {
  /** Most bytes of a request's body. */
  readonly requestBytes: number;
  /** Most bytes of an answer's body. */
  readonly answerBytes: number;
  /** It makes Content-Length from the body it is given, so an answer to HEAD has the body that GET's would have. */
  readonly headBodies: boolean;
}

export type App = Hono<{ Bindings: HostBindings }>;

/** The app over these parts. */
export function createApp(parts: AppParts): App {
  const app: App = new Hono();
  const commits = new OngoingCommits();
  app.all("*", async (c) => await serve({ ...parts, commits }, c));
  return app;
}

type Handler<K extends Target["kind"]> = (request: ApiRequest, target: Extract<Target, { kind: K }>) => Promise<Answer>;

const ROUTES: { readonly [K in Target["kind"]]: Readonly<Record<string, Handler<K>>> } = {
  root: { GET: getRoot, HEAD: getRoot },
  base: { GET: getBase, HEAD: getBase },
  catalog: { GET: listCatalog, HEAD: listCatalog },
  blob: { GET: getBlob, HEAD: getBlob, DELETE: deleteBlob },
  uploads: { POST: startUpload },
  upload: { GET: getUpload, HEAD: getUpload, PATCH: appendUpload, PUT: commitUpload, DELETE: cancelUpload },
  manifest: { GET: getManifest, HEAD: getManifest, PUT: putManifest, DELETE: deleteManifest },
  tags: { GET: listTags, HEAD: listTags },
  referrers: { GET: listReferrers, HEAD: listReferrers },
};

/** What the app itself holds, beside what it was given. */
interface Parts extends AppParts {
  readonly commits: OngoingCommits;
}

async function serve(parts: Parts, c: Context<{ Bindings: HostBindings }>): Promise<Response> {
  const { clock, settings } = parts;
  const started = clock();
  // Undefined when the app is called without a host, as tests do.
  const host = (c.env as HostBindings | undefined) ?? {};
  const method = host.method ?? c.req.raw.method;
  const uri = host.url ?? c.req.raw.url.replace(/^[a-z]+:\/\/[^/?]*/i, "");
  const requestId = randomUUID();
  const header = headerReader(c, host);
  const scope: Scope = { kind: "unknown", principal: ANONYMOUS, received: 0 };

  let answer: Answer;
  try {
    const body = (): Body => bodyOf(c, host, scope, settings.uploads);
    answer = await route(parts, { method, uri, header, body, remoteAddress: host.remoteAddress }, scope);
    checkSize(answer, host.limits);
  } catch (error) {
    const rendered = renderError(error, requestId);
    if (rendered.fault) parts.onFault?.(error, requestId);
    answer = rendered.answer;
    if (error instanceof RangeMismatchError && scope.request !== undefined && scope.target?.kind === "upload") {
      answer = {
        ...answer,
        headers: { ...answer.headers, ...sessionHeaders(scope.request, scope.target, error.size) },
      };
    }
  }
  const report = (bytes: number): void =>
    parts.onRequest?.({
      requestId,
      method,
      uri: withoutCapability(uri),
      kind: scope.kind,
      status: answer.status,
      bytes,
      received: scope.received,
      durationMs: clock() - started,
      principal: scope.principal,
      header,
      host,
    });
  return render(answer, method === "HEAD" && host.limits?.headBodies !== true, settings, report);
}

/** What is learnt about a request on its way, for the log and for error answers. */
interface Scope {
  kind: RequestReport["kind"];
  principal: Principal;
  received: number;
  request?: ApiRequest;
  target?: Target;
}

const NO_QUERY = new URLSearchParams();

interface Incoming {
  readonly method: string;
  readonly uri: string;
  readonly header: (name: string) => string | undefined;
  readonly body: () => Body;
  readonly remoteAddress: string | undefined;
}

async function route(parts: Parts, incoming: Incoming, scope: Scope): Promise<Answer> {
  const { method, uri, header } = incoming;
  const { settings, registry, authorizer, commits } = parts;
  if (uri.length > limits.urlBytes)
    throw new RegistryError("URI_TOO_LONG", `a path and query have at most ${limits.urlBytes} bytes`);
  const mark = uri.indexOf("?");
  const path = mark < 0 ? uri : uri.slice(0, mark);
  // Asked by browsers before a request with credentials, and never with them.
  if (method === "OPTIONS") return empty(200, { Allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" });
  const isApi = path.startsWith(`${settings.prefix}v2`);
  const target = await signIn(parts, path, header, scope);
  scope.kind = target.kind;
  scope.target = target;
  const reason = isApi ? parts.unavailable?.() : undefined;
  if (reason !== undefined) throw new RegistryError("UNAVAILABLE", reason);
  if (!authorizer.authorize(scope.principal, accessTo(target, method))) {
    if (!isSigned(target)) askToSignIn(parts, scope.principal);
    throw new RegistryError("DENIED", "you may not do this here");
  }

  const handlers = ROUTES[target.kind];
  const handler = (Object.hasOwn(handlers, method) ? handlers[method] : undefined) as
    Handler<typeof target.kind> | undefined;
  if (handler === undefined) {
    throw new MethodNotAllowedError(method, Object.keys(handlers));
  }
  checkAllowed(settings, target, method);
  scope.request = {
    method,
    query: mark < 0 ? NO_QUERY : new URLSearchParams(uri.slice(mark)),
    header,
    body: incoming.body,
    remoteAddress: incoming.remoteAddress,
    principal: scope.principal,
    signed: isSigned(target),
    registry,
    commits,
    authorizer,
    settings,
  };
  return await handler(scope.request, target);
}

/**
 * What the path addresses, and who asks for it: whom a signed address names, or who signs in. Who must sign in learns
 * nothing of the path before; who comes with a signed address is never asked to, whatever is wrong with it.
 */
async function signIn(
  { settings, authenticator }: Parts,
  path: string,
  header: Incoming["header"],
  scope: Scope,
): Promise<Target> {
  const parsed = attempt(() => parseTarget(path, settings.prefix));
  if ("value" in parsed && (parsed.value.kind === "uploads" || parsed.value.kind === "upload")) {
    await settings.uploads?.refresh();
  }
  if ("value" in parsed && isSigned(parsed.value)) {
    scope.principal = await checkSigned(settings.uploads, parsed.value);
    return parsed.value;
  }
  const isFaulty = "error" in parsed && looksSigned(path);
  if (!isFaulty && path.startsWith(`${settings.prefix}v2`)) {
    scope.principal = await authenticator.authenticate(header("authorization"));
    if ("error" in parsed) askToSignIn({ authenticator }, scope.principal);
  }
  if ("error" in parsed) throw parsed.error;
  return parsed.value;
}

/** Throws UnauthorizedError for who has sent no credentials and could have. */
function askToSignIn({ authenticator: { challenge } }: Pick<Parts, "authenticator">, principal: Principal): void {
  if (principal.kind !== "anonymous" || challenge === undefined) return;
  throw new UnauthorizedError("a user name and a password are needed", challenge);
}

type SignedTarget = Extract<Target, { kind: "upload" }> & { readonly capability: string };

function isSigned(target: Target): target is SignedTarget {
  return target.kind === "upload" && target.capability !== undefined;
}

function attempt<T>(work: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: work() };
  } catch (error) {
    return { error };
  }
}

/** Throws UNSUPPORTED for what the settings turn off. */
function checkAllowed({ readOnly, deleteEnabled }: ApiSettings, { kind }: Target, method: string): void {
  if (method === "GET" || method === "HEAD") return;
  if (readOnly) throw new RegistryError("UNSUPPORTED", "the registry is read-only for now");
  if (method === "DELETE" && kind !== "upload" && !deleteEnabled) {
    throw new RegistryError("UNSUPPORTED", "deleting is not enabled here (storage.delete.enabled)");
  }
}

function accessTo(target: Target, method: string): Access[] {
  switch (target.kind) {
    case "root":
      return [];
    case "base":
      return [{ kind: "base" }];
    case "catalog":
      return [{ kind: "catalog" }];
    case "uploads":
    case "upload":
      return [{ kind: "repository", repository: target.name, actions: ["pull", "push"] }];
    case "blob":
    case "manifest":
    case "tags":
    case "referrers": {
      const actions =
        method === "DELETE"
          ? ["delete" as const]
          : method === "GET" || method === "HEAD"
            ? ["pull" as const]
            : ["pull" as const, "push" as const];
      return [{ kind: "repository", repository: target.name, actions }];
    }
  }
}

function headerReader(c: Context, host: HostBindings): (name: string) => string | undefined {
  const { headers } = host;
  if (headers === undefined) return (name) => c.req.raw.headers.get(name) ?? undefined;
  return (name) => {
    const value = headers[name];
    return typeof value === "object" ? value.join(", ") : value;
  };
}

/** The request's body. Where the client breaks it off, that is the client's doing and not a fault of ours. */
async function* bodyOf(
  c: Context,
  host: HostBindings,
  scope: Scope,
  uploads?: UploadAddresses,
): AsyncGenerator<Uint8Array> {
  const body = host.body ?? c.req.raw.body;
  if (body === null) return;
  const chunks = body[Symbol.asyncIterator]();
  const most = host.limits?.requestBytes ?? Infinity;
  for (;;) {
    let next: IteratorResult<Uint8Array>;
    try {
      next = await chunks.next();
    } catch (error) {
      if (error instanceof RegistryError) throw error;
      throw new RegistryError("BLOB_UPLOAD_INVALID", "the request's body broke off", { reason: String(error) });
    }
    if (next.done === true) return;
    scope.received += next.value.byteLength;
    if (scope.received > most) {
      throw new RegistryError("BODY_TOO_LARGE", bodyTooLarge(most, uploads));
    }
    yield next.value;
  }
}

/** Throws ANSWER_TOO_LARGE for what the host cannot carry. */
function checkSize({ body, headers }: Answer, limits: HostLimits | undefined): void {
  if (limits === undefined || body === null) return;
  const size =
    typeof body === "string"
      ? Buffer.byteLength(body)
      : body instanceof Uint8Array
        ? body.byteLength
        : Number(headers["Content-Length"]);
  if (size <= limits.answerBytes) return;
  if (body instanceof ReadableStream) void body.cancel();
  throw new RegistryError(
    "ANSWER_TOO_LARGE",
    `this address answers with at most ${limits.answerBytes} bytes; pull from the upload address, or ask the registry's operator for redirects`,
  );
}

function render(
  answer: Answer,
  withoutBody: boolean,
  settings: ApiSettings,
  report: (bytes: number) => void,
): Response {
  // Answers are made for one request each, so their headers can be added to. Copying them would cost more than all else here.
  const { headers } = answer;
  headers["Docker-Distribution-API-Version"] = "registry/2.0";
  for (const name in settings.headers) headers[name] = settings.headers[name] as string[];
  const { status } = answer;
  let { body } = answer;
  if (withoutBody && body !== null) {
    // A HEAD tells the length of what GET would send.
    if (typeof body === "string") headers["Content-Length"] ??= String(Buffer.byteLength(body));
    else if (!(body instanceof Uint8Array)) void body.cancel();
    body = null;
  }
  if (body instanceof ReadableStream)
    return new Response(observeBody(body, report), { status, headers: headers as Record<string, string> });
  report(body === null ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.byteLength);
  return new Response(body as string | Uint8Array<ArrayBuffer> | null, {
    status,
    headers: headers as Record<string, string>,
  });
}
