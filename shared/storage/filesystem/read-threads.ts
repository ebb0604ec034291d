import { Worker } from "node:worker_threads";
import type { Answers, Batch } from "./read-worker.ts";
import type { ReadAnswers, ReadRequest } from "./reads.ts";

/** Reading is bound by system calls: a second thread covers for one that waits for the disk. */
const THREADS = 2;

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Reads files in threads of their own, each of which does a whole read (open, read, close) in one go. Node's own
 * asynchronous calls go through a thread pool too, but one step at a time: three to four crossings for a file of 71 bytes,
 * which take more than twice the processor time of all else in a request. The event loop never waits either way.
 */
export class ReadThreads {
  readonly #workerUrl: URL;
  readonly #threads: Thread[] = [];

  constructor(workerUrl: URL) {
    this.#workerUrl = workerUrl;
  }

  /** Does one read. Throws what the file system says, with its code. */
  async read<const R extends ReadRequest>(request: R): Promise<ReadAnswers[R[0]]> {
    return await this.#next().read(request);
  }

  /** The thread with the least to do. */
  #next(): Thread {
    if (this.#threads.length < THREADS) {
      const thread = new Thread(this.#workerUrl, () => {
        // Told twice where a thread fails and then exits: by then another may stand in its place.
        const index = this.#threads.indexOf(thread);
        if (index >= 0) this.#threads.splice(index, 1);
      });
      this.#threads.push(thread);
    }
    return this.#threads.reduce((least, thread) => (thread.load < least.load ? thread : least));
  }
}

class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #batch: Batch[number][] = [];
  #lastId = 0;

  constructor(url: URL, onEnd: () => void) {
    // Small: what passes through lives for a moment, and memory that V8 lets grow is not given back.
    this.#worker = new Worker(url, { resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 } });
    this.#worker.on("message", (answers: Answers) => this.#settle(answers));
    this.#worker.on("error", (error) => this.#fail(error, onEnd));
    this.#worker.on("exit", () => this.#fail(new Error("the thread that reads files ended"), onEnd));
    this.#worker.unref(); // after `on`, which makes the worker keep the process alive
  }

  get load(): number {
    return this.#waiting.size;
  }

  async read<R extends ReadRequest>(request: R): Promise<ReadAnswers[R[0]]> {
    return await new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve, reject });
      // What one turn of the event loop asks for goes over together.
      if (this.#batch.length === 0) setImmediate(() => this.#send());
      this.#batch.push([id, request]);
    });
  }

  #send(): void {
    const batch = this.#batch;
    this.#batch = [];
    this.#worker.postMessage(batch);
  }

  #settle(answers: Answers): void {
    for (const [id, value, failure] of answers) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (failure === undefined) waiting?.resolve(value as never);
      else waiting?.reject(Object.assign(new Error(failure.message), { code: failure.code }));
    }
    if (this.#waiting.size === 0) this.#worker.unref();
  }

  #fail(error: unknown, onEnd: () => void): void {
    onEnd();
    for (const { reject } of this.#waiting.values()) reject(new Error("reading failed", { cause: error }));
    this.#waiting.clear();
  }
}

// Built, the worker lies beside this code in dist/. The test runner runs the sources, and builds dist/ first.
const workerUrl = new URL(
  import.meta.url.endsWith(".ts") ? "../../../dist/read-worker.js" : "./read-worker.js",
  import.meta.url,
);

/** The threads of this process; started by the first read, and no reason to keep the process alive. */
export const readThreads = new ReadThreads(workerUrl);
