import { RegistryError } from "../../../shared/oci/error.ts";
import { limits } from "../../../shared/oci/limits.ts";
import { parseTag, type Reference, type RepositoryName, type Tag } from "../../../shared/oci/reference.ts";
import { empty, type Answer } from "../answer.ts";
import { checkPreconditions } from "../conditional.ts";
import { readManifestBody, urlOf, type ApiRequest } from "../request.ts";

interface ManifestTarget {
  readonly name: RepositoryName;
  readonly reference: Reference;
}

/** GET and HEAD of a manifest, byte for byte as it was pushed (end-3). */
export async function getManifest(request: ApiRequest, { name, reference }: ManifestTarget): Promise<Answer> {
  const manifest = (await request.registry.repository(name).manifests.get(reference)) ?? unknown(reference);
  const etag = `"${manifest.digest}"`;
  const headers = { "Docker-Content-Digest": manifest.digest, ETag: etag };
  await request.registry.pulled(name, manifest.digest);
  const precondition = checkPreconditions(request.header("if-match"), request.header("if-none-match"), etag);
  if (precondition === "not-modified") return { status: 304, headers, body: null };
  if (precondition === "failed") return empty(412, headers);
  return {
    status: 200,
    headers: { ...headers, "Content-Type": manifest.mediaType, "Content-Length": String(manifest.bytes.byteLength) },
    body: manifest.bytes,
  };
}

/** PUT of a manifest under a tag, or under its digest with any number of tags (end-7a, 7b). */
export async function putManifest(request: ApiRequest, { name, reference }: ManifestTarget): Promise<Answer> {
  const tags = tagsOf(request, reference);
  const bytes = await readManifestBody(request);
  const { manifests } = request.registry.repository(name);
  const { digest, subject } = await manifests.put(reference, tags, bytes, request.header("content-type"));
  return empty(201, {
    Location: urlOf(request, `v2/${name}/manifests/${digest}`),
    "Docker-Content-Digest": digest,
    ...(subject === undefined ? {} : { "OCI-Subject": subject }),
    ...(tags.length === 0 ? {} : { "OCI-Tag": tags }),
  });
}

/** DELETE of a tag, or of a manifest with all tags that name it (end-9). */
export async function deleteManifest(request: ApiRequest, { name, reference }: ManifestTarget): Promise<Answer> {
  const { manifests, tags } = request.registry.repository(name);
  const deleted =
    reference.kind === "tag" ? await tags.delete(reference.tag) : await manifests.delete(reference.digest);
  if (!deleted) unknown(reference);
  return empty(202);
}

function tagsOf({ query }: ApiRequest, reference: Reference): Tag[] {
  const tags = [...new Set(query.getAll("tag"))].map(parseTag);
  if (tags.length > 0 && reference.kind === "tag") {
    throw new RegistryError("TAG_INVALID", "tag parameters go with a manifest that is pushed by its digest");
  }
  if (tags.length > limits.tagsPerPush) {
    throw new RegistryError("URI_TOO_LONG", `one push names at most ${limits.tagsPerPush} tags`);
  }
  return tags;
}

function unknown(reference: Reference): never {
  throw new RegistryError(
    "MANIFEST_UNKNOWN",
    "this repository has no such manifest",
    reference.kind === "tag" ? { tag: reference.tag } : { digest: reference.digest },
  );
}
