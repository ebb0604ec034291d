import { validateHeaderName, validateHeaderValue } from "node:http";
import type * as z from "zod";
import type { HttpConfig, TcpAddress } from "./config.ts";
import type { Report } from "./report.ts";
import { tls } from "./tls.ts";
import { readUploads, uploads } from "./uploads.ts";
import {
  byName,
  choice,
  duration,
  flag,
  httpUrl,
  longestTimerMs,
  noEffect,
  parsed,
  property,
  refused,
  section,
  setting,
  tcpAddress,
  text,
  texts,
} from "./values.ts";

const headerValues = texts("a list of texts, such as [nosniff]");

/** Names of headers, whose case means nothing, with the values to send. */
export const headers = byName(headerValues)
  .superRefine((input, context) => {
    const seen = new Set<string>();
    for (const [name, values] of Object.entries(input)) {
      const wrong = seen.has(name.toLowerCase()) ? "this header is given twice" : wrongHeader(name, values);
      if (wrong !== undefined)
        context.addIssue({ code: "custom", message: wrong, params: { refused: true }, path: [name] });
      seen.add(name.toLowerCase());
    }
  })
  .nullish();

function wrongHeader(name: string, values: readonly string[]): string | undefined {
  try {
    validateHeaderName(name);
    for (const value of values) validateHeaderValue(name, value);
    return undefined;
  } catch {
    return "is not a header that HTTP can carry";
  }
}

const addressForm = "host:port, such as :5000 or 127.0.0.1:5000 or [::1]:5000";

/** With slashes at both ends, whichever of them are written. */
const prefix = parsed("a path such as /registry/", (input) => {
  const names = input.split("/").filter((name) => name !== "");
  const plain = names.every((name) => /^[A-Za-z0-9._~-]+$/.test(name) && !/^\.{1,2}$/.test(name));
  return plain ? `/${names.map((name) => `${name}/`).join("")}` : undefined;
});

export const debug = section({
  addr: setting(tcpAddress(addressForm)),
  prometheus: section({
    enabled: setting(flag()),
    path: setting(parsed("a path such as /metrics", (input) => (/^\/[^?#\s]*$/.test(input) ? input : undefined))),
  }),
});

export const http = section({
  // A path of a socket with net: unix, so its form is checked in readListen.
  addr: setting(text(addressForm)),
  net: setting(choice("tcp", "unix")),
  host: setting(httpUrl("an absolute URL of http or https with no user, query or fragment", { query: false })),
  prefix: setting(prefix),
  secret: setting(text("a text")),
  uploads,
  relativeurls: noEffect(
    setting(flag()),
    "a Location is always relative unless http.host is set, and every client resolves it",
    (value) => value !== false && value !== "false",
  ),
  draintimeout: setting(duration({ most: longestTimerMs })),
  tls,
  headers,
  debug,
  http2: noEffect(
    section({ disabled: setting(flag()) }),
    "only HTTP/1.1 is served; a reverse proxy in front can speak HTTP/2",
    (value) => property(value, "disabled") === true,
  ),
  h2c: refused(
    "HTTP/2 without TLS is not served; set http.h2c.enabled to false and let the proxy in front speak HTTP/1.1",
    (value) => property(value, "enabled") !== true,
  ),
});

const defaultAddress: TcpAddress = { kind: "tcp", host: "127.0.0.1", port: 5000 };
const defaultMetricsPath = "/metrics";

type Input = z.infer<typeof http>;

/** All but `http.tls`, which is read on its own. */
export function readHttp(input: Input, withFile: boolean, report: Report): Omit<HttpConfig, "tls"> {
  const debugConfig = readDebug(input?.debug, report);
  const uploadsConfig = readUploads(input?.uploads, { secret: input?.secret, baseUrl: input?.host }, report);
  return {
    listen: readListen(input, withFile, report),
    prefix: input?.prefix ?? "/",
    ...(input?.host ? { baseUrl: input.host.href.replace(/\/+$/, "") } : {}),
    drainTimeoutMs: input?.draintimeout ?? 0,
    headers: input?.headers ?? {},
    ...(uploadsConfig ? { uploads: uploadsConfig } : {}),
    ...(debugConfig ? { debug: debugConfig } : {}),
  };
}

const address = tcpAddress(addressForm);

function readListen(input: Input, withFile: boolean, report: Report): HttpConfig["listen"] {
  const path = ["http", "addr"];
  const given = input?.addr;
  if (input?.net === "unix") {
    if (given) return { kind: "unix", path: given };
    report.wrongValue(path, "the path of a socket, as http.net is unix", given);
    return defaultAddress;
  }
  if (!given) {
    if (withFile) report.notice(path, "is not set, so only this machine can reach the registry, at 127.0.0.1:5000");
    return defaultAddress;
  }
  const result = address.safeParse(given);
  if (result.success) return result.data;
  report.wrongValue(path, addressForm, given);
  return defaultAddress;
}

function readDebug(input: z.infer<typeof debug>, report: Report): HttpConfig["debug"] {
  const metrics = input?.prometheus?.enabled ?? false;
  if (!input?.addr) {
    if (metrics) report.noEffect(["http", "debug", "prometheus"], "http.debug.addr, where it would listen, is not set");
    return undefined;
  }
  return {
    listen: input.addr,
    ...(metrics ? { prometheus: { path: input.prometheus?.path ?? defaultMetricsPath } } : {}),
  };
}
