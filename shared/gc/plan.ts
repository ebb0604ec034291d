import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { LinksOf, planBlobs, reasonOf } from "./blob-plan.ts";
import { Bits, Uints } from "./columns.ts";
import type { Due } from "./events.ts";
import type { ListedMark, MarkTable } from "./mark-table.ts";
import type { Marking } from "./marking.ts";
import type { Planned } from "./planned.ts";
import type { PullTable } from "./pull-table.ts";
import { planRevisions, type RevisionItem } from "./revision-plan.ts";
import type { Retention } from "./retention.ts";
import type { Amount } from "./summary.ts";
import { dueOf, type SweepItem } from "./sweeping.ts";
import { horizonSeconds } from "./times.ts";

/** A mark that is to be condemned, over what it was. */
export interface ToCondemn {
  readonly key: string;
  readonly over: ListedMark | undefined;
}

/** A manifest or tag to be swept, and what has to be gone before. */
export interface RevisionSweep extends SweepItem {
  readonly revision: RevisionItem;
}

/**
 * Steps 3 and 4 of a run as a plan: a pure function of what was listed, so that a later process that has the same lists
 * goes on with it where the first one stopped.
 */
export class Plan {
  /** What nothing needs and is older than the horizon. */
  readonly eligible: { readonly blobs: number; readonly bytes: number };
  /** What nothing needs and is not. */
  readonly young: Pick<Amount, "blobs" | "bytes">;
  readonly revisions: readonly RevisionItem[];
  /** Marks of what is no candidate any more. */
  readonly clear: Uints;
  readonly #marking: Marking;
  readonly #marks: MarkTable;
  /** Candidates, and of each the row of its mark, plus one; 0 for none. */
  readonly #rows: Uints;
  readonly #markRows: Uint32Array;
  readonly #revisionMarks: Uint32Array;
  readonly #times: GcTimes;
  readonly #due: (mark: ListedMark) => ReturnType<typeof dueOf>;
  readonly #sweepable: Uints;
  readonly #links: LinksOf;

