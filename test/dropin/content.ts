/** A bit of everything that a registry stores, pushed by plain HTTP: through one registry, to be read through another. */
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { digest, sha256, withQuery, type Api } from "../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../support/images.ts";

export interface StoredManifest {
  readonly repository: string;
  readonly digest: string;
  readonly type: string;
  readonly bytes: Buffer;
}

export interface Content {
  readonly manifests: readonly StoredManifest[];
  readonly blobs: readonly { readonly repository: string; readonly digest: string; readonly bytes: Buffer }[];
  /** Repository and tag, and the digest that the tag names. */
  readonly tags: ReadonlyMap<string, string>;
  /** The manifest that the last one of `manifests` refers to. */
  readonly subject: string;
}

export interface Made {
  readonly bytes: Buffer;
  readonly digest: string;
  readonly blobs: readonly Buffer[];
}

/** A manifest over fresh blobs. Nothing is pushed. */
export function makeManifest(options: { subject?: string; algorithm?: string; blobs?: readonly Buffer[] } = {}): Made {
  const {
    subject,
    algorithm = "sha256",
    blobs = [json({ made: randomBytes(8).toString("hex") }), randomBytes(3000)],
  } = options;
  const descriptors = blobs.map((bytes, i) => ({
    mediaType: i === 0 ? "application/vnd.oci.image.config.v1+json" : "application/vnd.oci.image.layer.v1.tar",
    digest: digest(algorithm, bytes),
    size: bytes.byteLength,
  }));
  const bytes = json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptors[0],
    layers: descriptors.slice(1),
    ...(subject === undefined ? {} : { subject: { mediaType: OCI_MANIFEST, digest: subject, size: 1 } }),
  });
  return { bytes, digest: digest(algorithm, bytes), blobs };
}

/** Pushes a manifest, with its blobs before. */
export async function pushMade(api: Api, repository: string, made: Made, reference: string): Promise<void> {
  for (const blob of made.blobs) await api.pushBlob(repository, blob, made.digest.split(":")[0]);
  await putOk(api, repository, reference, made.bytes, OCI_MANIFEST);
}

async function putOk(api: Api, repository: string, reference: string, bytes: Buffer, type: string): Promise<void> {
  const { status, body } = await api.putManifest(repository, reference, bytes, type);
  if (status !== 201) throw new Error(`PUT ${repository} ${reference}: ${status} ${body.toString()}`);
}

/** Pushes content below `prefix`, with a blob without bytes unless the registry cannot store one. */
export async function fill(api: Api, prefix: string, { emptyBlob = true } = {}): Promise<Content> {
  const manifests: StoredManifest[] = [];
  const blobs: { repository: string; digest: string; bytes: Buffer }[] = [];
  const tags = new Map<string, string>();
  const add = async (repository: string, made: Made, ...names: string[]): Promise<void> => {
    await pushMade(api, repository, made, names[0] ?? made.digest);
    for (const name of names.slice(1)) await putOk(api, repository, name, made.bytes, OCI_MANIFEST);
    for (const name of names) tags.set(`${repository}:${name}`, made.digest);
    for (const bytes of made.blobs) blobs.push({ repository, digest: sha256(bytes), bytes });
    manifests.push({ repository, digest: made.digest, type: OCI_MANIFEST, bytes: made.bytes });
  };

  // Names that an unsuspecting sort or walk gets wrong.
  const [plain, below, dashed] = [`${prefix}/a`, `${prefix}/a/b`, `${prefix}/a-b`];
  const first = makeManifest();
  await add(plain, first, "v1", "latest", "V.2_x-3");
  await add(plain, makeManifest());
  await add(below, makeManifest(), "v1");
  await add(dashed, makeManifest(), "v10", "v9");

  const children = [makeManifest(), makeManifest()];
  for (const child of children) await add(`${prefix}/index`, child);
  const index = json({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: children.map(({ digest, bytes }) => ({ mediaType: OCI_MANIFEST, digest, size: bytes.byteLength })),
  });
  await putOk(api, `${prefix}/index`, "both", index, OCI_INDEX);
  tags.set(`${prefix}/index:both`, sha256(index));
  manifests.push({ repository: `${prefix}/index`, digest: sha256(index), type: OCI_INDEX, bytes: index });

  // What a manifest refers to, so that no garbage collection wants it: a blob in chunks, one without bytes, a mounted one.
  const [chunked, empty] = [randomBytes(100_000), emptyBlob ? Buffer.alloc(0) : randomBytes(1)];
  await api.pushBlob(below, chunked, "sha256", 3);
  await api.pushBlob(below, empty);
  const odd = makeManifest({ blobs: [json({ odd: randomBytes(8).toString("hex") }), chunked, empty] });
  await add(below, odd, "odd");
  for (const bytes of odd.blobs) {
    await api.expect(201, "POST", `/v2/${dashed}/blobs/uploads/?mount=${sha256(bytes)}&from=${below}`);
    blobs.push({ repository: dashed, digest: sha256(bytes), bytes });
  }
  await putOk(api, dashed, "odd", odd.bytes, OCI_MANIFEST);
  tags.set(`${dashed}:odd`, odd.digest);
  manifests.push({ repository: dashed, digest: odd.digest, type: OCI_MANIFEST, bytes: odd.bytes });

  await add(plain, makeManifest({ subject: first.digest }));
  return { manifests, blobs, tags, subject: first.digest };
}

