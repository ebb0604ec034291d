/** What the servers hold, and the layers that are sent to them. */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { copyFile, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { run } from "../test/support/process.ts";
import type { Server } from "./servers.ts";

const REPOSITORY = "bench/app";
const TAGS = 1000;
const LANES = 8;
const MIB = 1024 * 1024;
/** The type of the small image's manifest. */
export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** The paths of a small image with 1,000 tags. */
export interface SmallImage {
  readonly manifestByTag: string;
  readonly manifestByDigest: string;
  readonly blob: string;
  readonly tags: string;
}

/** Pushes an image with a layer of 4 KB and 1,000 tags. */
export async function pushSmallImage({ url }: Server): Promise<SmallImage> {
  const base = `/v2/${REPOSITORY}`;
  const layer = Buffer.alloc(4096, "x");
  const config = imageConfig(sha256(layer));
  for (const bytes of [layer, config]) await pushBlob(url, base, bytes);
  const manifest = imageManifest(config, { mediaType: LAYER_TYPE, digest: sha256(layer), size: layer.length });
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let tag = next++; tag < TAGS; tag = next++) {
      const response = await fetch(`${url}${base}/manifests/t${tag}`, {
        method: "PUT",
        body: manifest,
        headers: { "content-type": MANIFEST_TYPE },
      });
      await expectStatus(response, 201);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const { tags } = (await (await fetch(`${url}${base}/tags/list`)).json()) as { tags: string[] };
  if (tags.length !== TAGS) throw new Error(`${url} lists ${tags.length} tags, not ${TAGS}`);
  return {
    manifestByTag: `${base}/manifests/t5`,
    manifestByDigest: `${base}/manifests/${sha256(manifest)}`,
    blob: `${base}/blobs/${sha256(layer)}`,
    tags: `${base}/tags/list`,
  };
}

async function pushBlob(url: string, base: string, bytes: Buffer): Promise<void> {
  const begun = await fetch(`${url}${base}/blobs/uploads/`, { method: "POST" });
  await expectStatus(begun, 202);
  const location = new URL(begun.headers.get("location") ?? "", url);
  location.searchParams.set("digest", sha256(bytes));
  const headers = { "content-type": "application/octet-stream" };
  await expectStatus(await fetch(location, { method: "PUT", body: bytes, headers }), 201);
}

async function expectStatus(response: Response, status: number): Promise<void> {
  const text = await response.text();
  if (response.status !== status) throw new Error(`${response.url}: ${response.status}, not ${status}: ${text}`);
}

/** A large file to upload. */
export interface Layer {
  readonly file: string;
  readonly digest: string;
  readonly size: number;
}

/** A large layer, and a folder with an image of it as skopeo keeps one (`dir:`). */
export interface LargeImage {
  readonly layer: Layer;
  readonly imageFolder: string;
}

/** Makes an image with one layer that cannot be compressed: a gzip of a tar of random bytes. */
export async function makeLargeImage(folder: string, mebibytes: number): Promise<LargeImage> {
  const imageFolder = path.join(folder, "image");
  await mkdir(imageFolder);
  const random = path.join(folder, "random");
  await pipeline(Readable.from(randomMebibytes(mebibytes)), createWriteStream(random));
  const tar = path.join(folder, "layer.tar");
  await run(["tar", "-cf", tar, "-C", folder, "random"]);
  await rm(random);
  const gzip = path.join(folder, "layer.tar.gz");
  // Stored, not compressed: it would come out no smaller.
  await pipeline(createReadStream(tar), createGzip({ level: 0, chunkSize: MIB }), createWriteStream(gzip));
  const config = imageConfig(await sha256OfFile(tar));
  await rm(tar);

  const digest = await sha256OfFile(gzip);
  const file = path.join(imageFolder, hexOf(digest));
  await run(["mv", gzip, file]);
  const { size } = await stat(file);
  await writeFile(path.join(imageFolder, hexOf(sha256(config))), config);
  const manifest = imageManifest(config, { mediaType: `${LAYER_TYPE}+gzip`, digest, size });
  await writeFile(path.join(imageFolder, "manifest.json"), manifest);
  await writeFile(path.join(imageFolder, "version"), "Directory Transport Version: 1.1\n");
  return { layer: { file, digest, size }, imageFolder };
}

/** Layers of the same size that begin differently, so that no server has seen any of them before. */
export async function makeVariants(folder: string, { file, size }: Layer, count: number): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (let index = 0; index < count; index++) {
    const variant = path.join(folder, `layer-${index}`);
    await copyFile(file, variant);
    const handle = await open(variant, "r+");
    try {
      await handle.write(randomBytes(4096), 0, 4096, 0);
    } finally {
      await handle.close();
    }
    layers.push({ file: variant, digest: await sha256OfFile(variant), size });
  }
  return layers;
}

function* randomMebibytes(count: number): Generator<Buffer> {
  for (let index = 0; index < count; index++) yield randomBytes(MIB);
}

function imageConfig(diffId: string): Buffer {
  const rootfs = { type: "layers", diff_ids: [diffId] };
  return Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs }));
}

function imageManifest(config: Buffer, layer: { mediaType: string; digest: string; size: number }): Buffer {
  const descriptor = { mediaType: CONFIG_TYPE, digest: sha256(config), size: config.length };
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: descriptor, layers: [layer] }),
  );
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: MIB }), hash);
  return `sha256:${hash.digest("hex")}`;
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
