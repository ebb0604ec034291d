import type { Digest } from "../oci/digest.ts";
import type { RepositoryName, Tag } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { Bits, findSorted } from "./columns.ts";
import type { Marking } from "./marking.ts";
import type { PullTable } from "./pull-table.ts";
import type { RepositoryTable } from "./repository-table.ts";
import type { RepositoryFacts, Retention } from "./retention.ts";
import { secondsOf } from "./times.ts";

/** A manifest that may be taken out of its repository, or what is left of one in our index of referrers, or a tag. */
export interface RevisionItem {
  readonly repository: RepositoryName;
  /** The tag, where it is one. */
  readonly tag?: Tag;
  /** The manifest, or what the tag names. */
  readonly digest: Digest;
  /** Why, in a few words. */
  readonly reason: string;
  /** Entries of the index of referrers, which go first. */
  readonly entries: readonly string[];
  /** Is the manifest itself still there? */
  readonly isStored: boolean;
  /** Items that must have been deleted before, by the same run. */
  readonly after: readonly RevisionItem[];
}

/**
 * The tags and manifests of all repositories that may go: what retention says, but for what stays needed. Parents before
 * children. A manifest whose tag goes stays: a later run finds it untagged.
 */
export function planRevisions(
  marking: Marking,
  retention: Retention,
  pulls: PullTable,
  asOf: Date,
  horizon: number,
): RevisionItem[] {
  const items: RevisionItem[] = [];
  const extra = new Set(marking.extraRevisions.map(({ repository, digest }) => `${repository}@${digest}`));
  for (const { few } of marking.repositories) {
    for (const { repository, subject, referrer, modified } of few.deadReferrers) {
      if (modified >= horizon || extra.has(`${repository}@${referrer}`)) continue;
      const name = repository as RepositoryName;
      const entries = [layout.referrerLink(name, subject, referrer)];
      items.push({
        repository: name,
        digest: referrer,
        reason: "referrer is gone",
        entries,
        isStored: false,
        after: [],
      });
    }
  }
  if (!retention.isActive) return items;

  const needs = new Needs(marking);
  marking.repositories.forEach((table, index) => {
    const names = marking.tagNames(index);
    let tag = 0;
    for (let repository = 0; repository < table.names.length; repository++) {
      const tags: { tag: string; digest: Digest; set: Date }[] = [];
      for (; tag < table.tagged.length && table.tagged.at(tag) === repository; tag++) {
        const digest = names[tag];
        if (digest !== undefined) tags.push({ tag: table.tags.at(tag), digest, set: dateOf(table.tagSet.at(tag)) });
      }
      items.push(...planRepository({ marking, table, repository, needs, tags, retention, pulls, asOf, horizon }));
    }
  });
  return items;
}

interface RepositoryToPlan {
  readonly marking: Marking;
  readonly table: RepositoryTable;
  readonly repository: number;
  readonly needs: Needs;
  readonly tags: RepositoryFacts["tags"];
  readonly retention: Retention;
  readonly pulls: PullTable;
  readonly asOf: Date;
  readonly horizon: number;
}

