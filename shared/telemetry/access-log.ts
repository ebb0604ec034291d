import type { Logger } from "./logger.ts";

/** One answered request, in plain values. */
export interface AccessEntry {
  readonly method: string;
  /** Path and query, as received. */
  readonly uri: string;
  /** The `Host` the client named. */
  readonly host?: string | undefined;
  readonly status: number;
  /** Bytes of the answer's body that were sent. */
  readonly bytes: number;
  /** From the first look at the request to the end of the answer, in milliseconds. */
  readonly durationMs: number;
  readonly remoteAddress?: string | undefined;
  readonly userAgent?: string | undefined;
  /** Undefined for an anonymous request. */
  readonly user?: string | undefined;
  readonly requestId: string;
  /** `HTTP/1.1` and the like. */
  readonly proto?: string | undefined;
}

/** Writes one line for a request at level info, with the field names people who run a registry already search for. */
export function logAccess(logger: Logger, entry: AccessEntry): void {
  logger.info("response completed", {
    "http.request.id": entry.requestId,
    "http.request.method": entry.method,
    "http.request.uri": entry.uri,
    "http.request.proto": entry.proto,
    "http.request.host": entry.host,
    "http.request.remoteaddr": entry.remoteAddress,
    "http.request.useragent": entry.userAgent,
    "auth.user.name": entry.user,
    "http.response.status": entry.status,
    "http.response.written": entry.bytes,
    "http.response.duration": formatDuration(entry.durationMs),
  });
}

/** Milliseconds to the microsecond, with the unit: `1.234ms`. */
export function formatDuration(milliseconds: number): string {
  return `${Math.round(milliseconds * 1000) / 1000}ms`;
}
