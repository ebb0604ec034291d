import type { Digest } from "../oci/digest.ts";
import type { RepositoryName, Tag } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { Bits, findSorted } from "./columns.ts";
import type { Marking } from "./marking.ts";
import type { PullTable } from "./pull-table.ts";
import type { RepositoryTable } from "./repository-table.ts";
import type { ExpiredTag, RepositoryFacts, Retention } from "./retention.ts";
import { secondsOf } from "./times.ts";

/** What a plan needs of what was listed and read. */
export type Marked = Pick<Marking, "blobs" | "repositories" | "needing" | "needed" | "extraRevisions" | "tagNames">;

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
  /** Of a tag that is named after a manifest: that manifest, with which alone it goes. It comes just before, or with others of these. */
  readonly with?: RevisionItem;
}

/**
 * The tags and manifests of all repositories that may go: what retention says, but for what stays needed. Parents before
 * children. A manifest whose tag goes stays: a later run finds it untagged.
 */
export function planRevisions(
  marking: Marked,
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
  const extraRows = new Map<string, number[]>();
  for (const { repository, digest } of marking.extraRevisions) {
    const row = marking.blobs.find(digest);
    if (row === undefined) continue;
    const others = extraRows.get(repository);
    if (others === undefined) extraRows.set(repository, [row]);
    else others.push(row);
  }
  marking.repositories.forEach((table, index) => {
    const names = marking.tagNames(index);
    let tag = 0;
    for (let repository = 0; repository < table.names.length; repository++) {
      const tags: { tag: string; digest: Digest; set: Date }[] = [];
      for (; tag < table.tagged.length && table.tagged.at(tag) === repository; tag++) {
        const digest = names[tag];
        if (digest !== undefined) tags.push({ tag: table.tags.at(tag), digest, set: dateOf(table.tagSet.at(tag)) });
      }
      const extra = extraRows.get(table.names.at(repository)) ?? [];
      const plan = { marking, table, repository, needs, tags, retention, pulls, asOf, horizon, extra };
      for (const item of planRepository(plan)) items.push(item);
    }
  });
  return items;
}

interface RepositoryToPlan {
  readonly marking: Marked;
  readonly table: RepositoryTable;
  readonly repository: number;
  readonly needs: Needs;
  readonly tags: RepositoryFacts["tags"];
  readonly retention: Retention;
  readonly pulls: PullTable;
  readonly asOf: Date;
  readonly horizon: number;
  /** Rows of its manifests that are not in the table: they stay, and what they need. */
  readonly extra: readonly number[];
}

function planRepository(plan: RepositoryToPlan): RevisionItem[] {
  const { marking, table, repository, needs, tags, retention, pulls, asOf, horizon } = plan;
  const [start, end] = table.revisionRows(repository);
  const name = table.names.at(repository) as RepositoryName;
  if (start === end || !retention.concerns(name)) return [];
  const tagsOf = new Map<Digest, string[]>();
  for (const { tag, digest } of tags) {
    const named = tagsOf.get(digest);
    if (named === undefined) tagsOf.set(digest, [tag]);
    else named.push(tag);
  }
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
  const tagsToGo = retention.expiredTags(facts);
  const youngTags = new Set(tags.filter(({ set }) => secondsOf(set) >= horizon).map(({ tag }) => tag));
  const young = tagsToGo.filter(({ tag }) => youngTags.has(tag));
  const signed = new Set(young.map(({ with: subject }) => subject));
  revisions.forEach(({ digest, tags: named }, index) => {
    const isYoung = table.revised.at(start + index) >= horizon || signed.has(digest);
    if (!reasons.has(digest) || named.length > 0 || isYoung) keep(index);
  });
  const indicesNeededBy = (needing: number): number[] =>
    needs
      .of(needing)
      .map((row) => findSorted(table.revisions, row, start, end))
      .filter((found) => found !== undefined)
      .map((found) => found - start);
  const neededBy = (index: number): number[] => indicesNeededBy(rows[index] as number);
  for (const row of plan.extra) indicesNeededBy(row).forEach(keep);
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) neededBy(index).forEach(keep);

  const items = new Map<number, RevisionItem & { after: RevisionItem[] }>();
  revisions.forEach(({ digest }, index) => {
    if (stays.has(index)) return;
    const reason = reasons.get(digest) ?? "";
    items.set(index, { repository: name, digest, reason, entries: [], isStored: true, after: [] });
  });
  for (const [index, item] of items) for (const needed of neededBy(index)) items.get(needed)?.after.push(item);
  const oldTags = tagsToGo.filter(({ tag }) => !youngTags.has(tag));
  return withTags(name, inOrder([...items.values()]), oldTags);
}

/** The tags first, and then the manifests, each with the tags that are named after it. */
function withTags(
  repository: RepositoryName,
  manifests: readonly RevisionItem[],
  tags: readonly ExpiredTag[],
): RevisionItem[] {
  const going = new Map(manifests.map((item) => [item.digest, item]));
  const items = new Map<string, RevisionItem>();
  const namedAfter = new Map<RevisionItem, Map<string, RevisionItem>>();
  for (const { tag, digest, reason, with: subject } of tags) {
    const item = { repository, tag: tag as Tag, digest, reason, entries: [], isStored: true, after: [] };
    const manifest = subject === undefined ? undefined : going.get(subject);
    if (subject === undefined) items.set(tag, item);
    else if (manifest !== undefined) {
      const named = namedAfter.get(manifest) ?? new Map<string, RevisionItem>();
      namedAfter.set(manifest, named.set(tag, { ...item, with: manifest }));
    }
  }
  return [...items.values(), ...manifests.flatMap((item) => [item, ...(namedAfter.get(item)?.values() ?? [])])];
}

/** Each after all that it has to come after. What waits for itself in a circle never goes. */
function inOrder(items: readonly RevisionItem[]): RevisionItem[] {
  const left = new Map(items.map((item) => [item, item.after.length]));
  const waiting = new Map<RevisionItem, RevisionItem[]>(items.map((item) => [item, []]));
  for (const item of items) for (const other of item.after) waiting.get(other)?.push(item);
  const ordered = items.filter(({ after }) => after.length === 0);
  // It grows while it is gone through.
  for (const item of ordered) {
    for (const next of waiting.get(item) ?? []) {
      const count = (left.get(next) ?? 0) - 1;
      left.set(next, count);
      if (count === 0) ordered.push(next);
    }
  }
  return ordered;
}

/** Which rows a manifest needs: children, and those that refer to it. */
class Needs {
  readonly #starts: Uint32Array;
  readonly #rows: Uint32Array;

  constructor({ needing, needed, blobs }: Marked) {
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
