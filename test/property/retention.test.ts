/** What holds for any rules and any repository. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { selectsTag } from "../../shared/oci/name-pattern.ts";
import { toDigest, type Digest } from "../../shared/oci/digest.ts";
import { retentionByRules, type RetentionRule } from "../../shared/gc/retention-rules.ts";
import type { RepositoryFacts } from "../../shared/gc/retention.ts";

const HOUR = 3_600_000;
const NOW = Date.parse("2030-01-01T00:00:00Z");
const digests = Array.from({ length: 8 }, (_, i) => toDigest("sha256", i.toString(16).repeat(64)));
const ago = fc.integer({ min: 0, max: 200 }).map((hours) => new Date(NOW - hours * HOUR));
const names = ["latest", "v1", "v2", "v2-rc", "pr-1", "pr-2", "pr-3", "main-1", "main-2"];
/** Signatures of the first two manifests, and of one that is elsewhere. */
const signatures = [
  ...[0, 1].map((i) => `sha256-${i.toString(16).repeat(64)}.sig`),
  `sha256-${"1".repeat(64)}`,
  `sha512-${"ab".repeat(32)}`,
  `sha256-${"e".repeat(64)}.att`,
];

const facts: fc.Arbitrary<RepositoryFacts> = fc
  .record({
    name: fc.constantFrom("prod/app", "ci/app"),
    tags: fc.uniqueArray(
      fc.record({
        tag: fc.constantFrom(...names, ...signatures),
        digest: fc.constantFrom(...digests.slice(0, 6)),
        set: ago,
      }),
      { selector: ({ tag }) => tag },
    ),
    pushed: fc.tuple(...digests.map(() => ago)),
    pulled: fc.tuple(...digests.map(() => fc.option(ago))),
    pullsRecordedSince: fc.option(ago, { nil: undefined }),
  })
  .map(({ name, tags, pushed, pulled, pullsRecordedSince }) => ({
    ...{ name, asOf: new Date(NOW), tags, pullsRecordedSince },
    revisions: digests.map((digest, i) => ({
      ...{ digest, pushed: pushed[i] ?? new Date(NOW), size: 10 },
      tags: tags.filter((tag) => tag.digest === digest).map(({ tag }) => tag),
    })),
    pulled: (digest: Digest) => pulled[digests.indexOf(digest)] ?? undefined,
  }));

const hours = fc.integer({ min: 1, max: 200 }).map((count) => count * HOUR);
const patterns = (...of: string[]) => fc.uniqueArray(fc.constantFrom(...of), { minLength: 1, maxLength: 2 });
const rule: fc.Arbitrary<RetentionRule> = fc.record(
  {
    repositories: patterns("**", "prod/*", "ci/**"),
    tags: patterns("*", "v*", "pr-*", "{main,pr}-*"),
    except: fc.oneof(fc.constant([]), patterns("*-rc", "latest")),
    keep: fc.record(
      {
        last: fc.integer({ min: 1, max: 5 }),
        matching: patterns("v*", "latest"),
        youngerThanMs: hours,
        pulledWithinMs: hours,
      },
      { requiredKeys: [] },
    ),
    expireUntaggedMs: hours,
  },
  { requiredKeys: ["repositories", "tags", "except"] },
);
const rules = fc.array(rule, { maxLength: 3 });

const goes = (of: readonly RetentionRule[], repository: RepositoryFacts): Set<string> =>
  new Set(
    retentionByRules(of)
      .expiredTags(repository)
      .map(({ tag }) => tag),
  );
const manifestsThatGo = (of: readonly RetentionRule[], repository: RepositoryFacts): Set<Digest> =>
  new Set(
    retentionByRules(of)
      .expired(repository)
      .map(({ digest }) => digest),
  );
const ruleOf = (of: readonly RetentionRule[], { name }: RepositoryFacts, tag: string): RetentionRule | undefined =>
  of.find((one) => selectsTag([one])(name, tag));
const isSignature = (tag: string): boolean => tag.startsWith("sha");

