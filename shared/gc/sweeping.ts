import { randomUUID } from "node:crypto";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import type { Marks } from "../registry/marks.ts";
import { mapLimit } from "../storage/concurrency.ts";
import {
  DeletesFailedError,
  PreconditionFailedError,
  type FencedDelete,
  type Permit,
  type StorageDriver,
} from "../storage/driver.ts";
import { journalName, readBatch, writeJournal, type JournalEntry } from "./journal.ts";
import type { ListedMark } from "./mark-table.ts";
import type { Failed } from "./run-state.ts";
import type { SetAside } from "./trash.ts";
import { isPassing } from "./tried.ts";

/** Marks that are written side by side. */
const WRITES = 32;
/** Items that are looked at side by side. */
const READS = 24;
/** 8 GiB of copies are as much as the thousand keys of a batch. */
const COPIED_BYTES_A_KEY = 8 * 1024 ** 2;
/** More than a lease has. */
const LOOK_BYTES = 1024 * 1024;

/** What is to be deleted, and the mark under which. */
export interface SweepItem extends JournalEntry {
  readonly mark: ListedMark;
  /** The key that goes last: the bytes of a blob, the link of a tag. */
  readonly last: string | undefined;
  /** The key of the mark of another item of the batch, under which it goes too, and after which: both go, or both stay. */
  readonly with?: string;
}

/** What came of a batch. */
export interface Swept<T> {
  readonly deleted: readonly T[];
  /** Somebody cleared their mark in between, or is deleting them. */
  readonly lost: number;
  /** The store refused, since the permit was over, or they failed: another run will take them. */
  readonly refused: number;
  /** Why some of the refused could not be copied or deleted, or did not answer; undefined where none failed. */
  readonly failed: Failed | undefined;
  /** The name of its batch in the journal; undefined where there was nothing to delete. */
  readonly journal: string | undefined;
}

/** Leave to delete marks that mean "absent". */
export interface Dropping {
  /**
   * Deletes such marks, listed at `asOf`. The permit is of that time, so that a delete that is late meets no mark that is
   * `deleting` by then. Ends it.
   */
  drop(keys: readonly string[], asOf: Date): Promise<void>;
}

/** The changes of marks that a run makes, and the deletes that go with them. */
export class Sweeper {
  readonly #driver: StorageDriver;
  readonly #marks: Marks;
  readonly #run: string;
  readonly #aside: SetAside | undefined;
  #batches: number;

  /** `batches`: how many the run has swept before. `aside`: where copies are put first, if they are. */
  constructor(driver: StorageDriver, marks: Marks, run: string, batches: number, aside: SetAside | undefined) {
    this.#driver = driver;
    this.#marks = marks;
    this.#run = run;
    this.#batches = batches;
    this.#aside = aside;
  }

  /** Condemns what was found to be garbage; gives how many marks were not as they were listed any more, and when the last of the others was written. */
  async condemn(
    marks: readonly { readonly key: string; readonly over: ListedMark | undefined }[],
  ): Promise<{ readonly lost: number; readonly lastAt: Date | undefined }> {
    const done = await mapLimit(marks, WRITES, async ({ key, over }) => {
      return await this.#written(async () => await this.#marks.write(key, "condemned", over));
    });
    const written = done.filter((mark) => mark !== undefined);
    const lastAt = written.reduce((last, { asOf }) => Math.max(last, asOf.getTime()), 0);
    return { lost: done.length - written.length, lastAt: lastAt === 0 ? undefined : new Date(lastAt) };
  }

  /** Clears marks of what is no garbage any more. Those that are `deleting` were so for longer than D. */
  async clear(marks: readonly ListedMark[]): Promise<void> {
    await mapLimit(marks, WRITES, async (mark) => {
      if (mark.state === "deleting") await this.#revoke(mark);
      await this.#written(async () => await this.#marks.write(mark.key, "cleared", mark));
    });
  }

  /** How much more than its keys an item fills a batch, counted as keys: copies take their time. */
  weightOf({ size = 0 }: SweepItem): number {
    return this.#aside === undefined ? 0 : size / COPIED_BYTES_A_KEY;
  }

  /** Opens the permit for `drop`: before the marks are listed, so that who looks for expired permits later finds it. */
  async openDropping(): Promise<Dropping> {
    const id = this.#newPermit();
    const { fenced } = this.#driver;
    await fenced.open(id);
    return {
      drop: async (keys, asOf) => {
        if (keys.length > 0) await fenced.delete(keys.map((key) => ({ key, permit: { id, since: asOf } })));
        await fenced.revoke(id);
      },
    };
  }

