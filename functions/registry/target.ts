/**
 * What a request's path addresses. The only place that reads URLs.
 *
 * The kind is told from the end of the path, so that repositories may be called `blobs`, `manifests` or `a/uploads`: the
 * words have their meaning only where the specification puts them. Segments are decoded once, after the path was split, so
 * an encoded slash can never become a separator.
 */
import { parseDigest, type Digest } from "../../shared/oci/digest.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import {
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from "../../shared/oci/reference.ts";

export type Target =
  | { readonly kind: "root" }
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "blob"; readonly name: RepositoryName; readonly digest: Digest }
  | { readonly kind: "uploads"; readonly name: RepositoryName }
  | { readonly kind: "upload"; readonly name: RepositoryName; readonly id: string; readonly capability?: string }
  | { readonly kind: "manifest"; readonly name: RepositoryName; readonly reference: Reference }
  | { readonly kind: "tags"; readonly name: RepositoryName }
  | { readonly kind: "referrers"; readonly name: RepositoryName; readonly subject: Digest };

/**
 * What `path` (as sent, still percent-encoded, without query) addresses below `prefix`, which begins and ends in a slash.
 * Throws NOT_FOUND for what is no path of the API, NAME_INVALID, DIGEST_INVALID or TAG_INVALID for what is one with a bad part.
 */
export function parseTarget(path: string, prefix = "/"): Target {
  if (!path.startsWith(prefix)) throw notFound();
  const rest = path.slice(prefix.length);
  if (rest === "") return { kind: "root" };
  if (rest === "v2" || rest === "v2/") return { kind: "base" };
  if (!rest.startsWith("v2/")) throw notFound();
  const segments = rest.slice("v2/".length).split("/").map(decode);
  if (segments.length === 1 && segments[0] === "_catalog") return { kind: "catalog" };

  const last = segments.at(-1) ?? "";
  const nameOf = (suffixLength: number): RepositoryName =>
    parseRepositoryName(segments.slice(0, -suffixLength).join("/"));
  const endsIn = (...words: string[]): boolean =>
    segments.length > words.length + 1 && words.every((word, index) => segments.at(index - words.length - 1) === word);

  if (endsIn("blobs", "uploads")) {
    return last === "" ? { kind: "uploads", name: nameOf(3) } : { kind: "upload", name: nameOf(3), ...sessionOf(last) };
  }
  if (endsIn("blobs")) {
    if (last === "uploads") return { kind: "uploads", name: nameOf(2) };
    return { kind: "blob", name: nameOf(2), digest: parseDigest(last) };
  }
  if (endsIn("manifests")) return { kind: "manifest", name: nameOf(2), reference: parseReference(last) };
  if (endsIn("referrers")) return { kind: "referrers", name: nameOf(2), subject: parseDigest(last) };
  if (endsIn("tags") && last === "list") return { kind: "tags", name: nameOf(2) };
  throw notFound();
}

/** The session's id, and the capability that a signed address has after it. No id holds a full stop. */
function sessionOf(segment: string): { id: string; capability?: string } {
  const stop = segment.indexOf(".");
  return stop < 0 ? { id: segment } : { id: segment.slice(0, stop), capability: segment.slice(stop + 1) };
}

const SIGNED = /(\/blobs\/uploads\/(?:(?!\.|%2e)[^/?])*(?:\.|%2e))[^/?]*(?=\?|$)/i;

/** Does this path look like a signed address, whatever else is wrong with it? */
export function looksSigned(path: string): boolean {
  return SIGNED.test(path);
}

/** A path and query as they may be shown to others: with a dash for the capability. */
export function withoutCapability(uri: string): string {
  return uri.replace(SIGNED, "$1-");
}

/** One segment, decoded. What is not well-formed, or holds a slash once decoded, can be no name of anything. */
function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  let decoded: string;
  try {
    decoded = decodeURIComponent(segment);
  } catch {
    throw new RegistryError("NAME_INVALID", "the path is not well-formed percent-encoding");
  }
  if (decoded.includes("/") || decoded.includes("\0")) {
    throw new RegistryError("NAME_INVALID", "no part of a name holds an encoded slash or NUL");
  }
  return decoded;
}

function notFound(): RegistryError {
  return new RegistryError("NOT_FOUND", "no such path in the registry API; it begins with /v2/");
}
