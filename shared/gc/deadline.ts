/** The time that one step may take, by this process's own clock: a matter of economy, on which nothing safe rests. */
export class Deadline {
  readonly #elapsed: () => number;
  readonly #end: number;

  /** `elapsed` gives milliseconds of a clock that only goes on. */
  constructor(ms: number, elapsed: () => number) {
    this.#elapsed = elapsed;
    this.#end = elapsed() + ms;
  }

  get isOver(): boolean {
    return this.#elapsed() >= this.#end;
  }

  /** The same, but no later than so many milliseconds from now. */
  atMost(ms: number): Deadline {
    return new Deadline(Math.min(ms, this.#end - this.#elapsed()), this.#elapsed);
  }

  /** Is there time for something that takes this long? In milliseconds. */
  hasTimeFor(ms: number): boolean {
    return this.#elapsed() + ms < this.#end;
  }
}
