import { randomUUID } from "node:crypto";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { Marks } from "../registry/marks.ts";
import { purgeListed, purgeSession } from "../registry/upload-purge.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { completed } from "./before-sweep.ts";
import { reasonOf } from "./blob-plan.ts";
import { Deadline } from "./deadline.ts";
import { PHASE_NAMES, plannedOf, type GcEvent, type Phase, type Progress } from "./events.ts";
import { MarkTable } from "./mark-table.ts";
import { Marking } from "./marking.ts";
import { listMarksOnce } from "./mark-listing.ts";
import { Plan, type RevisionSweep } from "./plan.ts";
import { forgetPulls, PullTable } from "./pull-table.ts";
import { ReferenceMemory } from "./reference-memory.ts";
import { listingCuts } from "./repository-table.ts";
import type { Retention } from "./retention.ts";
import type { Arrays, Snapshot } from "./snapshot.ts";
import { noteError, noteFailed, unlessItFails, type RunState } from "./run-state.ts";
import type { Counts } from "./summary.ts";
import { batchOf } from "./pace.ts";
import { beginOf, newRunId } from "./run-id.ts";
import { Sweeper, type Swept } from "./sweeping.ts";
import { horizonSeconds, momentOf } from "./times.ts";
import { emptyTrash, SetAside } from "./trash.ts";

/** Marks that are changed between two looks at the time. */
const MARK_BATCH = 640;
/** What is swept with one permit: few enough that all is done long before it is over. */
const SWEEP_ITEMS = 500;
const SWEEP_KEYS = 1000;
/** How long a batch may take at the most. */
const BATCH_MS = 15_000;

/** How a run is made. */
export interface RunOptions {
  readonly times: GcTimes;
  readonly retention: Retention;
  /** Say what would go and change nothing. */
  readonly dryRun: boolean;
  /** Collect although another registry writes to the storage. */
  readonly force: boolean;
  /** Have the store copy what is deleted aside first, unless it is known to keep that itself. */
  readonly setAside: boolean;
  /** For how long what was deleted can be brought back, where that is for us to say. */
  readonly trashMs: number;
  /** Upload sessions in which nothing was written for so long are abandoned. Undefined: they are none of ours. */
  readonly uploadAgeMs: number | undefined;
  /** How many calls to the store are under way at once at the most, from 1. Default: up to 32, by what is done. */
  readonly concurrency?: number | undefined;
  /** Which share of the time a run is at work, above 0 and at most 1; it rests for the other. Default: all. */
  readonly share?: number | undefined;
  /** Makes the index of the catalog agree with the repositories that there are. */
  readonly refreshCatalog?: ((repositories: Iterable<RepositoryName>) => Promise<unknown>) | undefined;
  readonly report?: ((event: GcEvent) => void) | undefined;
  /** Called when a part of the work is done, with its name: for a progress bar, and measurements. */
  readonly onPhase?: ((done: string) => void) | undefined;
}

/** One run over a storage, in memory. `advance` does some of it; in between it can be kept, and go on elsewhere. */
export class Run {
  readonly state: RunState;
  readonly #driver: StorageDriver;
  readonly #options: RunOptions;
  readonly #memory: ReferenceMemory;
  readonly #marking: Marking;
  readonly #marks: MarkTable;
  readonly #pulls: PullTable;
  readonly #sweeper: Sweeper;
  readonly #cuts: readonly string[];
  #plan: Plan | undefined;

  private constructor(driver: StorageDriver, options: RunOptions, state: RunState, parts: RunParts) {
    this.state = state;
    this.#driver = driver;
    this.#options = options;
    this.#memory = parts.memory;
    this.#marking = parts.marking;
    this.#marks = parts.marks;
    this.#pulls = parts.pulls;
    this.#cuts = parts.cuts;
    const aside = options.setAside ? new SetAside(driver, state.id) : undefined;
    this.#sweeper = new Sweeper(driver, new Marks(driver, options.times), state.id, state.journal.length, aside);
  }

