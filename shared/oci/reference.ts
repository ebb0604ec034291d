/**
 * Names of repositories and tags.
 *
 *     name      = component *("/" component)         at most 255 characters
 *     component = alphanum *(separator alphanum)      alphanum: [a-z0-9]+, separator: "." | "_" | "__" | 1*"-"
 *     tag       = [A-Za-z0-9_] *127[A-Za-z0-9._-]
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
 */
import { digestFrom, parseDigest, type Digest } from "./digest.ts";
import { RegistryError } from "./error.ts";
import { limits } from "./limits.ts";

/** A repository's name that its parser has accepted. */
export type RepositoryName = string & { readonly __brand: "RepositoryName" };

/** A tag that its parser has accepted. */
export type Tag = string & { readonly __brand: "Tag" };

/** What a manifest is asked for by. */
export type Reference =
  { readonly kind: "tag"; readonly tag: Tag } | { readonly kind: "digest"; readonly digest: Digest };

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** The name that `text` spells, or undefined. */
export function repositoryNameFrom(text: string): RepositoryName | undefined {
  if (text.length > limits.repositoryName) return undefined;
  return text.split("/").every(isComponent) ? (text as RepositoryName) : undefined;
}

/** The name that a request spells. Throws NAME_INVALID. */
export function parseRepositoryName(text: string): RepositoryName {
  const name = repositoryNameFrom(text);
  if (name !== undefined) return name;
  throw new RegistryError(
    "NAME_INVALID",
    text.length > limits.repositoryName
      ? `a repository name has at most ${limits.repositoryName} characters`
      : "a repository name is made of lower-case letters and digits, separated by '.', '_', '__' or '-', in components joined by '/'",
    { name: text.slice(0, limits.repositoryName) },
  );
}

/** One component of a repository's name? */
export function isComponent(text: string): boolean {
  return COMPONENT.test(text);
}

/** The tag that `text` spells, or undefined. */
export function tagFrom(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined;
}

/** The tag that a request spells. Throws TAG_INVALID. */
export function parseTag(text: string): Tag {
  const tag = tagFrom(text);
  if (tag !== undefined) return tag;
  throw new RegistryError(
    "TAG_INVALID",
    "a tag has up to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
    { tag: text.slice(0, 200) },
  );
}

/** The tag or digest that a request spells. Throws DIGEST_INVALID where there is a colon, which no tag has, else TAG_INVALID. */
export function parseReference(text: string): Reference {
  const digest = digestFrom(text);
  if (digest !== undefined) return { kind: "digest", digest };
  if (text.includes(":")) return { kind: "digest", digest: parseDigest(text) };
  return { kind: "tag", tag: parseTag(text) };
}
