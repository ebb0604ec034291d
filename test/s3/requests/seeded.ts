/** What is too much to be pushed: written past all registries, as a push would have left it. */
import { createHash } from "node:crypto";
import type { Digest } from "../../../shared/oci/digest.ts";
import { parseRepositoryName, tagFrom, type RepositoryName } from "../../../shared/oci/reference.ts";
import { layout } from "../../../shared/registry/layout.ts";

export const SEEDED = {
  /** Has 1,000 tags. */
  thousandTags: "tagged/thousand",
  /** Has 2,000 tags. */
  manyTags: "tagged/many",
  /** Has 2,000 tags in whose names a store's order is not the lexical one: `1.1`, `1.10`. */
  dottedTags: "tagged/dotted",
  /** After which of the 10,000 repositories a later page begins. */
  laterPage: 5000,
  /** The name of one of 10,000 repositories, which come before all others in the catalog. */
  repository: (number: number) => `fleet/app-${String(number).padStart(5, "0")}`,
} as const;

const REPOSITORIES = 10_000;

/** More than a page. */
const PAGE = 1100;

/** Their objects. Repositories that no measured page lists have a manifest's link and nothing else. */
export function* seededObjects(): Generator<readonly [key: string, content: string]> {
  const digest = digestOf("manifest");
  for (let number = 0; number < REPOSITORIES; number++) {
    const name = parseRepositoryName(SEEDED.repository(number));
    const listed = number < PAGE || (number >= SEEDED.laterPage && number < SEEDED.laterPage + PAGE);
    if (listed) {
      yield [layout.layerLink(name, digestOf("config")), digestOf("config")];
      yield [layout.layerLink(name, digestOf("layer")), digestOf("layer")];
    }
    yield* manifest(name, digest, listed ? ["latest"] : []);
    yield [layout.catalogEntry(name), ""];
  }
  yield [layout.catalogComplete, "2026-01-02T03:04:05Z"];
  const tags = (count: number, nameOf = (number: number) => `v${number + 1000}`): string[] =>
    Array.from({ length: count }, (_, number) => nameOf(number));
  yield* manifest(parseRepositoryName(SEEDED.thousandTags), digest, tags(1000));
  yield* manifest(parseRepositoryName(SEEDED.manyTags), digest, tags(2000));
  const dotted = tags(2000, (number) => `1.${number}`);
  yield* manifest(parseRepositoryName(SEEDED.dottedTags), digest, dotted);
}

function* manifest(
  name: RepositoryName,
  digest: Digest,
  tags: readonly string[],
): Generator<readonly [string, string]> {
  yield [layout.revisionLink(name, digest), digest];
  for (const text of tags) {
    const tag = tagFrom(text);
    if (tag === undefined) throw new Error(`no tag: ${text}`);
    yield [layout.tagLink(name, tag), digest];
    yield [layout.tagHistoryLink(name, tag, digest), digest];
  }
}

function digestOf(text: string): Digest {
  return `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest;
}
