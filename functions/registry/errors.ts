/** From what went wrong to what the client is told. The only place that chooses a status for an error. */
import { TooManyAttemptsError, UnauthorizedError } from "../../shared/auth/authenticator.ts";
import { MethodNotAllowedError, RangeMismatchError, RegistryError, type ErrorCode } from "../../shared/oci/error.ts";
import { OverloadedError, StorageFullError } from "../../shared/storage/driver.ts";
import type { Answer } from "./answer.ts";

/** Status of each code, and the code that is sent where ours is finer than what clients know. */
const TABLE: Readonly<Record<ErrorCode, { readonly status: number; readonly code?: string }>> = {
  BLOB_UNKNOWN: { status: 404 },
  BLOB_UPLOAD_INVALID: { status: 400 },
  BLOB_UPLOAD_UNKNOWN: { status: 404 },
  DIGEST_INVALID: { status: 400 },
  MANIFEST_BLOB_UNKNOWN: { status: 404 },
  MANIFEST_INVALID: { status: 400 },
  MANIFEST_UNKNOWN: { status: 404 },
  NAME_INVALID: { status: 400 },
  NAME_UNKNOWN: { status: 404 },
  SIZE_INVALID: { status: 400 },
  UNAUTHORIZED: { status: 401 },
  DENIED: { status: 403 },
  UNSUPPORTED: { status: 405 },
  TOOMANYREQUESTS: { status: 429 },
  TAG_INVALID: { status: 400 },
  RANGE_INVALID: { status: 416, code: "BLOB_UPLOAD_INVALID" },
  MANIFEST_TOO_LARGE: { status: 413, code: "MANIFEST_INVALID" },
  BODY_TOO_LARGE: { status: 413, code: "SIZE_INVALID" },
  ANSWER_TOO_LARGE: { status: 501, code: "UNSUPPORTED" },
  PAGINATION_NUMBER_INVALID: { status: 400 },
  METHOD_NOT_ALLOWED: { status: 405, code: "UNSUPPORTED" },
  NOT_FOUND: { status: 404, code: "UNSUPPORTED" },
  URI_TOO_LONG: { status: 414, code: "UNSUPPORTED" },
  STORAGE_FULL: { status: 507, code: "UNKNOWN" },
  UNAVAILABLE: { status: 503 },
  UNKNOWN: { status: 500 },
};

/** The answer to a failure, and whether it is our fault and belongs in the log with all it says. */
export function renderError(error: unknown, requestId: string): { answer: Answer; fault: boolean } {
  const known = asRegistryError(error);
  if (known === undefined) {
    const message = `the registry failed; its log has more under request ${requestId}`;
    return { answer: render(new RegistryError("UNKNOWN", message, { request: requestId })), fault: true };
  }
  const answer = render(known);
  if (error instanceof UnauthorizedError) answer.headers["WWW-Authenticate"] = error.challenge;
  if (error instanceof OverloadedError || error instanceof TooManyAttemptsError) {
    answer.headers["Retry-After"] = String(error.retryAfterSeconds);
  }
  if (error instanceof MethodNotAllowedError) answer.headers["Allow"] = error.allowed.join(", ");
  if (error instanceof RangeMismatchError) answer.headers["Range"] = `0-${Math.max(0, error.size - 1)}`;
  return { answer, fault: error instanceof StorageFullError || known.code === "ANSWER_TOO_LARGE" };
}

function asRegistryError(error: unknown): RegistryError | undefined {
  if (error instanceof RegistryError) return error;
  if (error instanceof UnauthorizedError) return new RegistryError("UNAUTHORIZED", error.message);
  if (error instanceof TooManyAttemptsError) return new RegistryError("TOOMANYREQUESTS", error.message);
  if (error instanceof OverloadedError) return new RegistryError("TOOMANYREQUESTS", error.message);
  if (error instanceof StorageFullError) return new RegistryError("STORAGE_FULL", error.message);
  return undefined;
}

function render({ code, message, detail }: RegistryError): Answer {
  const row = TABLE[code];
  const body = JSON.stringify({
    errors: [{ code: row.code ?? code, message, ...(detail === undefined ? {} : { detail }) }],
  });
  return { status: row.status, headers: { "Content-Type": "application/json" }, body };
}
