import type * as z from "zod";
import type { HealthConfig } from "./config.ts";
import { headers } from "./http.ts";
import {
  count,
  duration,
  flag,
  httpUrl,
  listOf,
  longestTimerMs,
  map,
  section,
  setting,
  tcpAddress,
  text,
} from "./values.ts";

const timer = () => setting(duration({ most: longestTimerMs }));
const check = { interval: timer(), threshold: setting(count(0)) };

export const health = section({
  storagedriver: section({ enabled: setting(flag()), ...check }),
  file: listOf(map({ file: text("the path of a file"), ...check })),
  http: listOf(
    map({
      uri: httpUrl("an absolute URL of http or https with no user or fragment", { query: true }),
      headers,
      statuscode: setting(count(100, 599)),
      timeout: timer(),
      ...check,
    }),
  ),
  tcp: listOf(map({ addr: tcpAddress("host:port"), timeout: timer(), ...check })),
});

const defaultIntervalMs = 10_000;
/** Distribution waits for ever where no timeout is set. */
const defaultTimeoutMs = 5_000;

/** 0 asks for the default, as in distribution. */
function checkOf(input: { interval: number | null | undefined; threshold: number | null | undefined } | undefined) {
  return { intervalMs: input?.interval || defaultIntervalMs, threshold: input?.threshold || 1 };
}

export function readHealth(input: z.infer<typeof health>): HealthConfig {
  return {
    storage: { enabled: input?.storagedriver?.enabled ?? false, ...checkOf(input?.storagedriver ?? undefined) },
    file: (input?.file ?? []).map((entry) => ({ file: entry.file, ...checkOf(entry) })),
    http: (input?.http ?? []).map((entry) => ({
      uri: entry.uri.href,
      headers: entry.headers ?? {},
      statusCode: entry.statuscode ?? 200,
      timeoutMs: entry.timeout || defaultTimeoutMs,
      ...checkOf(entry),
    })),
    tcp: (input?.tcp ?? []).map(({ addr, timeout, ...entry }) => ({
      host: addr.host || "127.0.0.1",
      port: addr.port,
      timeoutMs: timeout || defaultTimeoutMs,
      ...checkOf(entry),
    })),
  };
}
