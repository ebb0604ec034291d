import { digestFrom, type Digest } from "./digest.ts";
import { readStoredManifest } from "./manifest.ts";

/** What a stored manifest keeps from being garbage. */
export interface References {
  /** Configuration and layers, also those that need not be stored. */
  readonly blobs: readonly Digest[];
  /** The children of an index. */
  readonly manifests: readonly Digest[];
  readonly subject: Digest | undefined;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ANY_DIGEST = /sha256:[0-9a-f]{64}(?![0-9a-f])|sha512:[0-9a-f]{128}(?![0-9a-f])/g;

/**
 * What a manifest refers to, by whichever registry it was stored. Undefined where that cannot be known: it is no JSON object.
 *
 * One of a media type that is known is read as what it is. Of any other object (schema 1 with its `fsLayers`, an artifact
 * manifest, a type that is yet to come) every digest in it counts, wherever it stands, both as a blob and as a manifest:
 * too much is kept rather than too little.
 */
export function referencesOf(bytes: Uint8Array): References | undefined {
  let json: unknown;
  let text: string;
  try {
    json = JSON.parse(utf8.decode(bytes));
    if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
    text = JSON.stringify(json);
  } catch {
    return undefined; // also where it nests too deep to be walked
  }
  const object = json as Readonly<Record<string, unknown>>;
  const known = object["schemaVersion"] === 2 ? readStoredManifest(bytes) : undefined;
  if (known !== undefined) {
    return {
      blobs: unique([...known.blobs.map(({ digest }) => digest), ...digestsOf(object["layers"])]),
      manifests: unique(known.manifests.map(({ digest }) => digest)),
      subject: known.subject?.digest,
    };
  }
  const all = unique((text.match(ANY_DIGEST) ?? []).map(digestFrom).filter((digest) => digest !== undefined));
  return { blobs: all, manifests: all, subject: digestOfDescriptor(object["subject"]) };
}

/** Layers that may not be distributed are left out elsewhere; stored they are kept all the same. */
function digestsOf(descriptors: unknown): Digest[] {
  if (!Array.isArray(descriptors)) return [];
  return descriptors.map(digestOfDescriptor).filter((digest) => digest !== undefined);
}

function digestOfDescriptor(descriptor: unknown): Digest | undefined {
  if (typeof descriptor !== "object" || descriptor === null || !("digest" in descriptor)) return undefined;
  return typeof descriptor.digest === "string" ? digestFrom(descriptor.digest) : undefined;
}

function unique(digests: readonly Digest[]): Digest[] {
  return [...new Set(digests)];
}
