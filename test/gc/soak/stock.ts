/** What the clients of the soak push: few things, made anew from a seed, so that the same ones come again and again. */
import { createHash } from "node:crypto";
import { sha256 } from "../../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../../support/images.ts";

/** Bytes that a manifest names. */
export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** A manifest and all that it needs. */
export interface Artifact {
  readonly digest: string;
  readonly bytes: Buffer;
  readonly type: string;
  readonly blobs: readonly Blob[];
  readonly children: readonly Artifact[];
  readonly subject: string | undefined;
}

const BLOBS = 240;
const IMAGES = 120;
const INDEXES = 20;
const REFERRERS = 40;

/** All that can be pushed. */
export class Stock {
  readonly blobs: readonly Blob[];
  readonly artifacts: readonly Artifact[];

  constructor(seed: number, next: () => number) {
    const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
    this.blobs = Array.from({ length: BLOBS }, (_, at) => blobOf(`${seed} ${at}`, 100 + Math.floor(next() * 4000)));
    const image = (name: string, subject?: string): Artifact => {
      const blobs = [...new Set([pick(this.blobs), pick(this.blobs), pick(this.blobs)])];
      const [config, ...layers] = blobs.map(({ digest, bytes }) => {
        return { mediaType: "application/octet-stream", digest, size: bytes.byteLength };
      });
      const subjectOf = subject && { subject: { mediaType: OCI_MANIFEST, digest: subject, size: 1 } };
      const bytes = json({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config,
        layers,
        annotations: { name },
        ...subjectOf,
      });
      return { digest: sha256(bytes), bytes, type: OCI_MANIFEST, blobs, children: [], subject };
    };
    const images = Array.from({ length: IMAGES }, (_, at) => image(`image ${at}`));
    const indexes = Array.from({ length: INDEXES }, (): Artifact => {
      const children = [...new Set([pick(images), pick(images)])];
      const manifests = children.map(({ digest, bytes }) => {
        return { mediaType: OCI_MANIFEST, digest, size: bytes.byteLength };
      });
      const bytes = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
      return { digest: sha256(bytes), bytes, type: OCI_INDEX, blobs: [], children, subject: undefined };
    });
    const subjects = [...images, ...indexes];
    const referrers = Array.from({ length: REFERRERS }, (_, at) => image(`referrer ${at}`, pick(subjects).digest));
    const all = [...images, ...indexes, ...referrers];
    this.artifacts = [...new Map(all.map((artifact) => [artifact.digest, artifact])).values()];
  }
}

/** Bytes that are the same for the same name. */
function blobOf(name: string, length: number): Blob {
  const bytes = createHash("shake256", { outputLength: length }).update(name).digest();
  return { digest: sha256(bytes), bytes };
}
