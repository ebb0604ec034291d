import { Worker } from "node:worker_threads";
import type { DigestAlgorithm } from "./digest.ts";
import type { HashAnswer, HashOrder, SlotMemory } from "./hash-worker.ts";

/** Bytes of one slot, and of one message to the thread: large enough that the cost of a message does not matter. */
export const SLOT_BYTES = 512 * 1024;

/** Some are filled while one is hashed. */
const SLOTS = 4;

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A thread that hashes bodies. Their bytes are copied to slots of a memory that both sides see; who finds no free slot
 * waits. A slot is only taken when its bytes are there, so a body that stalls holds none.
 *
 * When the thread ends, all that it has begun fails: a body is hashed whole by one thread, or has no digest.
 */
export class HashThread {
  readonly #worker: Worker;
  readonly #memory: Uint8Array;
  readonly #freeSlots = Array.from({ length: SLOTS }, (_, slot) => slot);
  readonly #waitingForSlot: Waiting<number>[] = [];
  readonly #waitingForHash = new Map<number, Waiting<string>>();
  readonly #onEnd: (hasWorked: boolean) => void;
  #lastBody = 0;
  #hasWorked = false;
  #failure: Error | undefined;

  /** `onEnd` is told once when the thread has ended, and whether it has ever hashed anything. */
  constructor(workerUrl: URL, onEnd: (hasWorked: boolean) => void) {
    const memory = new SharedArrayBuffer(SLOTS * SLOT_BYTES);
    this.#memory = new Uint8Array(memory);
    this.#onEnd = onEnd;
    this.#worker = new Worker(workerUrl, {
      workerData: { memory, slotBytes: SLOT_BYTES } satisfies SlotMemory,
      // Small: it keeps nothing but the states of hashes, and memory that V8 lets grow is not given back.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    });
    this.#worker.on("message", (answer: HashAnswer) => this.#settle(answer));
    this.#worker.on("error", (error) => this.#fail(new Error("the thread that hashes failed", { cause: error })));
    this.#worker.on("exit", () => this.#fail(new Error("the thread that hashes ended")));
    this.#worker.unref(); // after `on`, which makes the worker keep the process alive
  }

  /** The number of a new body. */
  begin(): number {
    return ++this.#lastBody;
  }

  /** Hashes the next bytes of a body, `SLOT_BYTES` at most; waits for a slot, not for the hash. Throws when the thread ends. */
  async update(body: number, algorithm: DigestAlgorithm, chunks: readonly Uint8Array[]): Promise<void> {
    const slot = await this.#takeSlot();
    let length = 0;
    for (const chunk of chunks) {
      this.#memory.set(chunk, slot * SLOT_BYTES + length);
      length += chunk.byteLength;
    }
    this.#worker.postMessage({ body, algorithm, slot, length } satisfies HashOrder);
  }

  /** The hash of all bytes of a body, in hex. Throws when the thread ends before. */
  async end(body: number, algorithm: DigestAlgorithm): Promise<string> {
    if (this.#failure !== undefined) throw this.#failure;
    return await new Promise((resolve, reject) => {
      this.#waitingForHash.set(body, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ body, algorithm } satisfies HashOrder);
    });
  }

  async #takeSlot(): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#worker.ref();
    const slot = this.#freeSlots.pop();
    if (slot !== undefined) return slot;
    return await new Promise((resolve, reject) => this.#waitingForSlot.push({ resolve, reject }));
  }

  #settle(answer: HashAnswer): void {
    this.#hasWorked = true;
    if ("hex" in answer) {
      this.#waitingForHash.get(answer.body)?.resolve(answer.hex);
      this.#waitingForHash.delete(answer.body);
    } else {
      const next = this.#waitingForSlot.shift();
      if (next === undefined) this.#freeSlots.push(answer.slot);
      else next.resolve(answer.slot);
    }
    if (this.#freeSlots.length === SLOTS && this.#waitingForHash.size === 0) this.#worker.unref();
  }

  #fail(failure: Error): void {
    if (this.#failure !== undefined) return; // told twice where a thread fails and then exits
    this.#failure = failure;
    for (const { reject } of [...this.#waitingForSlot, ...this.#waitingForHash.values()]) reject(failure);
    this.#waitingForSlot.length = 0;
    this.#waitingForHash.clear();
    this.#onEnd(this.#hasWorked);
  }
}
