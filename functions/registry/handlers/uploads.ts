import { parseAlgorithm, parseDigest, type Digest } from "../../../shared/oci/digest.ts";
import { RegistryError } from "../../../shared/oci/error.ts";
import { repositoryNameFrom, type RepositoryName } from "../../../shared/oci/reference.ts";
import type { Chunk } from "../../../shared/registry/upload-store.ts";
import { empty, type Answer } from "../answer.ts";
import { hostlessUrlOf, urlOf, type ApiRequest } from "../request.ts";
import { signedSession } from "../upload-addresses.ts";

export interface UploadTarget {
  readonly name: RepositoryName;
  readonly id: string;
}

/** POST: mounts a blob, takes one whole, or starts a session (end-4a, 4b, 4c, end-11). */
export async function startUpload(request: ApiRequest, { name }: { name: RepositoryName }): Promise<Answer> {
  const { query, registry } = request;
  const repository = registry.repository(name);
  const mount = query.get("mount");
  if (mount !== null && mount !== "") {
    const digest = parseDigest(mount);
    if (await mountBlob(request, name, digest)) return created(request, name, digest);
  } else {
    const text = query.get("digest");
    if (text !== null) {
      const digest = parseDigest(text);
      await repository.uploads.put(digest, chunkOf(request));
      return created(request, name, digest);
    }
  }
  const algorithm = query.get("digest-algorithm");
  const id = await repository.uploads.start(algorithm === null ? undefined : parseAlgorithm(algorithm));
  return empty(202, sessionHeaders(request, { name, id }, 0));
}

/** PATCH: appends to a session (end-5). */
export async function appendUpload(request: ApiRequest, target: UploadTarget): Promise<Answer> {
  const { uploads } = request.registry.repository(target.name);
  const size = await uploads.append(target.id, chunkOf(request));
  return empty(202, sessionHeaders(request, target, size));
}

/**
 * PUT: the session's bytes, and those of the body if it has any, become a blob (end-6). It goes on when the client no
 * longer waits; the same PUT sent again waits for it.
 */
export async function commitUpload(request: ApiRequest, target: UploadTarget): Promise<Answer> {
  const text = request.query.get("digest");
  if (text === null) throw new RegistryError("DIGEST_INVALID", "the last PUT of an upload has a digest parameter");
  const digest = parseDigest(text);
  const { uploads } = request.registry.repository(target.name);
  const last = hasBody(request) ? chunkOf(request) : undefined;
  const key = `${target.name} ${target.id} ${digest}`;
  await request.commits.run(key, last, async (chunk) => await uploads.commit(target.id, digest, chunk));
  return created(request, target.name, digest);
}

/** GET: how far a session has come (end-13). */
export async function getUpload(request: ApiRequest, target: UploadTarget): Promise<Answer> {
  const size = await request.registry.repository(target.name).uploads.size(target.id);
  return empty(204, sessionHeaders(request, target, size));
}

/** DELETE: ends a session without a blob (end-14). */
export async function cancelUpload(request: ApiRequest, { name, id }: UploadTarget): Promise<Answer> {
  await request.registry.repository(name).uploads.cancel(id);
  return empty(204);
}

/** What a client needs to go on with a session. The last byte's position cannot say "none", so an empty one is 0-0 too. */
export function sessionHeaders(request: ApiRequest, { name, id }: UploadTarget, size: number): Record<string, string> {
  return {
    Location: sessionUrl(request, { name, id }),
    Range: `0-${Math.max(0, size - 1)}`,
    "Docker-Upload-UUID": id,
  };
}

/**
 * Where a session goes on. A signed address leads to another one; a client that starts a session and is known to follow a
 * Location to another host is given its first; all others stay at the host that they came to.
 */
function sessionUrl(request: ApiRequest, { name, id }: UploadTarget): string {
  const { uploads, prefix } = request.settings;
  const folder = `v2/${name}/blobs/uploads/`;
  const sent = request.method === "POST" && uploads?.follows(request.header("user-agent") ?? "") === true;
  if (uploads === undefined || !(request.signed || (sent && uploads.host !== undefined))) {
    return urlOf(request, folder + id);
  }
  const signed = folder + signedSession(uploads, name, id, request.principal);
  return uploads.host === undefined ? hostlessUrlOf(request, signed) : `${uploads.host}${prefix}${signed}`;
}

/** Mounts from the repository that the client names, or from anywhere for a client that may pull everywhere. */
async function mountBlob(
  { query, registry, authorizer, principal }: ApiRequest,
  name: RepositoryName,
  digest: Digest,
): Promise<boolean> {
  const { blobs } = registry.repository(name);
  const from = query.get("from");
  if (from === null || from === "") {
    return authorizer.mayPullEverywhere(principal) && (await blobs.mount(digest, undefined));
  }
  const source = repositoryNameFrom(from);
  if (
    source === undefined ||
    !authorizer.authorize(principal, [{ kind: "repository", repository: source, actions: ["pull"] }])
  )
    return false;
  return await blobs.mount(digest, registry.repository(source).blobs);
}

function created(request: ApiRequest, name: RepositoryName, digest: Digest): Answer {
  return empty(201, { Location: urlOf(request, `v2/${name}/blobs/${digest}`), "Docker-Content-Digest": digest });
}

function hasBody(request: ApiRequest): boolean {
  const length = request.header("content-length");
  return length === undefined ? request.header("transfer-encoding") !== undefined : length !== "0";
}

/** The body, with the range that Content-Range announces: `first-last`, without a unit, as the specification has it. */
function chunkOf(request: ApiRequest): Chunk {
  const header = request.header("content-range");
  const announced = request.header("content-length");
  const length = announced === undefined ? {} : { length: Number(announced) };
  if (header === undefined) return { body: request.body(), ...length };
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header.trim());
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || end < start) {
    throw new RegistryError(
      "BLOB_UPLOAD_INVALID",
      "Content-Range is the position of the first and the last byte, as in 0-1023",
    );
  }
  if (announced !== undefined && Number(announced) !== end - start + 1) {
    throw new RegistryError(
      "SIZE_INVALID",
      `Content-Range announces ${end - start + 1} bytes, Content-Length ${Number(announced)}`,
    );
  }
  return { body: request.body(), ...length, range: { start, end } };
}
