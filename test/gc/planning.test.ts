/** A plan is made again by each process that goes on with a run: of sizes at which work for each pair would never end. */
import { expect, it } from "vitest";
import { BlobTable } from "../../shared/gc/blob-table.ts";
import { Uints } from "../../shared/gc/columns.ts";
import { PullTable } from "../../shared/gc/pull-table.ts";
import { RepositoryTable } from "../../shared/gc/repository-table.ts";
import { retentionByRules, type RetentionRule } from "../../shared/gc/retention-rules.ts";
import { deleteUntagged, type Retention } from "../../shared/gc/retention.ts";
import { planRevisions, type RevisionItem } from "../../shared/gc/revision-plan.ts";
import { toDigest, type Digest } from "../../shared/oci/digest.ts";
import type { Tag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { nameOf } from "./support.ts";

const R = nameOf("r");
const MANIFESTS = 60_000;
const TAGS = 150_000;
const digests = Array.from({ length: MANIFESTS }, (_, i) => toDigest("sha256", i.toString(16).padStart(64, "0")));
const rules: RetentionRule = { repositories: ["**"], tags: ["*"], except: [], keep: { last: 1 }, expireUntaggedMs: 1 };

/** What goes of a repository with all these manifests, by its tags in the order of their names. */
function planned(
  retention: Retention,
  { tags = [], needs = [] }: { tags?: readonly (readonly [string, Digest])[]; needs?: readonly [number, number][] },
): RevisionItem[] {
  const listed = (key: string, second = 0) => ({ key, etag: "", size: 71, lastModified: new Date(second * 1000) });
  const [blobs, table] = [new BlobTable(), new RepositoryTable()];
  blobs.take(digests.map((digest) => listed(layout.blob(digest))));
  const links = [
    ...digests.map((digest) => listed(layout.revisionLink(R, digest))),
    ...tags.map(([tag], i) => listed(layout.tagLink(R, tag as Tag), i)),
  ];
  table.take(links, blobs, () => true);
  const [needing, needed] = [new Uints(), new Uints()];
  for (const [one, other] of needs) {
    needing.push(one);
    needed.push(other);
  }
  const marked = { blobs, repositories: [table], needing, needed, extraRevisions: [] };
  const now = new Date(2_000_000_000);
  const tagNames = (): readonly Digest[] => tags.map(([, digest]) => digest);
  return planRevisions({ ...marked, tagNames }, retention, new PullTable(), now, 1_000_000);
}

const first = digests[0] as Digest;
const numbered = (i: number): string => `t${String(i).padStart(6, "0")}`;

it("looks at each tag of one manifest once", () => {
  const tags = Array.from({ length: TAGS }, (_, i) => [numbered(i), first] as const);
  expect(planned(deleteUntagged, { tags })).toHaveLength(MANIFESTS - 1);
});

it("looks at each tag that a rule is about once", () => {
  const tags = Array.from({ length: TAGS }, (_, i) => [numbered(i), first] as const);
  expect(planned(retentionByRules([rules]), { tags })).toHaveLength(TAGS - 1 + MANIFESTS - 1);
});

it("finds what each tag is named after, and puts it just after that", () => {
  const tags = digests.map((digest) => [`${digest.replace(":", "-")}.sig`, first] as const);
  const items = planned(retentionByRules([rules]), { tags });
  expect(items).toHaveLength(2 * (MANIFESTS - 1)); // but for the first, which tags name, and its signature
  expect(items.every(({ with: signed }, i) => signed === (i % 2 === 0 ? undefined : items[i - 1]))).toBe(true);
});

it("puts a chain of those that refer to each other in order, each after what it refers to", () => {
  const needs = digests.slice(1).map((_, i): [number, number] => [MANIFESTS - 1 - i, MANIFESTS - 2 - i]);
  const items = planned(deleteUntagged, { needs });
  expect(items).toHaveLength(MANIFESTS);
  expect(items.every(({ after }, i) => after.length === (i === 0 ? 0 : 1) && after[0] === items[i - 1])).toBe(true);
});

it("knows a manifest by sha512 by the first 64 digits of its digest, as the referrers API cuts them", () => {
  const [one, other] = [toDigest("sha512", `a${"0".repeat(127)}`), toDigest("sha512", `b${"0".repeat(127)}`)];
  const facts = (tags: readonly string[]) => ({
    ...{
      name: R,
      asOf: new Date(),
      revisions: [one, other].map((digest) => ({ digest, pushed: new Date(0), size: 1, tags: [] })),
    },
    tags: tags.map((tag) => ({ tag, digest: first, set: new Date(0) })),
  });
  const named = [`sha512-a${"0".repeat(63)}`, `sha512-b${"0".repeat(70)}.sig`, `sha512-b${"0".repeat(62)}1`];
  const found = retentionByRules([rules]).expiredTags(facts([...named, `sha256-a${"0".repeat(63)}`]));
  expect(found.map(({ tag, with: subject }) => [tag, subject])).toEqual([
    [named[0], one],
    [named[1], other],
  ]);
});
