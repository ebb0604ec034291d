/** Everything that can be wrong with a deployment and that `lading doctor` is to find, each with the check that finds it. */
import type { GatewayQuirks } from "../cloud/api-gateway.ts";
import type { Passing, Returning, Spoil } from "./faulty.ts";

export interface Fault {
  readonly what: string;
  readonly at: "api" | "uploads" | "store";
  /** The check that has to notice, and what it says. */
  readonly check: string;
  readonly level: "note" | "fail";
  readonly says: RegExp;
  readonly spoil?: Spoil;
  readonly quirks?: Partial<GatewayQuirks>;
}

const own = (status: number, text = ""): Returning => ({
  status,
  headers: { date: new Date().toUTCString() },
  body: Buffer.from(text),
});
/** Spoils the answer to requests that fit. */
const answers = (method: string, path: RegExp, change: (answer: Returning) => void): Spoil => ({
  answer: (answer, passing) => {
    if (passing.method === method && path.test(passing.url)) change(answer);
  },
});
/** Answers requests that fit instead of the server. */
const refuses = (when: (passing: Passing) => boolean, answer: () => Returning | "cut"): Spoil => ({
  request: (passing) => (when(passing) ? answer() : undefined),
});
const header =
  (name: string, value?: string) =>
  (answer: Returning): void => {
    answer.headers[name] = value;
  };

const without =
  (name: string) =>
  (passing: Passing): undefined => {
    passing.headers[name] = undefined;
  };

const challenged = answers("GET", /^\/v2\/$/, header("www-authenticate"));
const MANIFEST = /\/manifests\//;
const BLOB = /\/blobs\/sha256:/;

