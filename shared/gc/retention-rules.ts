/**
 * Retention by rules: docs/retention.md. The first rule that is about a tag decides on it; a tag stays if any of the
 * conditions of that rule says so, and where there is no rule, or the rule says nothing of what to keep.
 */
import { algorithmOf, hexOf, type Digest } from "../oci/digest.ts";
import { matchesAny, selectsTag, type TagPatterns } from "../oci/name-pattern.ts";
import type { Expired, ExpiredTag, RepositoryFacts, Retention, TagFacts } from "./retention.ts";
import { spanOf } from "./times.ts";

/** One rule. Patterns are those of `shared/oci/name-pattern.ts`. */
export interface RetentionRule extends TagPatterns {
  /** What of the tags stays, by any of these; the others go. Absent: all stay. */
  readonly keep?: KeepConditions;
  /** Untagged manifests go when they were pushed longer ago. In milliseconds; absent: they stay. */
  readonly expireUntaggedMs?: number;
}

/** At least one of these. */
export interface KeepConditions {
  /** Tags after which fewer than so many others were pushed, of those that the rule is about: more of them in one second. */
  readonly last?: number;
  /** Tags of these patterns. */
  readonly matching?: readonly string[];
  /** What was pushed no more than so many milliseconds ago. */
  readonly youngerThanMs?: number;
  /** What was pulled no more than so many milliseconds ago. */
  readonly pulledWithinMs?: number;
}

/** The retention that these rules ask for. Throws where they have what is no pattern. */
export function retentionByRules(rules: readonly RetentionRule[]): Retention {
  const compiled = rules.map(compile);
  const active = compiled.filter(
    ({ rule: { keep, expireUntaggedMs } }) => keep !== undefined || expireUntaggedMs !== undefined,
  );
  const windows = rules.flatMap(({ keep }) => keep?.pulledWithinMs ?? []);
  return {
    name: rules.length === 0 ? "keep all" : `rules ${JSON.stringify(rules)}`,
    isActive: active.length > 0,
    concerns: rememberingLast((repository) => active.some(({ isOfRepository }) => isOfRepository(repository))),
    pullsWithinMs: windows.length === 0 ? undefined : Math.max(...windows),
    expired: (facts) => expiredManifests(compiled, facts),
    expiredTags: (facts) => expiredTags(compiled, facts),
  };
}

/** For each of its tags a repository is asked about, one tag after the other. */
function rememberingLast(ask: (name: string) => boolean): (name: string) => boolean {
  let last: { readonly name: string; readonly answer: boolean } | undefined;
  return (name) => {
    if (last?.name !== name) last = { name, answer: ask(name) };
    return last.answer;
  };
}

/** Tags that are named after a manifest: signatures and the like, and the fallback of the referrers API. */
const NAMED_AFTER = /^(sha256|sha512)-([0-9a-f]{64,128})(?:\.[A-Za-z0-9]+)?$/;
const NAMED_HEX = 64;

/** A day: how exactly it is known when something was pulled. */
const PULL_SLACK_MS = 24 * 60 * 60 * 1000;

interface Compiled {
  readonly name: string;
  readonly rule: RetentionRule;
  readonly isOfRepository: (name: string) => boolean;
  readonly isAbout: (repository: string, tag: string) => boolean;
  readonly matching: (tag: string) => boolean;
}

function compile(rule: RetentionRule, index: number): Compiled {
  return {
    name: `retention.${index}`,
    rule,
    isOfRepository: matchesAny(rule.repositories),
    isAbout: selectsTag([rule]),
    matching: matchesAny(rule.keep?.matching ?? []),
  };
}

function expiredTags(rules: readonly Compiled[], facts: RepositoryFacts): ExpiredTag[] {
  const expired: ExpiredTag[] = [];
  const governed = new Map<Compiled, TagFacts[]>(rules.map((rule) => [rule, []]));
  const subjects = new Map(facts.revisions.map(({ digest }) => [nameAfter(digest), digest]));
  for (const fact of facts.tags) {
    const rule = rules.find(({ isAbout }) => isAbout(facts.name, fact.tag));
    if (rule?.rule.keep === undefined) continue;
    const after = subjectOf(fact.tag, subjects);
    if (after === undefined) governed.get(rule)?.push(fact);
    else if (after !== "elsewhere") {
      const { tag, digest } = fact;
      expired.push({ tag, digest, reason: `${rule.name}: what it belongs to goes`, with: after });
    }
  }
  for (const [rule, tags] of governed) for (const one of expiredBy(rule, tags, facts)) expired.push(one);
  return expired;
}