describe("a tag that goes", () => {
  it("is one that the first rule about it says nothing to keep of", () => {
    fc.assert(
      fc.property(rules, facts, (of, repository) => {
        for (const tag of goes(of, repository)) {
          const keep = ruleOf(of, repository, tag)?.keep;
          const { set, digest } =
            repository.tags.find((each) => each.tag === tag) ?? repository.tags[0] ?? expect.fail();
          expect(keep).toBeDefined();
          if (isSignature(tag)) continue;
          expect(
            ["latest", "v1", "v2", "v2-rc"].includes(tag) && keep?.matching?.includes("v*") && tag !== "latest",
          ).not.toBe(true);
          expect(keep?.matching?.includes("latest") === true && tag === "latest").toBe(false);
          if (keep?.youngerThanMs !== undefined) expect(NOW - set.getTime()).toBeGreaterThanOrEqual(keep.youngerThanMs);
          if (keep?.pulledWithinMs !== undefined) {
            const since = repository.pullsRecordedSince?.getTime() ?? NOW;
            expect(NOW - since).toBeGreaterThanOrEqual(keep.pulledWithinMs);
            const last = repository.pulled?.(digest)?.getTime() ?? -Infinity;
            expect(NOW - last).toBeGreaterThanOrEqual(keep.pulledWithinMs);
          }
          // So many that were pushed later, or at the same time, stay.
          const younger = repository.tags.filter(
            (each) =>
              each.tag !== tag &&
              !isSignature(each.tag) &&
              each.set.getTime() >= set.getTime() &&
              ruleOf(of, repository, each.tag) === ruleOf(of, repository, tag),
          );
          expect(younger.length).toBeGreaterThanOrEqual(keep?.last ?? 0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("is a signature only together with what it signs, of this repository", () => {
    fc.assert(
      fc.property(rules, facts, (of, repository) => {
        for (const { tag, with: subject } of retentionByRules(of).expiredTags(repository)) {
          expect(subject !== undefined).toBe(isSignature(tag));
          if (subject !== undefined) expect(tag.slice(7)).toContain(subject.slice(7));
        }
      }),
    );
  });

  it("went already: once they are gone no other goes", () => {
    fc.assert(
      fc.property(rules, facts, (of, repository) => {
        const gone = goes(of, repository);
        const tags = repository.tags.filter(({ tag }) => !gone.has(tag));
        expect(goes(of, { ...repository, tags })).toEqual(new Set());
      }),
    );
  });

  it("goes with a smaller number to keep, too", () => {
    fc.assert(
      fc.property(rules, facts, fc.integer({ min: 1, max: 4 }), (of, repository, fewer) => {
        const more = of.map((each) => (each.keep ? { ...each, keep: { ...each.keep, last: fewer + 1 } } : each));
        const less = of.map((each) => (each.keep ? { ...each, keep: { ...each.keep, last: fewer } } : each));
        const [kept, lost] = [goes(more, repository), goes(less, repository)];
        expect([...kept].filter((tag) => !lost.has(tag))).toEqual([]);
      }),
    );
  });

  it("is none where no rule is about it, whatever there is", () => {
    fc.assert(
      fc.property(rules, facts, (of, repository) => {
        const elsewhere = { ...repository, name: "elsewhere" };
        const about = of.map((each) => ({ ...each, repositories: ["prod/*", "ci/**"] }));
        expect(goes(about, elsewhere)).toEqual(new Set());
        expect(manifestsThatGo(about, elsewhere)).toEqual(new Set());
      }),
    );
  });
});

describe("a manifest that goes", () => {
  it("has no tag and is old enough by the rule for it", () => {
    fc.assert(
      fc.property(rules, facts, (of, repository) => {
        for (const digest of manifestsThatGo(of, repository)) {
          const { tags, pushed } = repository.revisions.find((each) => each.digest === digest) ?? expect.fail();
          expect(tags).toEqual([]);
          const least = Math.min(...of.map(({ expireUntaggedMs }) => expireUntaggedMs ?? Infinity));
          expect(NOW - pushed.getTime()).toBeGreaterThanOrEqual(least);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each<[what: string, rules: Partial<RetentionRule>[], goes: boolean]>([
    ["no rule", [], false],
    ["a rule that says so", [{ expireUntaggedMs: HOUR }], true],
    ["a rule for all tags that says nothing of it, before", [{}, { expireUntaggedMs: HOUR }], false],
    ["a rule for some tags before", [{ tags: ["v*"], keep: { last: 1 } }, { expireUntaggedMs: HOUR }], true],
    ["a rule for some tags that says so", [{ tags: ["v*"], expireUntaggedMs: HOUR }], true],
    ["a rule for another repository before", [{ repositories: ["b"] }, { expireUntaggedMs: HOUR }], true],
  ])("goes by %s: %j", (_what, of, expected) => {
    const all = of.map((each) => ({ repositories: ["a"], tags: ["*"], except: [], ...each }));
    const revision = { digest: digests[0] as Digest, pushed: new Date(NOW - 2 * HOUR), size: 1, tags: [] };
    const repository = { name: "a", asOf: new Date(NOW), tags: [], revisions: [revision] };
    expect(manifestsThatGo(all, repository).size).toBe(expected ? 1 : 0);
  });
});
