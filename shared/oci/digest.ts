/**
 * Digests: `algorithm:hex`, the name of content.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
 */
import { RegistryError } from "./error.ts";

/** The algorithms this registry computes and stores, with the length of their hex part. */
const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

export type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** A digest that its parser has accepted: a supported algorithm and the right number of lower-case hex digits. */
export type Digest = string & { readonly __brand: "Digest" };

/** What a push by tag, or an upload that names no algorithm, is hashed with. */
export const CANONICAL_ALGORITHM: DigestAlgorithm = "sha256";

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** The digest that `text` spells, or undefined. For content that we read back; requests go through `parseDigest`. */
export function digestFrom(text: string): Digest | undefined {
  return DIGEST.test(text) ? (text as Digest) : undefined;
}

/** The digest that a request spells. Throws DIGEST_INVALID with the reason. */
export function parseDigest(text: string): Digest {
  const digest = digestFrom(text);
  if (digest !== undefined) return digest;
  throw new RegistryError("DIGEST_INVALID", whyInvalid(text), { digest: text.slice(0, 200) });
}

/** The algorithm that a request names. Throws DIGEST_INVALID with those that are supported. */
export function parseAlgorithm(text: string): DigestAlgorithm {
  if (isAlgorithm(text)) return text;
  throw new RegistryError("DIGEST_INVALID", `digest algorithm not supported; use ${supported()}`);
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(":")) as DigestAlgorithm;
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The digest made of an algorithm and the hex that a hash function gave. */
export function toDigest(algorithm: DigestAlgorithm, hex: string): Digest {
  return `${algorithm}:${hex}` as Digest;
}

function isAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(HEX_LENGTH, text);
}

function supported(): string {
  return Object.keys(HEX_LENGTH).join(" or ");
}

function whyInvalid(text: string): string {
  const colon = text.indexOf(":");
  if (colon < 1) return "a digest has the form algorithm:hex";
  const algorithm = text.slice(0, colon);
  if (!isAlgorithm(algorithm)) return `digest algorithm not supported; use ${supported()}`;
  return `a ${algorithm} digest has ${HEX_LENGTH[algorithm]} lower-case hex digits`;
}