  /** The store's time now is the run's, before anything is listed. */
  static async begin(
    driver: StorageDriver,
    options: RunOptions,
    counts: Counts,
    cuts: readonly string[],
  ): Promise<Run> {
    const { asOf: begun } = await driver.list(layout.blobMarks, { limit: 1 });
    const id = newRunId(begun);
    const tables = { marks: new MarkTable(), pulls: new PullTable() };
    const state: RunState = {
      id,
      begun: begun.toISOString(),
      phase: "marks",
      cursor: 0,
      journal: [],
      deletedManifests: [],
      counts,
    };
    return new Run(driver, options, state, Run.#parts(driver, options, state, cuts, tables));
  }

  /** Goes on with a run that was kept. */
  static resume(driver: StorageDriver, options: RunOptions, state: RunState, { meta, arrays }: Snapshot): Run {
    const below = (prefix: string): Arrays =>
      Object.fromEntries(
        Object.entries(arrays)
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, array]) => [name.slice(prefix.length), array]),
      );
    const { cuts, marking } = meta as { cuts: string[]; marking: unknown };
    const tables = { marks: new MarkTable(below("marks:")), pulls: new PullTable(below("pulls:")) };
    const snapshot = { meta: marking, arrays: below("marking:") };
    return new Run(driver, options, state, Run.#parts(driver, options, state, cuts, tables, snapshot));
  }

  static #parts(
    driver: StorageDriver,
    { times, retention, force, dryRun, onPhase }: RunOptions,
    { id, begun }: RunState,
    cuts: readonly string[],
    tables: Pick<RunParts, "marks" | "pulls">,
    snapshot?: Snapshot,
  ): RunParts {
    const memory = new ReferenceMemory(driver, () => `${id}-${randomUUID().slice(0, 8)}`, dryRun);
    const options = { begun: new Date(begun), times, retention, force, cuts, onPhase };
    return { memory, ...tables, cuts, marking: new Marking(driver, memory, options, snapshot) };
  }

  /** What a later process needs besides `state`. It does not change any more once marking is over. */
  snapshot(): Snapshot {
    const { meta, arrays } = this.#marking.snapshot();
    return {
      meta: { cuts: this.#cuts, marking: meta },
      arrays: {
        ...Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`marking:${name}`, array])),
        ...Object.fromEntries(Object.entries(this.#marks.arrays).map(([name, array]) => [`marks:${name}`, array])),
        ...Object.fromEntries(Object.entries(this.#pulls.arrays).map(([name, array]) => [`pulls:${name}`, array])),
      },
    };
  }

  /** Where the next run may cut its listing. */
  get cuts(): readonly string[] {
    return this.#marking.isDone ? listingCuts(this.#marking.repositories) : [];
  }

  get progress(): Progress {
    const { phase, cursor, counts } = this.state;
    const { list, get, put, delete: deletes } = counts.requests;
    return { phase, done: cursor, total: this.#total(phase), requests: list + get + put + deletes };
  }

  #total(phase: Phase): number | undefined {
    if (this.#plan === undefined) return undefined;
    const { clear, candidates, revisions, sweepable } = this.#plan;
    const condemn = candidates + revisions.length;
    const totals = { clear: clear.length, condemn, manifests: revisions.length, blobs: sweepable };
    return phase in totals ? totals[phase as keyof typeof totals] : undefined;
  }

  /** Goes on until time is over, or the phase is, and says whether the run is at its end. Short of time it does a little all the same. */
  async advance(deadline: Deadline): Promise<boolean> {
    await this.#advance(deadline);
    return this.state.phase === "done";
  }

  async #advance(deadline: Deadline): Promise<void> {
    const { state } = this;
    switch (state.phase) {
      case "marks":
        await this.#listMarks(deadline);
        return;
      case "marking":
        await this.#marking.advance(deadline);
        if (!this.#marking.isDone) return;
        this.#count();
        this.#enter(this.#options.dryRun ? "uploads" : "clear");
        return;
      case "clear":
        await this.#inBatches(deadline, this.#planned.clear.length, this.#batch(MARK_BATCH), async (start, end) => {
          const rows = [...this.#planned.clear.view().subarray(start, end)];
          await this.#sweeper.clear(rows.map((row) => this.#marks.at(row)));
        });
        if (state.cursor >= this.#planned.clear.length) this.#enter("condemn");
        return;
      case "condemn": {
        const total = this.#planned.candidates + this.#planned.revisions.length;
        await this.#inBatches(deadline, total, this.#batch(MARK_BATCH), async (start, end) => {
          const marks = this.#planned.toCondemn(start, end);
          const { lost, lastAt } = await this.#sweeper.condemn(marks);
          if (lastAt !== undefined) this.#countFrom(lastAt);
          state.counts.condemned += marks.length - lost;
          state.counts.lost += lost;
        });
        if (state.cursor >= total) this.#enter("manifests");
        return;
      }
      case "manifests":
        await this.#sweepManifests(deadline);
        return;
      case "blobs":
        await this.#sweepBlobs(deadline);
        return;
      case "uploads":
        await this.#purgeUploads(deadline);
        return;
      case "finish":
        await this.#finish();
        this.#enter("done");
        return;
      case "done":
        return;
    }
  }

  get #planned(): Plan {
    const { times, retention } = this.#options;
    this.#plan ??= new Plan(this.#marking, this.#marks, this.#pulls, new Date(this.state.begun), times, retention);
    return this.#plan;
  }

  #enter(phase: Phase): void {
    this.#options.onPhase?.(PHASE_NAMES[this.state.phase]);
    this.state.phase = phase;
    this.state.cursor = 0;
  }

  /**
   * Step 1. Permits that nobody ends are ended once all marks are listed, and not before: a mark that was found condemned for
   * SETTLE is then met by no delete of a mark that is still under way.
   */
  async #listMarks(deadline: Deadline): Promise<void> {
    const { state } = this;
    const { dryRun, retention, times } = this.#options;
    const prefixes = [layout.blobMarks, layout.revisionMarks, layout.tagMarks];
    for (let prefix = prefixes[state.cursor]; prefix !== undefined; prefix = prefixes[state.cursor]) {
      state.after = await listMarksOnce(
        this.#driver,
        { prefix, startAfter: state.after, times, dryRun },
        this.#sweeper,
        this.#marks,
      );
      if (state.after === undefined) state.cursor++;
      else if (!deadline.hasTimeFor(BATCH_MS)) return;
    }
    if (!dryRun) await this.#driver.fenced.revokeExpired();
    if (retention.pullsWithinMs !== undefined) await this.#pulls.fill(this.#driver);
    this.#enter("marking");
  }

  #count(): void {
    const { counts } = this.state;
    const { live, readManifests, rememberedManifests, incomplete } = this.#marking.counts;
    counts.blobs = this.#marking.blobs.length;
    counts.marked = live;
    counts.manifestsRead = readManifests;
    counts.manifestsRemembered = rememberedManifests;
    counts.incomplete = incomplete;
    counts.repositories = this.#marking.repositories.reduce((sum, { names }) => sum + names.length, 0);
    const { eligible, revisions, candidates } = this.#planned;
    counts.eligible = eligible.blobs;
    counts.eligibleBytes = eligible.bytes;
    counts.eligibleTags = revisions.filter(({ tag }) => tag !== undefined).length;
    counts.eligibleManifests = revisions.length - counts.eligibleTags;
    const { fresh, waiting, waitingFrom } = this.#planned.amounts();
    Object.assign(counts, { fresh, waiting, young: this.#planned.young });
    if (waitingFrom !== undefined) counts.waitingFrom = momentOf(waitingFrom);
    const { report } = this.#options;
    if (report === undefined) return;
    report({ kind: "marked", counts });
    revisions.forEach((item, index) => {
      report({ kind: "eligible", ...plannedOf(item), due: this.#planned.revisionDue(index) });
    });
    for (let i = 0; i < candidates; i++) report({ kind: "eligible", ...this.#planned.candidateAt(i) });
  }

  /** Something was condemned at this time. */
  #countFrom(condemned: Date): void {
    const { counts } = this.state;
    const from = momentOf(new Date(condemned.getTime() + this.#options.times.settleMs));
    if (counts.freshFrom === undefined || counts.freshFrom < from) counts.freshFrom = from;
  }

  /** As much as takes as long as `most` with all calls that a run has under way at once, and no rest, unless it is told. */
  #batch(most: number): number {
    return batchOf(most, this.#options);
  }

  /** From the cursor to `total`, until there is no time for one more batch; the first one is done in any case. */
  async #inBatches(
    deadline: Deadline,
    total: number,
    size: number,
    work: (start: number, end: number) => Promise<void>,
  ): Promise<void> {
    const { state } = this;
    for (let first = true; state.cursor < total; first = false) {
      if (!first && !deadline.hasTimeFor(BATCH_MS)) return;
      const end = Math.min(total, state.cursor + size);
      await work(state.cursor, end);
      state.cursor = end;
    }
  }

  /** Parents before children: a manifest whose parents this run has not deleted stays, and so do the tags named after it. */
  async #sweepManifests(deadline: Deadline): Promise<void> {
    const { state } = this;
    const { revisions } = this.#planned;
    const deleted = new Set(state.deletedManifests.map((index) => revisions[index]));
    for (let first = true; state.cursor < revisions.length; first = false) {
      if (!first && !deadline.hasTimeFor(BATCH_MS)) return;
      const batch: { index: number; item: RevisionSweep }[] = [];
      let index = state.cursor;
      while (index < revisions.length && batch.length < this.#batch(SWEEP_ITEMS)) {
        const after = revisions[index]?.after ?? [];
        // What has to wait for one of this batch begins the next.
        if (after.some((other) => batch.some(({ item }) => item.revision === other))) break;
        const { end, items } = this.#planned.groupAt(index);
        if (after.every((other) => deleted.has(other)))
          for (const [offset, item] of items.entries()) batch.push({ index: index + offset, item });
        index = end;
      }
      const horizon = horizonSeconds(new Date(state.begun), this.#options.times);
      const swept =
        batch.length === 0
          ? undefined
          : await this.#sweeper.sweep(
              batch.map(({ item }) => item),
              async (item) => await completed(this.#driver, item, horizon),
            );
      const gone = new Set(swept?.deleted.map(({ revision }) => revision));
      for (const { index: at, item } of batch) {
        if (!gone.has(item.revision)) continue;
        deleted.add(item.revision);
        state.deletedManifests.push(at);
        if (item.revision.tag === undefined) state.counts.deletedManifests++;
        else state.counts.deletedTags++;
        this.#options.report?.({ kind: "deleted", ...plannedOf(item.revision) });
      }
      this.#add(swept);
      state.cursor = index;
    }
    this.#enter("blobs");
  }

  async #sweepBlobs(deadline: Deadline): Promise<void> {
    const { state } = this;
    const total = this.#planned.sweepable;
    for (let first = true; state.cursor < total; first = false) {
      if (!first && !deadline.hasTimeFor(BATCH_MS)) return;
      const items = [];
      let keys = 0;
      for (let i = state.cursor; i < total && items.length < this.#batch(SWEEP_ITEMS) && keys < SWEEP_KEYS; i++) {
        const item = this.#planned.sweepAt(i);
        keys += item.links.length + this.#sweeper.weightOf(item);
        items.push(item);
      }
      const swept = await this.#sweeper.sweep(items);
      for (const { digest, bytes, size = 0 } of swept.deleted) {
        state.counts.deleted++;
        state.counts.deletedBytes += size;
        if (bytes === undefined) state.counts.deletedLinks = (state.counts.deletedLinks ?? 0) + 1;
        const reason = reasonOf({ isStored: bytes !== undefined });
        this.#options.report?.({ kind: "deleted", digest, size, reason });
      }
      this.#add(swept);
      state.cursor += items.length;
    }
    this.#enter("uploads");
  }

  #add(swept: Omit<Swept<unknown>, "deleted"> | undefined): void {
    if (swept?.journal !== undefined) this.state.journal.push(swept.journal);
    this.state.counts.lost += swept?.lost ?? 0;
    this.state.counts.refused += swept?.refused ?? 0;
    if (swept?.failed !== undefined) noteFailed(this.state, swept.failed);
  }

  async #purgeUploads(deadline: Deadline): Promise<void> {
    const { state } = this;
    const { uploadAgeMs, dryRun } = this.#options;
    if (uploadAgeMs !== undefined) {
      const before = new Date(new Date(state.begun).getTime() - uploadAgeMs);
      // Of the part that was listed; in others there is nothing but sessions.
      const [part = this.#driver, ...others] = this.#driver.parts ?? [];
      const old = this.#marking.repositories
        .flatMap(({ few }) => few.sessions)
        .filter(({ newest }) => newest < before.getTime() / 1000);
      for (let first = true; state.cursor < old.length; first = false, state.cursor++) {
        if (!first && !deadline.hasTimeFor(BATCH_MS / 5)) return;
        const session = old[state.cursor];
        if (session === undefined) continue;
        const prefix = `${layout.uploads(session.repository)}${session.id}/`;
        const bytes = dryRun
          ? session.size
          : await unlessItFails(state, async () => await purgeSession(part, prefix, before));
        if (bytes === undefined) continue;
        state.counts.uploads++;
        state.counts.uploadBytes += bytes;
      }
      for (const other of others) {
        const purged = await unlessItFails(state, async () => await purgeListed(other, before, dryRun));
        state.counts.uploads += purged?.sessions ?? 0;
        state.counts.uploadBytes += purged?.bytes ?? 0;
      }
      if (!dryRun) {
        await unlessItFails(state, async () => await this.#driver.removeLeftovers?.(uploadAgeMs, layout.root));
      }
    }
    this.#enter(dryRun ? "done" : "finish");
  }

  async #finish(): Promise<void> {
    const { trashMs, refreshCatalog, retention } = this.#options;
    const { blobs } = this.#marking;
    await this.#memory.compact((digest) => blobs.find(digest) !== undefined);
    const oldest = new Date(new Date(this.state.begun).getTime() - trashMs);
    for (const error of await emptyTrash(this.#driver, (run) => (beginOf(run) ?? oldest) < oldest)) {
      noteError(this.state, error);
    }
    await forgetPulls(this.#driver, new Date(this.state.begun), retention.pullsWithinMs);
    await refreshCatalog?.(this.#marking.repositoriesWithManifests());
  }
}

interface RunParts {
  readonly memory: ReferenceMemory;
  readonly marks: MarkTable;
  readonly pulls: PullTable;
  readonly marking: Marking;
  readonly cuts: readonly string[];
}
