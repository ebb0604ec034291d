/** Which call of S3's API a request is. */
import type { IncomingHttpHeaders } from "node:http";

export type S3Operation =
  | "AbortMultipartUpload"
  | "CompleteMultipartUpload"
  | "CopyObject"
  | "CreateBucket"
  | "CreateMultipartUpload"
  | "DeleteBucket"
  | "DeleteObject"
  | "DeleteObjects"
  | "GetBucketLocation"
  | "GetBucketVersioning"
  | "GetObject"
  | "HeadBucket"
  | "HeadObject"
  | "ListBuckets"
  | "ListMultipartUploads"
  | "ListObjectVersions"
  | "ListObjects"
  | "ListObjectsV2"
  | "ListParts"
  | "PutBucketVersioning"
  | "PutObject"
  | "UploadPart"
  | "UploadPartCopy"
  | "Unknown";

/** The call, told from method, path (`/bucket/key`), query and headers. The key is decoded. */
export function operationOf(
  method: string,
  url: string,
  headers: IncomingHttpHeaders,
): { operation: S3Operation; bucket: string; key: string | undefined } {
  const [path = "", query = ""] = url.split("?", 2);
  const [, bucket = "", ...rest] = path.split("/");
  const key = rest.join("/") === "" ? undefined : decodeURIComponent(rest.join("/"));
  const has = (name: string): boolean => new URLSearchParams(query).has(name);
  const copies = headers["x-amz-copy-source"] !== undefined;
  const operation = key === undefined ? aboutBucket(method, bucket, has) : aboutObject(method, copies, has);
  return { operation, bucket, key };
}

function aboutObject(method: string, copies: boolean, has: (name: string) => boolean): S3Operation {
  const part = has("uploadId");
  switch (method) {
    case "GET":
      return part ? "ListParts" : "GetObject";
    case "HEAD":
      return "HeadObject";
    case "PUT":
      if (part) return copies ? "UploadPartCopy" : "UploadPart";
      return copies ? "CopyObject" : "PutObject";
    case "POST":
      if (has("uploads")) return "CreateMultipartUpload";
      return part ? "CompleteMultipartUpload" : "Unknown";
    case "DELETE":
      return part ? "AbortMultipartUpload" : "DeleteObject";
    default:
      return "Unknown";
  }
}

function aboutBucket(method: string, bucket: string, has: (name: string) => boolean): S3Operation {
  if (bucket === "") return method === "GET" ? "ListBuckets" : "Unknown";
  switch (method) {
    case "GET":
      if (has("uploads")) return "ListMultipartUploads";
      if (has("versions")) return "ListObjectVersions";
      if (has("versioning")) return "GetBucketVersioning";
      if (has("location")) return "GetBucketLocation";
      return has("list-type") ? "ListObjectsV2" : "ListObjects";
    case "HEAD":
      return "HeadBucket";
    case "PUT":
      return has("versioning") ? "PutBucketVersioning" : "CreateBucket";
    case "POST":
      return has("delete") ? "DeleteObjects" : "Unknown";
    case "DELETE":
      return "DeleteBucket";
    default:
      return "Unknown";
  }
}
