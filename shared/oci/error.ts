/**
 * What can be wrong, in the registry's own terms. The HTTP status is not chosen here but in one table of the HTTP app.
 */

/**
 * Error codes of the specification (the first fourteen), and of the Docker API where it has none that fits.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
 */
export type ErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "TAG_INVALID"
  | "RANGE_INVALID"
  | "MANIFEST_TOO_LARGE"
  | "BODY_TOO_LARGE"
  | "ANSWER_TOO_LARGE"
  | "PAGINATION_NUMBER_INVALID"
  | "METHOD_NOT_ALLOWED"
  | "NOT_FOUND"
  | "URI_TOO_LONG"
  | "STORAGE_FULL"
  | "UNAVAILABLE"
  | "UNKNOWN";

/** A failure that the client is told of: `message` says what is wrong and what to do, and never holds a secret or a path. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly code: ErrorCode;
  readonly detail: unknown;

  constructor(code: ErrorCode, message: string, detail?: unknown) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

/** An append that does not begin where the upload session ends. Carries the session's size, from which the client goes on. */
export class RangeMismatchError extends RegistryError {
  /** Bytes that the session holds. */
  readonly size: number;

  constructor(size: number) {
    super("RANGE_INVALID", `the upload session holds ${size} bytes; go on from there`, { offset: size });
    this.size = size;
  }
}

/** A method that what was addressed does not have. */
export class MethodNotAllowedError extends RegistryError {
  /** Those that it has. */
  readonly allowed: readonly string[];

  constructor(method: string, allowed: readonly string[]) {
    super("METHOD_NOT_ALLOWED", `${method} is not possible here; ${allowed.join(", ")} are`);
    this.allowed = allowed;
  }
}