  constructor(marking: Marking, marks: MarkTable, pulls: PullTable, begun: Date, times: GcTimes, retention: Retention) {
    const horizon = horizonSeconds(begun, times);
    this.#marking = marking;
    this.#marks = marks;
    this.#times = times;
    this.#due = (mark) => dueOf(mark, begun, times);
    const wanted = new Bits(marks.length);
    const rowOf = (key: string): number => {
      const row = marks.find(key);
      if (row === undefined) return 0;
      wanted.add(row);
      return row + 1;
    };

    const { blobs } = marking;
    ({ rows: this.#rows, young: this.young } = planBlobs(marking, horizon));
    this.#markRows = new Uint32Array(this.#rows.length);
    this.#sweepable = new Uints();
    let bytes = 0;
    for (let i = 0; i < this.#rows.length; i++) {
      const row = this.#rows.at(i);
      bytes += blobs.sizeOf(row);
      this.#markRows[i] = rowOf(layout.blobMark(blobs.digestOf(row)));
      if (this.#dueAt(this.#markRows[i]) === "now") this.#sweepable.push(row);
    }
    this.eligible = { blobs: this.#rows.length, bytes };
    this.#links = new LinksOf(marking, this.#sweepable);

    this.revisions = planRevisions(marking, retention, pulls, begun, horizon);
    this.#revisionMarks = Uint32Array.from(this.revisions, (item) => rowOf(markOf(item)));

    this.clear = new Uints();
    for (let row = 0; row < marks.length; row++) {
      if (wanted.has(row)) continue;
      const mark = marks.at(row);
      if (mark.state === "condemned" || this.#due(mark) === "take over") this.clear.push(row);
    }
  }

  /** Blobs that are candidates. */
  get candidates(): number {
    return this.#rows.length;
  }

  /** A candidate by its number. */
  candidateAt(index: number): Planned & { readonly size: number; readonly due: Due } {
    const row = this.#rows.at(index);
    const { blobs } = this.#marking;
    const reason = reasonOf({ isStored: blobs.isStored(row) });
    return { digest: blobs.digestOf(row), reason, size: blobs.sizeOf(row), due: this.#dueAt(this.#markRows[index]) };
  }

  /** When a manifest or tag may be deleted, by its place in `revisions`. */
  revisionDue(index: number): Due {
    return this.#dueAt(this.#revisionMarks[index]);
  }

  /** What of the eligible is not condemned yet, what is but not for long enough, and from when on the latter may go. */
  amounts(): { readonly fresh: Amount; readonly waiting: Amount; readonly waitingFrom?: Date } {
    const fresh = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
    const waiting = { ...fresh };
    let from = 0;
    const amountOf = (due: Due): typeof fresh | undefined => {
      if (!(due instanceof Date)) return due === "now" ? undefined : fresh;
      from = Math.max(from, due.getTime());
      return waiting;
    };
    for (let i = 0; i < this.#rows.length; i++) {
      const amount = amountOf(this.#dueAt(this.#markRows[i]));
      if (amount === undefined) continue;
      amount.blobs++;
      amount.bytes += this.#marking.blobs.sizeOf(this.#rows.at(i));
    }
    this.revisions.forEach(({ tag }, index) => {
      const amount = amountOf(this.revisionDue(index));
      if (amount !== undefined) amount[tag === undefined ? "manifests" : "tags"]++;
    });
    return { fresh, waiting, ...(from === 0 ? {} : { waitingFrom: new Date(from) }) };
  }

  /** What is to be condemned of the candidates from `start` to `end`; those after the blobs are manifests. */
  toCondemn(start: number, end: number): ToCondemn[] {
    const found: ToCondemn[] = [];
    for (let i = start; i < Math.min(end, this.#rows.length + this.revisions.length); i++) {
      const revision = this.revisions[i - this.#rows.length];
      const over = this.#markAt(
        revision === undefined ? this.#markRows[i] : this.#revisionMarks[i - this.#rows.length],
      );
      if (over !== undefined && over.state !== "cleared" && over.state !== "swept") continue;
      const key =
        revision === undefined ? layout.blobMark(this.#marking.blobs.digestOf(this.#rows.at(i))) : markOf(revision);
      found.push({ key, over });
    }
    return found;
  }

  /** Blobs that may be swept. */
  get sweepable(): number {
    return this.#sweepable.length;
  }

  /** A blob that may be swept, by its number. */
  sweepAt(index: number): SweepItem {
    const { digest, size, isStored, links } = this.#links.itemAt(index);
    const mark = this.#marks.at(this.#marks.find(layout.blobMark(digest)) as number);
    if (!isStored) return { digest, links, last: undefined, mark };
    const bytes = layout.blob(digest);
    return { digest, links, bytes, size, last: bytes, mark };
  }

  /**
   * What goes together, from a place in `revisions` on: a tag, or a manifest and the tags that are named after it. Nothing
   * may be swept of it where one of the marks is not ripe.
   */
  groupAt(start: number): { readonly end: number; readonly items: readonly RevisionSweep[] } {
    let end = start + 1;
    while (this.revisions[end]?.with !== undefined) end++;
    const items: RevisionSweep[] = [];
    for (let index = start; index < end; index++) {
      const item = this.#revisionAt(index);
      if (item === undefined) return { end, items: [] };
      items.push(item);
    }
    return { end, items };
  }

  /** Undefined where its mark is not ripe. */
  #revisionAt(index: number): RevisionSweep | undefined {
    const revision = this.revisions[index];
    const mark = this.#markAt(this.#revisionMarks[index]);
    if (revision === undefined || mark === undefined || this.revisionDue(index) !== "now") return undefined;
    const { repository, tag, digest, entries, isStored } = revision;
    if (tag !== undefined) {
      const together = revision.with === undefined ? {} : { with: markOf(revision.with) };
      return { digest, repository, tag, links: [], last: layout.tagLink(repository, tag), mark, revision, ...together };
    }
    const links = isStored ? [...entries, layout.revisionLink(repository, digest)] : entries;
    return { digest, repository, links, last: undefined, mark, revision };
  }

  #markAt(rowPlusOne: number | undefined): ListedMark | undefined {
    return rowPlusOne === undefined || rowPlusOne === 0 ? undefined : this.#marks.at(rowPlusOne - 1);
  }

  #dueAt(rowPlusOne: number | undefined): Due {
    const mark = this.#markAt(rowPlusOne);
    // A mark that means "absent" is condemned over, however young it is.
    if (mark === undefined || mark.state === "cleared" || mark.state === "swept") return "once condemned";
    if (this.#due(mark) !== "wait") return "now";
    const { settleMs, takeoverMs } = this.#times;
    // What another run is deleting may be taken over after more than D.
    return new Date(mark.since * 1000 + (mark.state === "condemned" ? settleMs : takeoverMs + 1));
  }
}

function markOf({ repository, tag, digest }: RevisionItem): string {
  return tag === undefined ? layout.revisionMark(repository, digest) : layout.tagMark(repository, tag);
}