export const FAULTS: readonly Fault[] = [
  ...(["api", "uploads"] as const).flatMap((at): Fault[] => [
    { what: "the challenge is removed", at, check: "challenge", level: "fail", says: /without/, spoil: challenged },
    {
      what: "the version header is removed",
      at,
      check: "headers",
      level: "fail",
      says: /missing/,
      spoil: answers("GET", /^\/v2\/$/, header("docker-distribution-api-version")),
    },
    {
      what: "the clock is an hour off",
      at,
      check: "clock",
      level: "fail",
      says: /3[56]\d\d s apart/,
      spoil: { answer: (answer) => header("date", new Date(Date.now() + 3_600_000).toUTCString())(answer) },
    },
    {
      what: "headers of 5 KB are refused",
      at,
      check: "large-headers",
      level: "fail",
      says: /431/,
      spoil: refuses(
        ({ headers }) => (headers["x-doctor"] ?? "").length > 5_000,
        () => own(431),
      ),
    },
    {
      what: "two requests are taken at once",
      at,
      check: "concurrency",
      level: "fail",
      says: /503/,
      spoil: refuses(
        ({ atOnce }) => atOnce > 2,
        () => own(503),
      ),
    },
    {
      what: "credentials are removed",
      at,
      check: "sign-in",
      level: "fail",
      says: /401/,
      spoil: { request: without("authorization") },
    },
    {
      what: "the registry cannot start",
      at,
      check: "challenge",
      level: "fail",
      says: /503/,
      spoil: refuses(
        () => true,
        () => own(503),
      ),
    },
    {
      what: "a body that is not wanted is cut",
      at,
      check: "early-answer",
      level: "fail",
      says: /cuts/,
      spoil: refuses(
        ({ url, method }) => method === "PUT" && url.includes("00000000-0000-8000"),
        () => "cut",
      ),
    },
    {
      what: "Expect is refused",
      at,
      check: "expect",
      level: "fail",
      says: /417/,
      spoil: refuses(
        ({ headers }) => headers["expect"] !== undefined,
        () => own(417),
      ),
    },
    {
      what: "line ends of manifests are changed",
      at,
      check: "manifest-bytes",
      level: "fail",
      says: /other bytes/,
      spoil: answers("GET", MANIFEST, (answer) => {
        answer.body = Buffer.from(answer.body.toString().replaceAll("\r\n", "\n"));
        delete answer.headers["content-length"];
      }),
    },
    {
      what: "the type of manifests is changed",
      at,
      check: "manifest-bytes",
      level: "fail",
      says: /text\/plain/,
      spoil: answers("GET", MANIFEST, header("content-type", "text/plain")),
    },
    {
      what: "HEAD of a manifest has no length",
      at,
      check: "manifest-head",
      level: "fail",
      says: /Content-Length 0/,
      spoil: answers("HEAD", MANIFEST, header("content-length", "0")),
    },
    {
      what: "answers of more than 1 MB are refused",
      at,
      check: "large-manifest",
      level: "fail",
      says: /500/,
      spoil: {
        answer: (answer) => {
          if (answer.body.length > 1_000_000) Object.assign(answer, own(500));
        },
      },
    },
    {
      what: "redirects lose their Location",
      at,
      check: "download",
      level: "fail",
      says: /without its Location/,
      spoil: answers("GET", BLOB, header("location")),
    },
    {
      what: "what is signed is changed",
      at,
      check: "download",
      level: "fail",
      says: /403/,
      spoil: answers("GET", BLOB, (answer) => {
        answer.headers["location"] = String(answer.headers["location"]).replace(/Signature=../, "Signature=00");
      }),
    },
  ]),
  {
    what: "redirects for HEAD are signed for GET",
    at: "api",
    check: "blob-head",
    level: "fail",
    says: /403/,
    spoil: answers("HEAD", BLOB, (answer) => {
      answer.headers["location"] = String(answer.headers["location"]).replace(/Signature=../, "Signature=00");
    }),
  },
  {
    what: "the challenge is renamed",
    at: "api",
    check: "challenge",
    level: "fail",
    says: /remapped/,
    quirks: { remapsChallenge: true },
  },
  {
    what: "HEAD has the length 0",
    at: "api",
    check: "manifest-head",
    level: "fail",
    says: /Content-Length 0/,
    quirks: { headLength: "zero" },
  },
  {
    what: "paths are decoded twice",
    at: "api",
    check: "paths",
    level: "note",
    says: /twice/,
    quirks: { decodings: 2 },
  },
  {
    what: "paths are cut at a question mark",
    at: "api",
    check: "paths",
    level: "note",
    says: /cut off/,
    quirks: { cutsAtQuestionMark: true },
  },
  {
    what: "queries are dropped",
    at: "api",
    check: "paths",
    level: "fail",
    says: /doctor-2/,
    spoil: {
      request: (passing) => {
        if (passing.url.includes("/tags/list")) passing.url = passing.url.replace(/\?.*/, "");
      },
    },
  },
  {
    what: "everything is throttled",
    at: "api",
    check: "challenge",
    level: "fail",
    says: /429/,
    quirks: { throttledWith: 429 },
  },
  {
    what: "bodies above 2 MB are refused",
    at: "api",
    check: "bodies",
    level: "fail",
    says: /4 MB: 413/,
    spoil: refuses(
      ({ method, body }) => method === "PUT" && body.length > 3_900_000 && body.length < 4_000_001,
      () => own(413),
    ),
  },
  {
    what: "large bodies are answered 502",
    at: "api",
    check: "bodies",
    level: "fail",
    says: /8 MB: 502/,
    spoil: refuses(
      ({ body }) => body.length > 7_000_000,
      () => own(502),
    ),
  },
  {
    what: "bodies above 5 MB are refused",
    at: "uploads",
    check: "bodies",
    level: "fail",
    says: /8 MB: 413/,
    spoil: refuses(
      ({ body }) => body.length > 5_000_000,
      () => own(413),
    ),
  },
  {
    what: "everybody is sent to another host",
    at: "api",
    check: "same-host-push",
    level: "fail",
    says: /refuses to/,
    spoil: {
      request: (passing) => {
        if (passing.method === "POST") passing.headers["user-agent"] = "docker/29.0.0";
      },
    },
  },
  {
    what: "no upload can be begun",
    at: "api",
    check: "same-host-push",
    level: "fail",
    says: /403/,
    spoil: refuses(
      ({ method }) => method === "POST",
      () => own(403),
    ),
  },
  {
    what: "the functions have different secrets",
    at: "uploads",
    check: "cross-host-push",
    level: "fail",
    says: /404/,
    spoil: {
      request: (passing) => {
        passing.url = passing.url.replace(/(uploads\/[^.]+\.)..../, "$1AAAA");
      },
    },
  },
  {
    what: "the functions have different buckets",
    at: "uploads",
    check: "cross-host-push",
    level: "fail",
    says: /is 404 at the registry/,
    spoil: refuses(
      ({ method, body }) => method === "PUT" && body.length === 0,
      () => own(201),
    ),
  },
  {
    what: "ranges are ignored",
    at: "store",
    check: "ranges",
    level: "fail",
    says: /200/,
    spoil: {
      request: (passing) => {
        if (passing.url.includes("Signature=")) passing.headers["range"] = undefined;
      },
    },
  },
  {
    what: "downloads are refused",
    at: "store",
    check: "download",
    level: "fail",
    says: /403/,
    spoil: refuses(
      ({ method, url }) => method === "GET" && url.includes("Signature="),
      () => own(403),
    ),
  },
  {
    what: "HEAD has no length",
    at: "store",
    check: "blob-head",
    level: "fail",
    says: /Content-Length 0/,
    spoil: answers("HEAD", /Signature=/, header("content-length", "0")),
  },
];