function expiredBy(
  { name, rule, matching }: Compiled,
  tags: readonly TagFacts[],
  facts: RepositoryFacts,
): ExpiredTag[] {
  const keep = rule.keep ?? {};
  const newestFirst = tags.toSorted((a, b) => b.set.getTime() - a.set.getTime() || (a.tag < b.tag ? -1 : 1));
  // Times are whole seconds: which of two in one second came last nobody knows, so they stay or go together.
  const since = keep.last === undefined ? undefined : (newestFirst[keep.last - 1] ?? newestFirst.at(-1))?.set;
  const reason = `${name}: ${reasonsOf(keep).join(", ")}`;
  return newestFirst
    .filter(({ tag, set }) => (since === undefined || set < since) && !matching(tag))
    .filter(({ set, digest }) => !isYounger(set, keep.youngerThanMs, facts.asOf) && !isPulled(digest, keep, facts))
    .map(({ tag, digest }) => ({ tag, digest, reason }));
}

/** Untagged manifests are the affair of the first rule for their repository that speaks of them, or of all tags. */
function expiredManifests(rules: readonly Compiled[], facts: RepositoryFacts): Expired[] {
  const found = rules.find(({ rule, isOfRepository }) => {
    const isAboutAll = rule.except.length === 0 && rule.tags.some((pattern) => /^\*+$/.test(pattern));
    return isOfRepository(facts.name) && (rule.expireUntaggedMs !== undefined || isAboutAll);
  });
  const { expireUntaggedMs, keep = {} } = found?.rule ?? {};
  if (found === undefined || expireUntaggedMs === undefined) return [];
  const reason = `${found.name}: untagged, pushed more than ${spanOf(expireUntaggedMs)} ago`;
  return facts.revisions
    .filter(({ tags }) => tags.length === 0)
    .filter(({ pushed, digest }) => !isYounger(pushed, expireUntaggedMs, facts.asOf) && !isPulled(digest, keep, facts))
    .map(({ digest }) => ({ digest, reason }));
}

function isYounger(time: Date, ms: number | undefined, asOf: Date): boolean {
  return ms !== undefined && asOf.getTime() - time.getTime() <= ms;
}

/** Nothing is known of what was pulled before pulls were recorded: until that is long enough ago, all of it was. */
function isPulled(digest: Digest, { pulledWithinMs }: KeepConditions, facts: RepositoryFacts): boolean {
  if (pulledWithinMs === undefined) return false;
  const { pullsRecordedSince: since, asOf, pulled } = facts;
  if (since === undefined || isYounger(since, pulledWithinMs, asOf)) return true;
  const last = pulled?.(digest);
  return last !== undefined && isYounger(last, pulledWithinMs + PULL_SLACK_MS, asOf);
}

/**
 * The manifest that a tag is named after, of those of this repository by `nameAfter`. It may be one of another repository,
 * as cosign can be told.
 */
function subjectOf(tag: string, subjects: ReadonlyMap<string, Digest>): Digest | "elsewhere" | undefined {
  const [, algorithm, hex = ""] = NAMED_AFTER.exec(tag) ?? [];
  if (algorithm === undefined) return undefined;
  const subject = subjects.get(`${algorithm}-${hex.slice(0, NAMED_HEX)}`);
  return subject !== undefined && hexOf(subject).startsWith(hex) ? subject : "elsewhere";
}

/** What every tag begins with that is named after a manifest: the fallback of the referrers API cuts what is longer. */
function nameAfter(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest).slice(0, NAMED_HEX)}`;
}

function reasonsOf({ last, matching, youngerThanMs, pulledWithinMs }: KeepConditions): string[] {
  return [
    ...(last === undefined ? [] : [`not of the last ${last}`]),
    ...(matching === undefined ? [] : [`not matching ${matching.join(" ")}`]),
    ...(youngerThanMs === undefined ? [] : [`pushed more than ${spanOf(youngerThanMs)} ago`]),
    ...(pulledWithinMs === undefined ? [] : [`not pulled within ${spanOf(pulledWithinMs)}`]),
  ];
}
