/** Images made on the spot: OCI layouts with fresh random content, so that no registry and no client knows any of it. */
import { createCipheriv, createHash, randomBytes, type Hash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { digestOfFile, sha256 } from "./api.ts";
import { run } from "./process.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Layer extends Descriptor {
  /** Digest of the tar inside the gzip: what every client keeps, also one that compresses again. */
  readonly diffId: string;
}

export interface Image {
  /** An OCI layout that holds the image under the tag `v1`. */
  readonly folder: string;
  readonly descriptor: Descriptor;
  /** The manifest, byte for byte. */
  readonly bytes: Buffer;
  readonly config: Descriptor;
  readonly layers: readonly Layer[];
}

export interface Index {
  readonly folder: string;
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly images: readonly Image[];
}

export interface ImageOptions {
  /** Bytes of random content of each layer. */
  readonly layers?: readonly number[];
  readonly architecture?: string;
}

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

/** Makes an image of one platform as an OCI layout in `folder`. */
export async function makeImage(folder: string, options: ImageOptions = {}): Promise<Image> {
  const { layers: sizes = [300_000, 5_000], architecture = "amd64" } = options;
  await mkdir(path.join(folder, "blobs/sha256"), { recursive: true });
  const layers: Layer[] = [];
  for (const [i, size] of sizes.entries()) layers.push(await makeLayer(folder, `content-${i}`, size));
  const config = await addBlob(
    folder,
    OCI_CONFIG,
    json({
      architecture,
      os: "linux",
      created: "2026-01-02T03:04:05Z",
      config: { Cmd: ["/content-0"] },
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map((_, i) => ({ created: "2026-01-02T03:04:05Z", created_by: `layer ${i}` })),
    }),
  );
  const bytes = json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
  const descriptor = { ...(await addBlob(folder, OCI_MANIFEST, bytes)), platform: { os: "linux", architecture } };
  await writeLayout(folder, descriptor);
  return { folder, descriptor, bytes, config, layers };
}

/** Makes an image for two platforms. */
export async function makeIndex(folder: string): Promise<Index> {
  const images = [
    await makeImage(folder, { layers: [40_000], architecture: "amd64" }),
    await makeImage(folder, { layers: [30_000, 2_000], architecture: "arm64" }),
  ];
  const bytes = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: images.map((image) => image.descriptor) });
  const descriptor = await addBlob(folder, OCI_INDEX, bytes);
  await writeLayout(folder, descriptor);
  return { folder, descriptor, bytes, images };
}

/** The digests of all that an image or index is made of. */
export function contentsOf(content: Image | Index): string[] {
  const own = content.descriptor.digest;
  if ("images" in content) return [own, ...content.images.flatMap(contentsOf)].sort();
  return [own, content.config.digest, ...content.layers.map((layer) => layer.digest)].sort();
}

/** The layout as one tar, as `ctr import` and `docker load` take it, with the name that the image gets there. */
export async function layoutArchive(folder: string, file: string, name: string): Promise<void> {
  const { manifests, ...index } = JSON.parse(await readFile(path.join(folder, "index.json"), "utf8")) as {
    manifests: Descriptor[];
  };
  const named = manifests.map(({ annotations, ...descriptor }) => ({
    ...descriptor,
    annotations: { ...annotations, "io.containerd.image.name": name },
  }));
  const own = `${file}.d`;
  await mkdir(own);
  await writeFile(path.join(own, "index.json"), json({ ...index, manifests: named }));
  await run(["tar", "-cf", file, "-C", folder, "oci-layout", "blobs", "-C", own, "index.json"]);
}

/** The image in the form of `docker save`, which old daemons can load, under this name. */
export async function dockerArchive(image: Image, work: string, file: string, name: string): Promise<void> {
  await mkdir(work, { recursive: true });
  const layers: string[] = [];
  for (const [i, { digest }] of image.layers.entries()) {
    const blob = path.join(image.folder, "blobs", digest.replace(":", "/"));
    await run(["sh", "-c", `gzip -dc '${blob}' > '${work}/${i}.tar'`]);
    layers.push(`${i}.tar`);
  }
  await run(["cp", path.join(image.folder, "blobs", image.config.digest.replace(":", "/")), `${work}/config.json`]);
  await writeFile(
    path.join(work, "manifest.json"),
    json([{ Config: "config.json", RepoTags: [name], Layers: layers }]),
  );
  await run(["tar", "-C", work, "-cf", file, "manifest.json", "config.json", ...layers]);
}

/** A layer: a tar of one file of random bytes, in gzip that does not try to make it smaller. */
async function makeLayer(folder: string, name: string, size: number): Promise<Layer> {
  const diff = createHash("sha256");
  const packed = createHash("sha256");
  let packedSize = 0;
  const temporary = path.join(folder, "blobs", `${name}.part`);
  await pipeline(
    Readable.from(tarOf(name, size)),
    hashing(diff),
    createGzip({ level: size > 10_000_000 ? 0 : 1 }),
    hashing(packed, (bytes) => (packedSize += bytes)),
    createWriteStream(temporary),
  );
  const hex = packed.digest("hex");
  await rename(temporary, path.join(folder, "blobs/sha256", hex));
  return {
    mediaType: OCI_LAYER,
    digest: `sha256:${hex}`,
    size: packedSize,
    diffId: `sha256:${diff.digest("hex")}`,
  };
}

function hashing(hash: Hash, onBytes?: (bytes: number) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      onBytes?.(chunk.byteLength);
      done(null, chunk);
    },
  });
}

function* tarOf(name: string, size: number): Generator<Buffer> {
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(octal(1_767_322_800, 11), 136);
  header.write("        0", 148);
  header.write("ustar\x0000", 257, "latin1");
  header.write(
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    ) + " ",
    148,
  );
  yield header;
  // A cipher over zeros gives random bytes faster than the system does.
  const random = createCipheriv("aes-128-ctr", randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(1 << 20);
  for (let left = size; left > 0; left -= zeros.byteLength) {
    yield random.update(zeros.subarray(0, Math.min(left, zeros.byteLength)));
  }
  yield Buffer.alloc(((512 - (size % 512)) % 512) + 1024);
}

async function addBlob(folder: string, mediaType: string, bytes: Buffer): Promise<Descriptor> {
  const digest = sha256(bytes);
  await writeFile(path.join(folder, "blobs", digest.replace(":", "/")), bytes);
  return { mediaType, digest, size: bytes.byteLength };
}

async function writeLayout(folder: string, descriptor: Descriptor): Promise<void> {
  const tagged = { ...descriptor, annotations: { "org.opencontainers.image.ref.name": "v1" } };
  await writeFile(path.join(folder, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    path.join(folder, "index.json"),
    json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [tagged] }),
  );
}

/** The file of a digest in a layout, if its bytes are what its name says. */
export async function checkedFile(file: string): Promise<string> {
  const digest = await digestOfFile(file);
  const named = `sha256:${path.basename(file)}`;
  if (digest !== named) throw new Error(`${file} has the digest ${digest}`);
  return digest;
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
