/** Manifests for tests, and what they are made of. */
import type { Digest } from "../../shared/oci/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import type { Reply, Send } from "./app.ts";
import { sha256, sha512 } from "./bodies.ts";

/** What content is called and how long it is, as manifests write it. */
export interface TestDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A manifest ready to be pushed. */
export interface TestManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly sha512: Digest;
  readonly mediaType: string;
  readonly descriptor: TestDescriptor;
}

export const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
export const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";

export function descriptorOf(bytes: string | Uint8Array, mediaType: string = LAYER_TYPE): TestDescriptor {
  return { mediaType, digest: sha256(bytes), size: Buffer.byteLength(bytes) };
}

/** Any JSON as a manifest. */
export function manifestOf(json: object, mediaType: string = OCI_MANIFEST): TestManifest {
  const bytes = Buffer.from(JSON.stringify(json));
  return {
    bytes,
    digest: sha256(bytes),
    sha512: sha512(bytes),
    mediaType,
    descriptor: descriptorOf(bytes, mediaType),
  };
}

export const CONFIG = Buffer.from(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`);

/** An image of one configuration and these layers. */
export function imageOf(layers: readonly (string | Uint8Array)[], more: object = {}): TestManifest {
  return manifestOf({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptorOf(CONFIG, CONFIG_TYPE),
    layers: layers.map((layer) => descriptorOf(layer)),
    ...more,
  });
}

/** An index of these manifests. */
export function indexOf(children: readonly TestManifest[], more: object = {}): TestManifest {
  return manifestOf(
    {
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: children.map((child) => child.descriptor),
      ...more,
    },
    OCI_INDEX,
  );
}

/** An artifact with a configuration of a type of its own and no layers, that refers to `subject`. */
export function referrerOf(subject: TestDescriptor, artifactType: string, more: object = {}): TestManifest {
  return imageOf([], { artifactType, subject, ...more });
}

/** Pushes a blob in one request. */
export async function pushBlob(send: Send, repository: string, bytes: string | Uint8Array): Promise<Digest> {
  const digest = sha256(bytes);
  const reply = await send("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
  if (reply.status !== 201) throw new Error(`blob: ${reply.status} ${reply.bytes.toString()}`);
  return digest;
}

/** Pushes a manifest. */
export async function putManifest(
  send: Send,
  repository: string,
  reference: string,
  { bytes, mediaType }: TestManifest,
): Promise<Reply> {
  return await send("PUT", `/v2/${repository}/manifests/${reference}`, {
    headers: { "Content-Type": mediaType },
    body: bytes,
  });
}

/** Pushes an image with all that it needs, under a tag; gives its manifest. */
export async function pushImage(
  send: Send,
  repository: string,
  tag: string,
  layers: readonly (string | Uint8Array)[] = ["layer"],
  more: object = {},
): Promise<TestManifest> {
  for (const bytes of [CONFIG, ...layers]) await pushBlob(send, repository, bytes);
  const image = imageOf(layers, more);
  const reply = await putManifest(send, repository, tag, image);
  if (reply.status !== 201) throw new Error(`manifest: ${reply.status} ${reply.bytes.toString()}`);
  return image;
}
