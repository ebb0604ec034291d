import { Worker } from "node:worker_threads";
import { TooManyAttemptsError } from "./authenticator.ts";
import type { ComparisonRequest } from "./bcrypt-compare.ts";

/** How a pool is set up; every setting has a default. */
export interface BcryptPoolOptions {
  /** The worker's file; by default `bcrypt-worker.js` beside the running bundle. */
  readonly workerUrl?: URL;
  /** How many comparisons run at once, each on a thread of its own. Default 1. */
  readonly threads?: number;
  /** How many comparisons may wait beside those that run. Default 64. */
  readonly maxQueue?: number;
  /** How long a comparison may wait for a thread, in milliseconds. Default 30 seconds. */
  readonly maxWaitMs?: number;
  /** How long a comparison may run, in milliseconds, before its thread is given up. Default 60 seconds. */
  readonly maxRunMs?: number;
}

/** What a pool has done since it was made. */
export interface BcryptPoolCounters {
  /** Comparisons handed to a worker. A failure's padding belongs to its comparison. */
  readonly comparisons: number;
  /** Comparisons refused because too many were waiting, or because they had waited too long. */
  readonly queueRejected: number;
  /** Workers lost: died, or given up after `maxRunMs`. */
  readonly workersLost: number;
}

interface Job {
  readonly request: ComparisonRequest;
  readonly queuedAt: number;
  readonly resolve: (matches: boolean) => void;
  readonly reject: (error: Error) => void;
}

interface Running {
  readonly job: Job;
  readonly startedAt: number;
  readonly deadline: NodeJS.Timeout;
}

interface Slot {
  readonly worker: Worker;
  running: Running | undefined;
}

const LONGEST_RETRY_SECONDS = 60;

/**
 * Compares passwords with bcrypt hashes on worker threads, in the order asked, never on the event loop.
 * Threads start when first needed and never keep the process alive; one that dies takes only the comparison it was
 * running with it, and the next comparison starts another.
 */
export class BcryptPool {
  readonly #workerUrl: URL;
  readonly #threads: number;
  readonly #maxQueue: number;
  readonly #maxWaitMs: number;
  readonly #maxRunMs: number;
  readonly #slots = new Set<Slot>();
  readonly #queue: Job[] = [];
  #closed = false;
  #comparisons = 0;
  #queueRejected = 0;
  #workersLost = 0;
  /** A moving average, for the advice when to try again. */
  #averageMs = 250;

  constructor(options: BcryptPoolOptions = {}) {
    this.#workerUrl = options.workerUrl ?? new URL("./bcrypt-worker.js", import.meta.url);
    this.#threads = Math.max(1, options.threads ?? 1);
    this.#maxQueue = Math.max(0, options.maxQueue ?? 64);
    this.#maxWaitMs = options.maxWaitMs ?? 30_000;
    this.#maxRunMs = options.maxRunMs ?? 60_000;
  }

  /** What was done so far. */
  get counters(): BcryptPoolCounters {
    return {
      comparisons: this.#comparisons,
      queueRejected: this.#queueRejected,
      workersLost: this.#workersLost,
    };
  }

  /**
   * Whether the password is the one of the hash; see `compare` for what the fields mean.
   *
   * @throws TooManyAttemptsError the queue is full, or the comparison waited too long
   * @throws Error the worker died or ran for too long, or the pool is closed; nothing is known of the password
   */
  async compare(request: ComparisonRequest): Promise<boolean> {
    if (this.#closed) throw new Error("the bcrypt pool is closed");
    if (!this.#hasFreeThread() && this.#queue.length >= this.#maxQueue) throw this.#tooMany();
    return await new Promise<boolean>((resolve, reject) => {
      this.#queue.push({ request, queuedAt: performance.now(), resolve, reject });
      this.#pump();
    });
  }

  /** Ends all workers; comparisons that wait or run are rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    const closed = new Error("the bcrypt pool was closed");
    for (const job of this.#queue.splice(0)) job.reject(closed);
    const workers = [...this.#slots].map((slot) => {
      this.#drop(slot, closed);
      return slot.worker;
    });
    await Promise.all(workers.map(async (worker) => await worker.terminate()));
  }

  #hasFreeThread(): boolean {
    if (this.#slots.size < this.#threads) return true;
    for (const slot of this.#slots) if (slot.running === undefined) return true;
    return false;
  }

  /** Hands waiting comparisons to idle workers, starting workers while there are fewer than allowed. */
  #pump(): void {
    while (this.#queue.length > 0 && this.#hasFreeThread()) {
      const job = this.#queue.shift();
      if (job === undefined) return;
      if (performance.now() - job.queuedAt > this.#maxWaitMs) {
        job.reject(this.#tooMany());
        continue;
      }
      try {
        this.#run(this.#idleSlot() ?? this.#startSlot(), job);
      } catch (error) {
        job.reject(new Error("the bcrypt worker cannot be started", { cause: error }));
      }
    }
  }

  #idleSlot(): Slot | undefined {
    for (const slot of this.#slots) if (slot.running === undefined) return slot;
    return undefined;
  }

  #startSlot(): Slot {
    const worker = new Worker(this.#workerUrl, { name: "bcrypt" });
    const slot: Slot = { worker, running: undefined };
    this.#slots.add(slot);
    worker.on("message", (matches: boolean) => this.#finish(slot, matches));
    worker.on("error", (error) => this.#lose(slot, new Error("the bcrypt worker failed", { cause: error })));
    worker.on("exit", () => this.#lose(slot, new Error("the bcrypt worker ended")));
    // Last: listening to messages makes the worker count for the life of the process again.
    worker.unref();
    return slot;
  }

  #run(slot: Slot, job: Job): void {
    this.#comparisons++;
    const deadline = setTimeout(() => {
      this.#lose(slot, new Error(`a bcrypt comparison took longer than ${this.#maxRunMs} ms; is the cost too high?`));
    }, this.#maxRunMs);
    deadline.unref();
    slot.running = { job, startedAt: performance.now(), deadline };
    slot.worker.postMessage(job.request);
  }

  #finish(slot: Slot, matches: boolean): void {
    const running = slot.running;
    if (running === undefined) return;
    clearTimeout(running.deadline);
    slot.running = undefined;
    this.#averageMs += (performance.now() - running.startedAt - this.#averageMs) / 8;
    running.job.resolve(matches);
    this.#pump();
  }

  #lose(slot: Slot, reason: Error): void {
    if (!this.#slots.has(slot)) return;
    this.#workersLost++;
    this.#drop(slot, reason);
    void slot.worker.terminate();
    this.#pump();
  }

  #drop(slot: Slot, reason: Error): void {
    this.#slots.delete(slot);
    if (slot.running === undefined) return;
    clearTimeout(slot.running.deadline);
    slot.running.job.reject(reason);
    slot.running = undefined;
  }

  #tooMany(): TooManyAttemptsError {
    this.#queueRejected++;
    const seconds = ((this.#queue.length + 1) * this.#averageMs) / this.#threads / 1000;
    return new TooManyAttemptsError(Math.min(LONGEST_RETRY_SECONDS, seconds));
  }
}