function planRepository(plan: RepositoryToPlan): RevisionItem[] {
  const { marking, table, repository, needs, tags, retention, pulls, asOf, horizon } = plan;
  const [start, end] = table.revisionRows(repository);
  const name = table.names.at(repository) as RepositoryName;
  if (start === end || !retention.concerns(name)) return [];
  const tagsOf = new Map<Digest, string[]>();
  for (const { tag, digest } of tags) tagsOf.set(digest, [...(tagsOf.get(digest) ?? []), tag]);
  const rows: number[] = [];
  const revisions = Array.from({ length: end - start }, (_, i) => {
    const row = table.revisions.at(start + i);
    rows.push(row);
    const digest = marking.blobs.digests.at(row);
    return {
      digest,
      pushed: dateOf(table.revised.at(start + i)),
      size: marking.blobs.sizeOf(row),
      tags: tagsOf.get(digest) ?? [],
    };
  });
  const facts: RepositoryFacts = {
    ...{ name, asOf, revisions, tags },
    pullsRecordedSince: pulls.since,
    pulled: (digest) => pulls.lastPulled(name, digest),
  };
  const reasons = new Map(retention.expired(facts).map(({ digest, reason }) => [digest, reason]));

  // What stays, and then whatever that needs.
  const stays = new Bits(revisions.length);
  const queue: number[] = [];
  const keep = (index: number): void => {
    if (stays.has(index)) return;
    stays.add(index);
    queue.push(index);
  };
  revisions.forEach(({ digest, tags: named }, index) => {
    if (!reasons.has(digest) || named.length > 0 || table.revised.at(start + index) >= horizon) keep(index);
  });
  const neededBy = (index: number): number[] =>
    needs
      .of(rows[index] as number)
      .map((row) => findSorted(table.revisions, row, start, end))
      .filter((found) => found !== undefined)
      .map((found) => found - start);
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) neededBy(index).forEach(keep);

  const items = new Map<number, RevisionItem & { after: RevisionItem[] }>();
  revisions.forEach(({ digest }, index) => {
    if (stays.has(index)) return;
    const reason = reasons.get(digest) ?? "";
    items.set(index, { repository: name, digest, reason, entries: [], isStored: true, after: [] });
  });
  for (const [index, item] of items) for (const needed of neededBy(index)) items.get(needed)?.after.push(item);
  return inOrder([...planTags(plan, facts, [...items.values()]), ...items.values()]);
}

/** The tags that go: those older than the horizon, and signatures where what they sign goes. */
function planTags(
  { retention, horizon }: RepositoryToPlan,
  facts: RepositoryFacts,
  manifests: readonly RevisionItem[],
): RevisionItem[] {
  const young = new Set(facts.tags.filter(({ set }) => secondsOf(set) >= horizon).map(({ tag }) => tag));
  const going = new Map(manifests.map((item) => [item.digest, item]));
  const items = new Map<string, RevisionItem>();
  for (const { tag, digest, reason, with: subject } of retention.expiredTags(facts)) {
    const after = subject === undefined ? undefined : going.get(subject);
    if (young.has(tag) || (subject !== undefined && after === undefined)) continue;
    items.set(tag, {
      ...{ repository: facts.name as RepositoryName, tag: tag as Tag, digest, reason },
      ...{ entries: [], isStored: true, after: after === undefined ? [] : [after] },
    });
  }
  return [...items.values()];
}

/** Each after all that it has to come after. What waits for itself in a circle never goes. */
function inOrder(items: readonly RevisionItem[]): RevisionItem[] {
  const ordered = new Set<RevisionItem>();
  for (let waiting = [...items]; waiting.length > 0;) {
    const ready = waiting.filter(({ after }) => after.every((item) => ordered.has(item)));
    if (ready.length === 0) break;
    for (const item of ready) ordered.add(item);
    waiting = waiting.filter((item) => !ordered.has(item));
  }
  return [...ordered];
}

/** Which rows a manifest needs: children, and those that refer to it. */
class Needs {
  readonly #starts: Uint32Array;
  readonly #rows: Uint32Array;

  constructor({ needing, needed, blobs }: Marking) {
    this.#starts = new Uint32Array(blobs.length + 1);
    for (const row of needing.view()) this.#starts[row + 1] = (this.#starts[row + 1] as number) + 1;
    for (let row = 0; row < blobs.length; row++) {
      this.#starts[row + 1] = (this.#starts[row + 1] as number) + (this.#starts[row] as number);
    }
    const next = this.#starts.slice();
    this.#rows = new Uint32Array(needed.length);
    needing.view().forEach((row, index) => {
      const at = next[row] as number;
      this.#rows[at] = needed.at(index);
      next[row] = at + 1;
    });
  }

  of(row: number): number[] {
    return [...this.#rows.subarray(this.#starts[row], this.#starts[row + 1])];
  }
}

function dateOf(seconds: number): Date {
  return new Date(seconds * 1000);
}