  /**
   * Deletes what was condemned for long enough. Links first, then bytes, each sent once, with the permit of its mark; what
   * fails or throws in between leaves marks that are `deleting`, which a later run takes over. What has no copy, where there
   * is to be one, stays whole under the mark that it has.
   *
   * `look` completes an item, or says that it stays after all. It is called once the permit has begun, so that what it saw
   * is no older than that when the delete takes effect.
   */
  async sweep<T extends SweepItem>(
    planned: readonly T[],
    look: (item: T) => Promise<T | undefined> = async (item) => await Promise.resolve(item),
  ): Promise<Swept<T>> {
    const uncopied = await this.#aside?.copy(planned.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes])));
    const stuck = new Set(planned.filter(({ bytes }) => bytes !== undefined && uncopied?.has(bytes) === true));
    const copied = planned.filter((item) => !stuck.has(item));
    const id = this.#newPermit();
    await this.#driver.fenced.open(id);
    // Of an answer before the PUT of `deleting`: that may be sent again, and its answer be younger than the mark.
    const { asOf: since } = await this.#driver.look(layout.gcLease, LOOK_BYTES);
    const permit = { id, since };
    const looked = await mapLimit(copied, READS, look);
    const staying = new Set([...stuck, ...copied.filter((_, index) => looked[index] === undefined)].map(groupOf));
    const items = looked.filter((item) => item !== undefined).filter((item) => !staying.has(groupOf(item)));
    const won = await this.#mark(items, id);
    const lost = items.length - won.length;
    if (won.length === 0) {
      await this.#driver.fenced.revoke(id);
      return { deleted: [], lost, refused: stuck.size, failed: failedOf([...(uncopied ?? [])]), journal: undefined };
    }

    const entries = won.map(({ item: { digest, repository, tag, links, bytes, size }, before }) => {
      return {
        digest,
        // Whoever began has taken some already: undoing this run brings them back with the rest.
        links: [...new Set([...(before?.links ?? []), ...links])],
        ...(repository && { repository }),
        ...(tag && { tag }),
        ...(bytes && { bytes }),
        ...(size !== undefined && { size }),
      };
    });
    const journal = journalName(permit, this.#batches++);
    await writeJournal(this.#driver, this.#run, journal, { permit: id, entries });

    const refused = new Set<string>();
    const failures = new Map<string, Error>();
    await this.#delete(
      won.flatMap(({ item: { links } }) => links.map((key) => ({ key, permit }))),
      refused,
      failures,
    );
    const linked = new Set<string>();
    for (const { item } of won) if (item.links.some((key) => refused.has(key))) linked.add(item.mark.key);
    const unlinked = won.filter(({ item }) => !linked.has(item.mark.key) && !linked.has(groupOf(item)));
    const last = unlinked.flatMap(({ item }) => (item.last === undefined ? [] : [{ key: item.last, permit }]));
    await this.#delete(last, refused, failures);

    const gone = unlinked.filter(({ item }) => item.last === undefined || !refused.has(item.last));
    // A mark says "swept" only when all is answered that goes under it.
    const isGone = new Set(gone);
    const left = new Set(won.filter((each) => !isGone.has(each)).map(({ item }) => groupOf(item)));
    await mapLimit(gone, WRITES, async ({ item, etag }) => {
      if (left.has(item.mark.key)) return;
      await this.#written(async () => await this.#marks.write(item.mark.key, "swept", { etag }));
    });
    await this.#driver.fenced.revoke(id);
    const undeleted = won.flatMap(({ item: { links, last = "" } }) => {
      const key = [...links, last].find((each) => failures.has(each));
      const error = failures.get(key ?? "");
      return key === undefined || error === undefined ? [] : [[key, error] as const];
    });
    const failed = failedOf([...(uncopied ?? []), ...undeleted]);
    const refusals = stuck.size + won.length - gone.length;
    return { deleted: gone.map(({ item }) => item), lost, refused: refusals, failed, journal };
  }

  /**
   * Writes `deleting` over the marks, and gives the items that may go. What goes with another is marked first: where somebody
   * was faster with any mark of these, all of them stay, and what was marked is cleared, since nothing was sent under it.
   */
  async #mark<T extends SweepItem>(items: readonly T[], id: Permit["id"]): Promise<MarkedItem<T>[]> {
    const batches = new Map<string, Promise<readonly JournalEntry[]>>();
    const mark = async (some: readonly T[]): Promise<MarkedItem<T>[]> => {
      const marked = await mapLimit(some, WRITES, async (item) => {
        const before = item.mark.state === "deleting" ? await this.#takeOver(item, batches) : undefined;
        const written = await this.#written(
          async () => await this.#marks.write(item.mark.key, "deleting", item.mark, id),
        );
        return written === undefined ? undefined : { item, etag: written.etag, before };
      });
      return marked.filter((one) => one !== undefined);
    };
    const followers = items.filter((item) => item.with !== undefined);
    const marked = await mark(followers);
    const isMarked = new Set(marked.map(({ item }) => item));
    const lost = new Set(followers.filter((item) => !isMarked.has(item)).map(groupOf));
    const won = await mark(items.filter((item) => item.with === undefined && !lost.has(groupOf(item))));
    const groups = new Set(won.map(({ item }) => groupOf(item)));
    await mapLimit(marked, WRITES, async (one) => {
      const { item, etag } = one;
      if (groups.has(groupOf(item))) won.push(one);
      else await this.#written(async () => await this.#marks.write(item.mark.key, "cleared", { etag }));
    });
    return won;
  }

  /** What fails is refused too: whether it is gone nobody knows, so its mark is left as it is. */
  async #delete(items: readonly FencedDelete[], refused: Set<string>, failures: Map<string, Error>): Promise<void> {
    if (items.length === 0) return;
    try {
      for (const key of await this.#driver.fenced.delete(items)) refused.add(key);
    } catch (error) {
      if (!(error instanceof DeletesFailedError)) throw error;
      for (const [key, failure] of error.failures) failures.set(key, failure);
      for (const key of [...error.failures.keys(), ...error.refused]) refused.add(key);
    }
  }

  /** Ends the permit of somebody who began to delete and did not come to the end; gives it. */
  async #revoke({ key, etag }: ListedMark): Promise<Permit["id"] | undefined> {
    const { mark } = await this.#marks.read(key);
    if (mark?.etag !== etag || mark.permit === undefined) return undefined;
    await this.#driver.fenced.revoke(mark.permit);
    return mark.permit;
  }

  /** The same, but gives what the journal says of the item there: `batches` are those that were read, by their permits. */
  async #takeOver(
    { digest, repository, tag, mark }: SweepItem,
    batches: Map<string, Promise<readonly JournalEntry[]>>,
  ): Promise<JournalEntry | undefined> {
    const permit = await this.#revoke(mark);
    if (permit === undefined) return undefined;
    const batch = batches.get(permit) ?? readBatch(this.#driver, permit);
    batches.set(permit, batch);
    return (await batch).find(
      (entry) => entry.digest === digest && entry.repository === repository && entry.tag === tag,
    );
  }

  /** Undefined where the mark is not any more what it was. */
  async #written<T>(write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await write();
    } catch (error) {
      if (error instanceof PreconditionFailedError) return undefined;
      throw error;
    }
  }

  #newPermit(): Permit["id"] {
    return `${this.#run}/${randomUUID()}`;
  }
}

