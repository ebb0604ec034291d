/** What the errors of S3 mean. */
import { S3ServiceException } from "@aws-sdk/client-s3";
import { OverloadedError, StorageFullError } from "../driver.ts";

/** S3's name for a conditional write that was not done since another one was under way: it may be tried again. */
export const CONFLICT = "ConditionalRequestConflict";

/**
 * versitygw's names for a write beside which the folder of another key, the last in it, is being removed: it may be tried
 * again. Where a key is to be the folder of another they are the same.
 */
export const FOLDER_GOES: ReadonlySet<string> = new Set(["ObjectParentIsFile", "ExistingObjectIsDirectory"]);

/** S3's name for an error; undefined where it is none of S3's. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof S3ServiceException ? error.name : undefined;
}

/** How often a call was tried before it ended in this error. */
export function attemptsOf(error: unknown): number {
  return error instanceof S3ServiceException ? (error.$metadata.attempts ?? 1) : 1;
}

/** Ceph's word for a conditional write that another one overtook is a 500 that it has no name for. */
export function conflictOf(error: unknown): unknown {
  if (error instanceof S3ServiceException && error.name === "UnknownError" && "Code" in error) {
    error.name = CONFLICT;
    error.$metadata.httpStatusCode = 409;
  }
  return error;
}

const FULL = new Set(["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"]);
const THROTTLED = new Set(["SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "TooManyRequests"]);
const BROKEN = new Set([
  ...["TimeoutError", "AbortError", "ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT"],
  ...["EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN"],
  // Of one key of several, in an answer of 200.
  ...["InternalError", "ServiceUnavailable"],
]);

const SEEING = "s3:GetObject, and to s3:ListBucket where something may be missing";
const COPYING = "s3:PutObject, and to s3:GetObject of what is copied";

/**
 * Which rights a call takes: the store's own word is often no more than that it is denied.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
 */
const RIGHTS: Readonly<Record<string, string>> = {
  GetObject: SEEING,
  HeadObject: SEEING,
  PutObject: "s3:PutObject, and to s3:GetObject where it has a condition",
  CopyObject: COPYING,
  CreateMultipartUpload: "s3:PutObject",
  UploadPart: "s3:PutObject",
  UploadPartCopy: COPYING,
  CompleteMultipartUpload: "s3:PutObject",
  AbortMultipartUpload: "s3:AbortMultipartUpload",
  DeleteObject: "s3:DeleteObject",
  DeleteObjects: "s3:DeleteObject",
  DeleteObjectVersion: "s3:DeleteObjectVersion",
  ListObjectsV2: "s3:ListBucket",
  ListObjectVersions: "s3:ListBucketVersions",
  ListMultipartUploads: "s3:ListBucketMultipartUploads",
  GetBucketVersioning: "s3:GetBucketVersioning",
};

/**
 * What a failure means to the registry, with S3's own words as its cause. `operation` is S3's name of the call; where a
 * version is deleted, DeleteObjectVersion.
 */
export function faultOf(operation: string, key: string, error: unknown): Error {
  if (!(error instanceof Error)) return new Error(`S3 ${operation} ${key}: ${String(error)}`);
  const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
  const right = error.name === "AccessDenied" ? RIGHTS[operation] : undefined;
  const needed = right === undefined ? "" : ` (it takes the right to ${right})`;
  const text = `S3 ${operation} ${key}: ${error.name}: ${error.message}${needed}`;
  if (FULL.has(error.name) || status === 507) return new StorageFullError(text, { cause: error });
  const code = "code" in error ? String(error.code) : "";
  const passes = (name: string): boolean => THROTTLED.has(name) || BROKEN.has(name) || FOLDER_GOES.has(name);
  if (status >= 500 || status === 429 || [error.name, code].some(passes)) {
    return new OverloadedError(text, 5, { cause: error });
  }
  return new Error(text, { cause: error });
}

/** A signed request came too late. */
export class ExpiredError extends Error {
  override readonly name = "ExpiredError";
  constructor(cause: unknown) {
    super("the signed request has expired", { cause });
  }
}
