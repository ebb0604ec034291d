/**
 * Nightly garbage collection beside pushes: docs/garbage-collection.md is the protocol. A run is done in steps of a bounded
 * time, by one process or by several after each other; between two steps it lies in the store:
 *
 *     _gc/lease                     who is at work, and on which run
 *     _gc/runs/<run>/state          where the run is
 *     _gc/runs/<run>/<writer>/…     what it has listed, in parts of 8 MiB
 *     _gc/runs/<run>/journal/…      what it deletes, written before
 *     _gc/runs/<run>/summary        what came of it
 *     _gc/runs/<run>.undone         that it was undone
 *
 * A process may end at any moment: the next step goes on from what was kept last, or begins a new run, and the marks say
 * what is to be done with what was left half done.
 */
import { createHash, randomUUID } from "node:crypto";
import * as z from "zod";
import { layout } from "../registry/layout.ts";
import { listChildren, PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import { jsonOf } from "../storage/json.ts";
import { limited } from "../storage/limited.ts";
import { paced } from "../storage/paced.ts";
import { Deadline } from "./deadline.ts";
import { isNumbered } from "./journal.ts";
import { Lease, type LastRun } from "./lease.ts";
import { beginOf, listRuns } from "./run-id.ts";
import type { Phase, Progress } from "./events.ts";
import { concurrencyOf } from "./pace.ts";
import { Run, type RunOptions } from "./run.ts";
import { failureOf, LeftOverError, type RunState } from "./run-state.ts";
import { goneCounts } from "./runs.ts";
import { readSnapshot, writeSnapshot, type SnapshotParts } from "./snapshot.ts";
import { counted, dollarsOf, noCounts, writeSummary, type Counts, type Summary } from "./summary.ts";
import { deleteBelow, undoingOf, type Undoing } from "./trash.ts";
import { eachTried, isPassing } from "./tried.ts";

/** How long a step works on before it looks whether its lease has to be renewed. */
const SLICE_MS = 60_000;
const LEASE_MS = 300_000;
/** Of a step's time, what is left for keeping the run. */
const MARGIN_SHARE = 0.2;
const MARGIN_MS = 60_000;
/** What a run tidies up at its end is not begun with less time, nor with less of a step's: it is not left off on the way. */
const FINISH_SHARE = 0.4;
const FINISH_MS = 300_000;
const STATE_BYTES = 64 * 1024 * 1024;

const DAY_MS = 24 * 60 * 60 * 1000;
/** A run that was left off for longer is not taken up again. A schedule may have one call a week. */
const STALE_MS = 10 * DAY_MS;

/** How collections are made. */
export interface CollectorOptions extends RunOptions {
  /** Told before a run begins what its operator should know: a sentence. */
  readonly warn?: (message: string) => void;
  /** For how long is kept what runs did. Not shorter than what can be brought back. */
  readonly keepRunsMs?: number;
  /** For how long a step takes the lease at a time, in milliseconds. Default: five minutes. */
  readonly leaseMs?: number;
  /** Milliseconds of a clock that only goes on: this process's own, for what a step may take. */
  readonly elapsed?: () => number;
}

/** How long a step may take, and whether a run may begin. In milliseconds. */
export interface StepLimits {
  readonly ms: number;
  /**
   * No run is begun so soon after one with the same options began that did all it could: what a store refused to delete
   * then it would refuse again. Default 0.
   */
  readonly everyMs?: number;
  /** Nor so soon after one with these options has failed otherwise. Default 0. */
  readonly afterFailureMs?: number;
  /** Ends the step before its time. */
  readonly signal?: AbortSignal;
}

/** What came of a step. */
export type StepOutcome =
  /** The run is not at its end: another step, by whomever, goes on. */
  | { readonly state: "more"; readonly run: string; readonly phase: Phase }
  | { readonly state: "done"; readonly summary: Summary }
  /** Somebody else collects now. */
  | { readonly state: "busy"; readonly until: Date }
  /** No run is under way, and it is not time for another one. */
  | { readonly state: "idle" };

/** Collects garbage in one storage. */
export class Collector {
  readonly #store: StorageDriver;
  readonly #options: CollectorOptions;
  readonly #elapsed: () => number;
  #run: Run | undefined;

  constructor(driver: StorageDriver, options: CollectorOptions) {
    this.#store = driver;
    this.#options = options;
    this.#elapsed = options.elapsed ?? (() => performance.now());
  }

  /**
   * Goes on with the run that is under way, or begins one. Ends well before `ms` have passed, unless a single request takes
   * that long, or soon after `signal`. What goes wrong in a run ends it with a summary that has the reason; only what goes
   * wrong around it is thrown. Where there is nothing to do it costs one read.
   */
  async step(limits: StepLimits): Promise<StepOutcome> {
    const started = this.#elapsed();
    const counts = noCounts();
    const driver = counted(this.#unhurried(), counts);
    const lease = new Lease(driver);
    if (!this.#options.dryRun) {
      const until = await lease.look();
      if (until !== undefined) return { state: "busy", until };
      if (this.#isTooSoon(lease, limits)) return { state: "idle" };
      // Who is killed says nothing any more, and is not to be killed every few minutes.
      const killed = this.#last(lease, started, lease.asOf.getTime(), "failed");
      if (!(await lease.take(this.#options.leaseMs ?? LEASE_MS, killed))) return { state: "busy", until: lease.until };
    }
    try {
      const options = { ...this.#options, ...(await undoingOf(driver, this.#options.setAside)) };
      const last = (begun: number, outcome: LastRun["outcome"]): LastRun => this.#last(lease, started, begun, outcome);
      const step = new Step(driver, options, lease, counts, started, this.#elapsed, last);
      return await step.work(limits.ms, limits.signal, (run) => (this.#run = run));
    } catch (error) {
      const last = this.#last(lease, started, lease.asOf.getTime(), "failed");
      // What went wrong is what is told, and not that it could not be written down.
      if (!this.#options.dryRun) await lease.release({ ...lease.content, last }).catch(() => undefined);
      throw error;
    }
  }

  /** The store, asked no faster than the options say. */
  #unhurried(): StorageDriver {
    const { share = 1 } = this.#options;
    const concurrency = concurrencyOf(this.#options);
    const rested = share < 1 ? paced(this.#store, share) : this.#store;
    return concurrency === undefined ? rested : limited(rested, concurrency);
  }

  #last(lease: Lease, started: number, begun: number, outcome: LastRun["outcome"]): LastRun {
    const ended = lease.asOf.getTime() + this.#elapsed() - started;
    return { begun, ended, outcome, options: hashOf(optionsKey(this.#options)) };
  }

  #isTooSoon({ content: { run, last }, asOf }: Lease, { everyMs = 0, afterFailureMs = 0 }: StepLimits): boolean {
    // What others asked for is no reason to leave undone what these options ask for.
    if (last?.options !== hashOf(optionsKey(this.#options))) return false;
    const { begun, ended, outcome } = last;
    const since = (time: number): number => Math.max(0, asOf.getTime() - time); // the clock may have been set back
    if (outcome === "failed") return since(ended) < afterFailureMs;
    return run === undefined && since(begun) < everyMs;
  }

  /** Where the present run is, for who watches it; undefined before it has begun. */
  get progress(): Progress | undefined {
    return this.#run?.progress;
  }

  /** Steps until the run is at its end. */
  async run(): Promise<Summary> {
    for (;;) {
      const outcome = await this.step({ ms: Infinity });
      if (outcome.state === "done") return outcome.summary;
      if (outcome.state === "busy")
        throw new Error(`another collection is under way until ${outcome.until.toISOString()}`);
    }
  }
}

type StepOptions = CollectorOptions & Undoing;

/** Of what a run keeps for its next step. Another one for any change of it, or of the order in which a plan is worked off. */
const FORMAT = 4;

const keptState = z.object({
  format: z.literal(FORMAT),
  state: z.custom<RunState>((value) => typeof value === "object" && value !== null),
  snapshot: z.object({ keys: z.array(z.string()), size: z.number(), sha256: z.string() }),
  options: z.string(),
});

/** What one call of `step` does. */
class Step {
  readonly #driver: StorageDriver;
  readonly #options: StepOptions;
  readonly #lease: Lease;
  readonly #counts: Counts;
  readonly #started: number;
  readonly #elapsed: () => number;
  readonly #last: (begun: number, outcome: LastRun["outcome"]) => LastRun;
  #etag: string | undefined;
  /** Where the run's lists lie, once they do not change any more. */
  #kept: SnapshotParts | undefined;

  constructor(
    driver: StorageDriver,
    options: StepOptions,
    lease: Lease,
    counts: Counts,
    started: number,
    elapsed: () => number,
    last: (begun: number, outcome: LastRun["outcome"]) => LastRun,
  ) {
    this.#driver = driver;
    this.#options = options;
    this.#lease = lease;
    this.#counts = counts;
    this.#started = started;
    this.#elapsed = elapsed;
    this.#last = last;
  }

  async work(ms: number, signal: AbortSignal | undefined, onRun: (run: Run) => void): Promise<StepOutcome> {
    const margin = Math.min(MARGIN_MS, ms * MARGIN_SHARE);
    const finishMs = Math.min(FINISH_MS, ms * FINISH_SHARE);
    const deadline = new Deadline(ms - margin - (this.#elapsed() - this.#started), this.#elapsed, signal);
    let run: Run | undefined;
    try {
      run = await this.#findRun();
      onRun(run);
      // However short the time is, each step does something.
      while (!(await run.advance(deadline.atMost(SLICE_MS)))) {
        const isLate = run.state.phase === "finish" && !deadline.hasTimeFor(finishMs);
        if (isLate || deadline.isOver) return await this.#leave(run);
        if (!(await this.#keepLease())) return { state: "busy", until: this.#lease.until };
      }
    } catch (error) {
      if (run === undefined) throw error;
      return await this.#end(run, error instanceof Error ? error : new Error(String(error)));
    }
    return await this.#end(run, failureOf(run.state));
  }

  async #findRun(): Promise<Run> {
    const { dryRun, cannotUndo, warn } = this.#options;
    const { run: id, cuts } = this.#lease.content;
    const resumed = id === undefined || dryRun ? undefined : await this.#resume(id);
    if (resumed !== undefined) return resumed;
    if (!dryRun && !(await this.#driver.fenced.isKept())) {
      throw new Error(
        "this store carries out deletes that come too late, or does not decide conditional writes: nothing can be collected " +
          "safely beside pushes",
      );
    }
    if (!dryRun && cannotUndo !== undefined) warn?.(`what is deleted cannot be brought back: ${cannotUndo}`);
    return await Run.begin(this.#driver, this.#options, this.#counts, cuts);
  }

  /** Undefined where the run is not there any more, is too old, or was made with other options or by another version. */
  async #resume(id: string): Promise<Run | undefined> {
    const { asOf, object } = await this.#driver.look(stateOf(id), STATE_BYTES);
    if (object === undefined) return undefined;
    const kept = keptState.safeParse(jsonOf(object.bytes));
    if (!kept.success || kept.data.options !== optionsKey(this.#options)) return undefined;
    const { state, snapshot: parts } = kept.data;
    const since = (time: Date): number => asOf.getTime() - time.getTime();
    if (since(object.lastModified) > STALE_MS) return undefined;
    if (since(new Date(state.begun)) < -LEASE_MS) return undefined; // by a clock that was ahead, all would be old to it
    const snapshot = await readSnapshot(this.#driver, parts);
    if (snapshot === undefined) return undefined;
    this.#etag = object.etag;
    if (state.phase !== "marks" && state.phase !== "marking") this.#kept = parts;
    // The counts go on in the object that the driver counts in.
    const { requests } = state.counts;
    for (const kind of ["list", "get", "put", "delete"] as const) requests[kind] += this.#counts.requests[kind];
    Object.assign(this.#counts, state.counts);
    return Run.resume(this.#driver, this.#options, { ...state, counts: this.#counts }, snapshot);
  }

  async #keepLease(): Promise<boolean> {
    if (this.#options.dryRun) return true;
    return await this.#lease.keep(this.#options.leaseMs ?? LEASE_MS, this.#elapsed() - this.#started);
  }

  /** Keeps the run for another step. */
  async #leave(run: Run): Promise<StepOutcome> {
    const { id, phase } = run.state;
    this.#counts.seconds += (this.#elapsed() - this.#started) / 1000;
    // Names of its own: another writer's parts are not among them.
    const prefix = `${layout.gcRun(id)}${randomUUID().slice(0, 8)}/`;
    const snapshot = this.#kept ?? (await writeSnapshot(this.#driver, prefix, run.snapshot()));
    const kept = { format: FORMAT, state: run.state, snapshot, options: optionsKey(this.#options) };
    const body = Buffer.from(JSON.stringify(kept));
    try {
      const condition = this.#etag === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: this.#etag };
      await this.#driver.put(stateOf(id), body, condition);
    } catch (error) {
      if (!(error instanceof PreconditionFailedError)) throw error;
      return { state: "busy", until: this.#lease.until };
    }
    await this.#lease.release({ ...this.#lease.content, last: this.#lease.lastBefore, run: id });
    return { state: "more", run: id, phase };
  }

  async #end(run: Run, ended?: Error): Promise<StepOutcome> {
    const { dryRun, cannotUndo } = this.#options;
    const { id, begun } = run.state;
    // In a run that one process did in one go nothing is deleted that it has not counted.
    if (ended === undefined && this.#etag !== undefined) await this.#countOthers(run);
    if (ended !== undefined && !dryRun) await this.#countOthers(run).catch(() => undefined);
    const unforgotten = dryRun ? undefined : await this.#forgetOld(new Date(begun));
    const failure = ended ?? unforgotten;
    this.#counts.seconds += (this.#elapsed() - this.#started) / 1000;
    const summary: Summary = {
      run: id,
      begun,
      outcome: failure === undefined ? "done" : "failed",
      ...(failure === undefined ? {} : { reason: failure.message }),
      dryRun,
      undoable: cannotUndo === undefined,
      setAside: this.#options.setAside,
      ...(cannotUndo === undefined ? {} : { cannotUndo }),
      ...structuredClone(this.#counts),
      dollars: dollarsOf(this.#counts.requests),
    };
    if (dryRun) return { state: "done", summary };
    await writeSummary(this.#driver, summary);
    await this.#forgetSteps(id);
    await this.#lease.release({
      cuts: failure === undefined || failure instanceof LeftOverError ? run.cuts : this.#lease.content.cuts,
      last: this.#last(new Date(begun).getTime(), lastOutcomeOf(failure)),
    });
    return { state: "done", summary };
  }

  /** Counts what is gone of batches that were begun and not counted: whoever did so was killed, stood still, or met a fault. */
  async #countOthers(run: Run): Promise<void> {
    const counted = new Set(run.state.journal);
    const isOther = (batch: string): boolean => !counted.has(batch) && !isNumbered(batch);
    const { blobs, bytes, manifests, tags } = await goneCounts(this.#driver, run.state.id, isOther);
    const counts = this.#counts;
    counts.deleted += blobs;
    counts.deletedBytes += bytes;
    counts.deletedManifests += manifests;
    counts.deletedTags += tags;
    // This process came to the same things, whose marks were others' by then.
    counts.lost = Math.max(0, counts.lost - blobs - manifests - tags);
  }

  /** Removes what this run kept for its next step. */
  async #forgetSteps(id: string): Promise<void> {
    for (const name of await listChildren(this.#driver, layout.gcRun(id))) {
      if (name !== "journal") await deleteBelow(this.#driver, `${layout.gcRun(id)}${name}/`);
    }
    await this.#driver.delete(stateOf(id));
  }

  /** Removes what is left of runs of long ago, as far as it goes. Gives why some of it stays. */
  async #forgetOld(begun: Date): Promise<LeftOverError | undefined> {
    const { trashMs, keepRunsMs = Math.max(30 * DAY_MS, trashMs) } = this.#options;
    const isOld = (run: string): boolean => begun.getTime() - (beginOf(run) ?? begun).getTime() > keepRunsMs;
    const [listed] = await eachTried([layout.gcRuns], 1, async () => await listRuns(this.#driver));
    if (listed === undefined || listed instanceof Error) return leftOver([listed]);
    const runs = listed.runs.filter(isOld);
    const records = [...listed.undone.keys()].filter(isOld).map((run) => layout.gcUndone(run));
    return leftOver([
      ...(await eachTried(runs, 1, async (run) => await deleteBelow(this.#driver, layout.gcRun(run)))),
      ...(await eachTried(records, 1, async (record) => await this.#driver.delete(record))),
    ]);
  }
}

function leftOver(tried: readonly unknown[]): LeftOverError | undefined {
  const failures = tried.filter((result) => result instanceof Error);
  const [first] = failures;
  if (first === undefined) return undefined;
  return new LeftOverError({ count: failures.length, first: first.message, passing: failures.some(isPassing) });
}

function lastOutcomeOf(failure: Error | undefined): LastRun["outcome"] {
  if (failure === undefined) return "done";
  return failure instanceof LeftOverError && !failure.isPassing ? "partly" : "failed";
}

/** A run goes on as it was begun. */
function optionsKey({ times, retention, force, setAside, uploadAgeMs }: RunOptions): string {
  return JSON.stringify({ times, retention: retention.name, force, setAside, uploadAgeMs });
}

/** Rules may be long. */
function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function stateOf(run: string): string {
  return `${layout.gcRun(run)}state`;
}