/** All of it is there, by every way to ask for it. */
export async function expectServed(api: Api, { manifests, blobs, tags }: Content): Promise<void> {
  for (const { repository, digest: name, type, bytes } of manifests) {
    const reply = await api.manifest(repository, name);
    expect(reply.body.equals(bytes)).toBe(true);
    expect(reply.digest).toBe(name);
    expect(reply.headers["content-type"]).toBe(type);
    const head = await api.expect(200, "HEAD", `/v2/${repository}/manifests/${name}`, { headers: { Accept: type } });
    expect(head.headers["content-length"]).toBe(String(bytes.byteLength));
  }
  for (const { repository, digest: name, bytes } of blobs) {
    const reply = await api.expect(200, "GET", `/v2/${repository}/blobs/${name}`);
    expect(reply.body.equals(bytes)).toBe(true);
    const head = await api.expect(200, "HEAD", `/v2/${repository}/blobs/${name}`);
    expect(head.headers["content-length"]).toBe(String(bytes.byteLength));
  }
  for (const [name, digest] of tags) {
    const { repository, tag } = splitTag(name);
    expect((await api.manifest(repository, tag)).digest).toBe(digest);
  }
  for (const repository of new Set(manifests.map((manifest) => manifest.repository))) {
    expect((await tagsOf(api, repository)).sort()).toEqual(expectedTags(tags, repository));
  }
}

/** The tags; none where the repository has none, however the registry says so. */
export async function tagsOf(api: Api, repository: string): Promise<string[]> {
  const reply = await api.call("GET", `/v2/${repository}/tags/list`);
  if (reply.status === 404) return [];
  return (JSON.parse(reply.body.toString()) as { tags: string[] | null }).tags ?? [];
}

function expectedTags(tags: ReadonlyMap<string, string>, repository: string): string[] {
  return [...tags.keys()]
    .map(splitTag)
    .filter((name) => name.repository === repository)
    .map(({ tag }) => tag)
    .sort();
}

export function splitTag(name: string): { repository: string; tag: string } {
  const colon = name.indexOf(":");
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

const CHUNK = randomBytes(20_000);
const CHUNK_HEADERS = { "Content-Type": "application/octet-stream", "Content-Length": String(CHUNK.byteLength) };

/** Opens an upload that holds bytes; gives where it goes on. */
export async function openUpload(api: Api, repository: string): Promise<string> {
  const location = await api.startUpload(repository);
  return (await api.expect(202, "PATCH", location, { headers: CHUNK_HEADERS, body: CHUNK })).headers.location ?? "";
}

/** Goes on with what `openUpload` opened, to its end: nothing of it was lost. */
export async function finishUpload(api: Api, location: string): Promise<void> {
  const patched = await api.expect(202, "PATCH", location, { headers: CHUNK_HEADERS, body: CHUNK });
  const whole = Buffer.concat([CHUNK, CHUNK]);
  const last = withQuery(patched.headers.location ?? "", "digest", sha256(whole));
  const { headers } = await api.expect(201, "PUT", last, { headers: { "Content-Length": "0" } });
  const stored = await api.expect(200, "GET", headers.location ?? "");
  expect(stored.body.equals(whole)).toBe(true);
}
