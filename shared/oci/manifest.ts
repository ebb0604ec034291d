/**
 * Reading manifests. Their bytes are stored and served as they came; this is only about what they say.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md
 */
import type { Descriptor } from "./descriptor.ts";
import { digestFrom } from "./digest.ts";
import { RegistryError } from "./error.ts";
import { limits } from "./limits.ts";
import {
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  essence,
  isIndex,
  isManifestMediaType,
  isNonDistributable,
  isSchema1,
  OCI_INDEX,
  OCI_MANIFEST,
  type ManifestMediaType,
} from "./media-type.ts";

/** What a manifest says about other content. */
export interface Manifest {
  readonly mediaType: ManifestMediaType;
  /** Configuration and layers: what must be in the repository as blobs. Without layers that may not be distributed. */
  readonly blobs: readonly Descriptor[];
  /** An index's children: what must be in the repository as manifests. */
  readonly manifests: readonly Descriptor[];
  /** From where else the layers say that they can be fetched. */
  readonly urls: readonly string[];
  /** What this manifest refers to; it need not exist. */
  readonly subject: Descriptor | undefined;
  /** An image's `artifactType`, or else the type of its configuration; an index's `artifactType`. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a manifest that a client sent. `contentType` is the request's header.
 * Throws MANIFEST_INVALID with a sentence that names the field.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const json = parseJson(bytes);
  const mediaType = mediaTypeOfPush(json, contentType === undefined ? "" : essence(contentType));
  if (json["schemaVersion"] !== 2) invalid("schemaVersion must be 2");
  return read(json, mediaType);
}

/** Reads a manifest that is stored, by whichever registry. Undefined where it cannot be read. */
export function readStoredManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    const json = parseJson(bytes);
    return read(json, mediaTypeOfStored(json));
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/**
 * The Content-Type that a stored manifest is served with: what its body says, or the OCI type of its shape.
 * A manifest that other registries stored and that cannot be read is served as bytes.
 */
export function storedMediaType(bytes: Uint8Array): string {
  try {
    const json: unknown = JSON.parse(decode(bytes));
    if (!isObject(json)) return "application/octet-stream";
    const declared = json["mediaType"];
    if (typeof declared === "string" && /^[\w.+-]+\/[\w.+-]+$/.test(declared)) return declared;
    if (json["schemaVersion"] === 1) return "application/vnd.docker.distribution.manifest.v1+prettyjws";
    return mediaTypeOfStored(json);
  } catch {
    return "application/octet-stream";
  }
}

function parseJson(bytes: Uint8Array): Json {
  if (bytes.byteLength === 0) invalid("the body is empty; a manifest is a JSON object");
  boundDepth(bytes);
  let value: unknown;
  try {
    value = JSON.parse(decode(bytes));
  } catch {
    return invalid("the body is not JSON in UTF-8");
  }
  return isObject(value) ? value : invalid("a manifest is a JSON object");
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/** Counts brackets outside strings, before the parser builds anything. */
function boundDepth(bytes: Uint8Array): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > limits.manifestDepth) invalid(`the JSON nests deeper than ${limits.manifestDepth} levels`);
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

function mediaTypeOfPush(json: Json, header: string): ManifestMediaType {
  const declared = json["mediaType"];
  if (declared !== undefined && typeof declared !== "string") return invalid("mediaType must be a string");
  if (isSchema1(header) || json["schemaVersion"] === 1) {
    return invalid(
      "Docker image manifest version 2, schema 1 is not supported: it is long deprecated and today's clients cannot run it; " +
        "push the image again with a current client, which sends schema 2 or OCI",
    );
  }
  // Some tools send no type or a generic one: then the body must say it.
  const generic = header === "" || header === "application/octet-stream" || header === "application/json";
  const type = generic ? declared : header;
  if (type === undefined) return invalid("neither Content-Type nor the mediaType field names the manifest's type");
  if (!isManifestMediaType(type)) {
    return invalid(
      `media type ${printable(type)} is not accepted: registries that share this storage could not collect their garbage over it; ` +
        "accepted are OCI image manifests and indexes, Docker schema 2 manifests and manifest lists",
    );
  }
  if (declared !== undefined && declared !== type) {
    return invalid(`Content-Type is ${type} but the mediaType field says ${printable(declared)}`);
  }
  if (declared === undefined && (type === DOCKER_MANIFEST || type === DOCKER_MANIFEST_LIST)) {
    return invalid(`a Docker manifest has a mediaType field that says ${type}`);
  }
  return type;
}

function mediaTypeOfStored(json: Json): ManifestMediaType {
  const declared = json["mediaType"];
  if (typeof declared === "string") {
    return isManifestMediaType(declared) ? declared : invalid("mediaType is not one of the accepted");
  }
  return json["manifests"] == null ? OCI_MANIFEST : OCI_INDEX;
}

function read(json: Json, mediaType: ManifestMediaType): Manifest {
  const index = isIndex(mediaType);
  // One document that is both an image and an index would mean different things to different clients (CVE-2021-41190).
  for (const field of index ? ["config", "layers", "fsLayers"] : ["manifests", "fsLayers"]) {
    if (json[field] !== undefined && json[field] !== null) invalid(`${mediaType} must not have a field ${field}`);
  }
  const subject = json["subject"] == null ? undefined : descriptor(json["subject"], "subject");
  const annotations = stringMap(json["annotations"], "annotations");
  const artifactType = optionalString(json["artifactType"], "artifactType");
  if (index) {
    return {
      mediaType,
      blobs: [],
      manifests: descriptors(json["manifests"], "manifests"),
      urls: [],
      subject,
      artifactType,
      annotations,
    };
  }
  const config = descriptor(json["config"], "config");
  const layers = descriptors(json["layers"], "layers").filter((layer) => !isNonDistributable(layer.mediaType));
  return {
    mediaType,
    blobs: [config, ...layers],
    manifests: [],
    urls: urlsOf(json["layers"]),
    subject,
    artifactType: artifactType ?? config.mediaType,
    annotations,
  };
}

function descriptors(value: unknown, field: string): Descriptor[] {
  if (!Array.isArray(value)) return invalid(`${field} must be an array of descriptors`);
  return value.map((item, index) => descriptor(item, `${field}[${index}]`));
}

function descriptor(value: unknown, field: string): Descriptor {
  if (!isObject(value)) return invalid(`${field} must be a descriptor`);
  const { mediaType, digest: text, size } = value;
  if (typeof mediaType !== "string" || mediaType === "") return invalid(`${field}.mediaType must be a media type`);
  const digest = typeof text === "string" ? digestFrom(text) : undefined;
  if (digest === undefined) return invalid(`${field}.digest must be a sha256 or sha512 digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    return invalid(`${field}.size must be a number of bytes`);
  }
  return { mediaType, digest, size };
}

function urlsOf(layers: unknown): string[] {
  const all: unknown[] = Array.isArray(layers)
    ? layers.flatMap((layer: unknown) => (isObject(layer) ? (layer["urls"] ?? []) : []))
    : [];
  return all.map((url) => (typeof url === "string" ? url : invalid("urls of a layer must be strings")));
}

function optionalString(value: unknown, field: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  return typeof value === "string" ? value : invalid(`${field} must be a string`);
}

function stringMap(value: unknown, field: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isObject(value) || !Object.values(value).every((item) => typeof item === "string")) {
    return invalid(`${field} must map strings to strings`);
  }
  return value as Readonly<Record<string, string>>;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Bounded and without control characters, fit for a message. */
function printable(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}

function invalid(message: string): never {
  throw new RegistryError("MANIFEST_INVALID", message);
}
