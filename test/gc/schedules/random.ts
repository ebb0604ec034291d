/** All that is drawn in a schedule follows from its seed: numbers, and the random names that the code gives things. */
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

/** Draws numbers from a seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1);
  }

  /** From 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  upTo(count: number): number {
    return Math.floor(this.next() * count);
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.upTo(items.length)];
    if (item === undefined) throw new Error("nothing to draw from");
    return item;
  }
}

/** Does the work while every `randomUUID` of this process follows from a seed. */
export async function withSeededIds<T>(seed: number, work: () => Promise<T>): Promise<T> {
  const random = new Random(seed);
  const real = crypto.randomUUID;
  const hex = (digits: number): string => Array.from({ length: digits }, () => random.upTo(16).toString(16)).join("");
  crypto.randomUUID = () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    crypto.randomUUID = real;
    syncBuiltinESMExports();
  }
}