/** What is told of some that failed, one key of each. */
function failedOf(failures: readonly (readonly [key: string, error: Error])[]): Failed | undefined {
  const [first] = failures;
  if (first === undefined) return undefined;
  const isPast = failures.some(([, error]) => isPassing(error));
  return { count: failures.length, first: sentenceOf(...first), ...(isPast && { passing: true }) };
}

/** Why something could not be done with a key; the store's word may name it. */
function sentenceOf(key: string, { message }: Error): string {
  return message.includes(key) ? message : `${key}: ${message}`;
}

/** An item under a mark that says `deleting`, and the ETag of that. */
interface MarkedItem<T> {
  readonly item: T;
  readonly etag: string;
  /** What the journal of who began has of it, where it is taken over. */
  readonly before: JournalEntry | undefined;
}

/** The mark on which all depend that go together. */
function groupOf(item: SweepItem): string {
  return item.with ?? item.mark.key;
}

/** What a mark asks a run to do, by how long it has been so when the run began. */
export function dueOf(
  { state, since }: ListedMark,
  begun: Date,
  times: GcTimes,
): "sweep" | "take over" | "drop" | "wait" {
  const age = begun.getTime() - since * 1000;
  switch (state) {
    case "condemned":
      return age >= times.settleMs ? "sweep" : "wait";
    case "deleting":
      return age > times.takeoverMs ? "take over" : "wait";
    case "cleared":
    case "swept":
      return age > times.takeoverMs ? "drop" : "wait";
  }
}
