/**
 * A clock that goes by requests and not by time: it holds every answer back until all that can be asked without it was
 * asked, and gives the held ones together. What is asked between two such moments is a round, so a request stands in the
 * round after the last answer that it had to wait for, and the number of rounds is the number of serial round trips.
 *
 * "Asked all" is a silence. One that is too short puts a request that needed no answer into a later round; none can come
 * in an earlier one. So a count is never too low, and of several the lowest is the true one.
 */
const TICK_MS = 10;

/** What a request tells the clock. */
export interface Entry {
  /** The server has answered. Resolves when the client may hear of it. */
  answered(): Promise<void>;
  /** It is over, one way or another. */
  gone(): void;
}

/** Requests by rounds. */
export class Rounds<R> {
  /** So far. */
  readonly rounds: R[][] = [];
  readonly #silence: number;
  #unanswered = 0;
  #open = 0;
  #ended: (() => void) | undefined;
  #held: (() => void)[] = [];
  #newRound = true;
  #timer: NodeJS.Timeout | undefined;

  /** `silenceMs`: for how long nobody must have asked anything before answers are given. */
  constructor(silenceMs: number) {
    this.#silence = Math.ceil(silenceMs / TICK_MS);
  }

  /** To be called when a request arrives. */
  enter(request: R): Entry {
    if (this.#newRound) this.rounds.push([]);
    this.#newRound = false;
    this.rounds.at(-1)?.push(request);
    this.#unanswered++;
    this.#open++;
    this.#listen();
    let state: "asked" | "answered" | "gone" = "asked";
    const answer = (): void => {
      if (state === "asked") this.#unanswered--;
      state = "answered";
    };
    return {
      answered: async () => {
        answer();
        await new Promise<void>((release) => {
          this.#held.push(release);
          this.#listen();
        });
      },
      gone: () => {
        if (state === "gone") return;
        answer();
        state = "gone";
        this.#open--;
        this.#listen();
      },
    };
  }

  /** Resolves when no request is under way, and none came for as long as a silence is. */
  async ended(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#ended = resolve;
      this.#listen();
    });
  }

  /** Waits for silence anew. In ticks, so that a busy process, which hears of nothing, does not take that for silence. */
  #listen(): void {
    clearTimeout(this.#timer);
    if (this.#unanswered > 0) return;
    let ticks = 0;
    const tick = (): void => {
      if (++ticks < this.#silence) this.#timer = setTimeout(tick, TICK_MS);
      else if (this.#held.length > 0) this.#release();
      else if (this.#open === 0) this.#ended?.();
    };
    this.#timer = setTimeout(tick, TICK_MS);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    this.#newRound = true;
    for (const release of held) release();
  }
}
