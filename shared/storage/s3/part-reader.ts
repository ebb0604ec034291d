import type { MemoryBudget } from "../memory-budget.ts";

/** Bytes that take memory of the budget until they are released. */
export interface Part {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Bodies up to this size, of which there are many, take none of the budget. */
const SMALL_BYTES = 256 * 1024;
/** A chunk takes memory beside its bytes, of which a client can send one at a time: so many are made one. */
const MOST_CHUNKS = 1024;

/**
 * Cuts a body into parts. What a part takes of the budget is taken before it is received, so a client whose turn it is not
 * yet is not read from.
 */
export class PartReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #budget: MemoryBudget;
  #rest: Uint8Array | undefined;
  #ended = false;

  constructor(body: AsyncIterable<Uint8Array>, budget: MemoryBudget) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#budget = budget;
  }

  /** The next `size` bytes, or what is left of the body; undefined where nothing is left. */
  async read(size: number): Promise<Part | undefined> {
    let small: Uint8Array[] = [];
    let filled = 0;
    while (filled < Math.min(size, SMALL_BYTES)) {
      const chunk = await this.#next();
      if (chunk === undefined) break;
      small.push(chunk);
      filled += chunk.byteLength;
      if (small.length === MOST_CHUNKS) small = [Buffer.concat(small)];
    }
    if (filled === 0) return undefined;
    if (this.#ended && filled <= size) return { bytes: Buffer.concat(small), release: () => undefined };

    await this.#budget.take(size);
    try {
      const bytes = Buffer.allocUnsafeSlow(size);
      let at = 0;
      for (const chunk of small) at += this.#copy(chunk, bytes, at);
      while (at < size) {
        const chunk = await this.#next();
        if (chunk === undefined) break;
        at += this.#copy(chunk, bytes, at);
      }
      return { bytes: bytes.subarray(0, at), release: () => this.#budget.release(size) };
    } catch (error) {
      this.#budget.release(size);
      throw error;
    }
  }

  /** Is the body at its end? Waits for its next bytes. */
  async isAtEnd(): Promise<boolean> {
    this.#rest ??= await this.#next();
    return this.#rest === undefined;
  }

  /** Lets go of a body that is not read to its end. */
  async cancel(): Promise<void> {
    if (!this.#ended) await this.#chunks.return?.();
  }

  #copy(chunk: Uint8Array, target: Buffer, at: number): number {
    const room = target.byteLength - at;
    if (chunk.byteLength > room) this.#rest = chunk.subarray(room);
    const taken = chunk.byteLength > room ? chunk.subarray(0, room) : chunk;
    target.set(taken, at);
    return taken.byteLength;
  }

  async #next(): Promise<Uint8Array | undefined> {
    if (this.#rest !== undefined) {
      const rest = this.#rest;
      this.#rest = undefined;
      return rest;
    }
    while (!this.#ended) {
      const next = await this.#chunks.next();
      if (next.done === true) this.#ended = true;
      else if (next.value.byteLength > 0) return next.value;
    }
    return undefined;
  }
}
