import { randomUUID } from "node:crypto";
import type { Digest } from "../../../shared/oci/digest.ts";
import { RegistryError } from "../../../shared/oci/error.ts";
import type { RepositoryName } from "../../../shared/oci/reference.ts";
import type { BlobStore } from "../../../shared/registry/blob-store.ts";
import type { ByteRange, StoredObject } from "../../../shared/storage/driver.ts";
import { empty, type Answer } from "../answer.ts";
import { checkPreconditions, contentRange, parseRanges } from "../conditional.ts";
import type { ApiRequest } from "../request.ts";

interface BlobTarget {
  readonly name: RepositoryName;
  readonly digest: Digest;
}

const OCTETS = "application/octet-stream";

/**
 * GET and HEAD of a blob, whole or in ranges (end-2). Where the client is to get it from the store, it is told so once the
 * blob is known to be here; it asks there with the headers that it sent, so ranges are the store's affair.
 */
export async function getBlob(request: ApiRequest, { name, digest }: BlobTarget): Promise<Answer> {
  const { blobs } = request.registry.repository(name);
  const etag = `"${digest}"`;
  const headers = {
    "Docker-Content-Digest": digest,
    ETag: etag,
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
  };
  const range = request.method === "HEAD" || !rangeApplies(request, etag) ? undefined : request.header("range");
  const precondition = checkPreconditions(request.header("if-match"), request.header("if-none-match"), etag);

  // Who may push goes on from a HEAD to push what names the blob: to them its answer is a promise.
  const isPromised = isPromise(request, name);

  if (precondition === "proceed" && isRedirected(request, blobs)) {
    const method = request.method === "HEAD" ? "HEAD" : "GET";
    const url = (await blobs.presign(digest, method, isPromised)) ?? unknown(digest);
    // The URL lets in whoever has it, and not for long: nobody else shall be given it.
    return empty(307, { Location: url, "Docker-Content-Digest": digest, "Cache-Control": "no-store" });
  }
  if (request.method === "GET" && range === undefined && precondition === "proceed") {
    const blob = (await blobs.get(digest)) ?? unknown(digest);
    return {
      status: 200,
      headers: { ...headers, "Content-Type": OCTETS, "Content-Length": String(blob.size) },
      body: blob.body,
    };
  }
  const { size } = (await (isPromised ? blobs.promise(digest) : blobs.head(digest))) ?? unknown(digest);
  if (precondition === "not-modified") return { status: 304, headers, body: null };
  if (precondition === "failed") return empty(412, headers);
  const ranges = parseRanges(range, size);
  if (ranges?.length === 0) return empty(416, { ...headers, "Content-Range": `bytes */${size}` });
  const [only] = ranges ?? [];
  if (ranges !== undefined && ranges.length > 1) return await severalRanges(blobs, digest, ranges, size, headers);
  if (only !== undefined) {
    const blob = (await blobs.get(digest, only)) ?? unknown(digest);
    const length = only.end - only.start + 1;
    return {
      status: 206,
      headers: {
        ...headers,
        "Content-Type": OCTETS,
        "Content-Length": String(length),
        "Content-Range": contentRange(only, size),
      },
      body: blob.body,
    };
  }
  const whole = { ...headers, "Content-Type": OCTETS, "Content-Length": String(size) };
  if (request.method === "HEAD") return { status: 200, headers: whole, body: null };
  return { status: 200, headers: whole, body: ((await blobs.get(digest)) ?? unknown(digest)).body };
}

/** DELETE of a blob: takes it out of the repository (end-10). */
export async function deleteBlob(request: ApiRequest, { name, digest }: BlobTarget): Promise<Answer> {
  if (!(await request.registry.repository(name).blobs.unlink(digest))) unknown(digest);
  return empty(202, { "Docker-Content-Digest": digest });
}

/** A registry that is read-only takes no push, and so promises nothing. */
function isPromise({ method, settings, authorizer, principal }: ApiRequest, repository: RepositoryName): boolean {
  if (method !== "HEAD" || settings.readOnly) return false;
  return authorizer.authorize(principal, [{ kind: "repository", repository, actions: ["pull", "push"] }]);
}

/** The store has an ETag of its own, and would answer 412 to If-Match with ours. */
function isRedirected(request: ApiRequest, blobs: BlobStore): boolean {
  const { redirects } = request.settings;
  if (redirects === undefined || !blobs.canPresign || request.header("if-match") !== undefined) return false;
  return (request.method === "GET" || redirects.head) && redirects.includes(request);
}

/** If-Range: the range is meant for these bytes only. */
function rangeApplies(request: ApiRequest, etag: string): boolean {
  const condition = request.header("if-range");
  return condition === undefined || condition.trim() === etag;
}

/** multipart/byteranges: each part is read from the store when its turn comes. */
async function severalRanges(
  blobs: BlobStore,
  digest: Digest,
  ranges: readonly ByteRange[],
  size: number,
  headers: Record<string, string>,
): Promise<Answer> {
  const boundary = randomUUID();
  const heads = ranges.map((range) =>
    Buffer.from(`\r\n--${boundary}\r\nContent-Type: ${OCTETS}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`),
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const length = ranges.reduce(
    (sum, { start, end }, i) => sum + (heads[i]?.length ?? 0) + end - start + 1,
    tail.length,
  );
  async function* parts(): AsyncGenerator<Uint8Array> {
    for (const [i, range] of ranges.entries()) {
      // Before the part is opened: a client that goes away here would leave it open.
      yield heads[i] as Uint8Array;
      const { body }: StoredObject = (await blobs.get(digest, range)) ?? unknown(digest);
      if (body instanceof Uint8Array) yield body;
      else yield* body;
    }
    yield tail;
  }
  return {
    status: 206,
    headers: {
      ...headers,
      "Content-Type": `multipart/byteranges; boundary=${boundary}`,
      "Content-Length": String(length),
    },
    body: ReadableStream.from<Uint8Array>(parts()),
  };
}

function unknown(digest: Digest): never {
  throw new RegistryError("BLOB_UNKNOWN", "this repository has no such blob", { digest });
}
