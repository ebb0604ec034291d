/** The time that one step may take, by this process's own clock: a matter of economy, on which nothing safe rests. */
export class Deadline {
  readonly #elapsed: () => number;
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;

  /** `elapsed` gives milliseconds of a clock that only goes on. `signal` ends it before its time. */
  constructor(ms: number, elapsed: () => number, signal?: AbortSignal) {
    this.#elapsed = elapsed;
    this.#end = elapsed() + ms;
    this.#signal = signal;
  }

  get isOver(): boolean {
    return this.#signal?.aborted === true || this.#elapsed() >= this.#end;
  }

  /** The same, but no later than so many milliseconds from now. */
  atMost(ms: number): Deadline {
    return new Deadline(Math.min(ms, this.#end - this.#elapsed()), this.#elapsed, this.#signal);
  }

  /** Is there time for something that takes this long? In milliseconds. */
  hasTimeFor(ms: number): boolean {
    return !this.isOver && this.#elapsed() + ms < this.#end;
  }
}
