import { OverloadedError } from "./driver.ts";

/**
 * Memory that a process may spend on bodies in flight, shared by all requests. Who gets none waits, and with it the
 * client, whose socket is not read meanwhile; who waits too long is told to try again.
 */
export class MemoryBudget {
  readonly #waiting: { readonly bytes: number; readonly grant: () => void }[] = [];
  readonly #waitMs: number;
  #free: number;

  /** `bytes` in all; `waitMs` is the longest wait before OverloadedError. */
  constructor(bytes: number, waitMs: number) {
    this.#free = bytes;
    this.#waitMs = waitMs;
  }

  /** Takes `bytes` of the budget, first come first served. Throws OverloadedError. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#free >= bytes) {
      this.#free -= bytes;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(new OverloadedError("too many uploads at once", 5));
      }, this.#waitMs);
      const waiter = {
        bytes,
        grant: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiting.push(waiter);
    });
  }

  /** Gives `bytes` back. */
  release(bytes: number): void {
    this.#free += bytes;
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.bytes;
      next.grant();
    }
  }
}
