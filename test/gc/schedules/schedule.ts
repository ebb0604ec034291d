/** Who goes next, call by call: every call to the store waits at a gate until it is chosen. */
import { setImmediate } from "node:timers";
import { layout } from "../../../shared/registry/layout.ts";
import { pushStepOf, runStepOf, stateOf, type StepOf } from "./steps.ts";
import type { Call, Gate, Store } from "./store.ts";

/** What becomes of a call. */
export type Verdict =
  | "pass"
  /** It fails, and nothing was done. */
  | "before"
  /** It is done, and its answer lost. */
  | "after"
  | "killed before"
  | "killed after"
  /** Its sender gives up waiting; the store carries it out later. */
  | "late"
  /** It is done, and answered a while later. */
  | "slow";

/** The failure that calls end with. */
export class Fault extends Error {
  override readonly name = "Fault";
}

/** Something that must always hold does not. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** What kind of process: pushes (and HEAD, mount), a user who deletes, an undo, a run. */
export type Kind = "push" | "user" | "undo" | "run";

/** A process: when it dies, none of its calls takes effect any more, and none is answered. */
export class Process {
  /** Who it works for: a client, a collector. */
  readonly actor: string;
  readonly kind: Kind;
  readonly died: Promise<void>;
  isAlive = true;
  /** Calls of it that failed. */
  readonly failed: { readonly call: Call; readonly step: ReturnType<StepOf> }[] = [];
  #die: () => void = () => undefined;

  constructor(actor: string, kind: Kind) {
    this.actor = actor;
    this.kind = kind;
    this.died = new Promise((resolve) => (this.#die = resolve));
  }

  kill(): void {
    this.isAlive = false;
    this.#die();
  }
}

/** A call at the gate. */
export interface Waiting {
  readonly process: Process;
  readonly call: Call;
  readonly step: ReturnType<StepOf>;
  /** Its sender does not wait for it any more. */
  readonly isLate: boolean;
  readonly go: (verdict: Verdict) => void;
}

/** What is chosen: a call, what becomes of it, and for how long nothing happened before. */
export interface Choice {
  readonly waiting: Waiting;
  readonly verdict: Verdict;
  readonly passMs: number;
  /** For a slow answer: how long it takes. */
  readonly slowMs?: number;
}

export type Choose = (waiting: readonly Waiting[]) => Choice;

/** Turns of the event loop in which nothing new came: whoever wants something from the store has asked. */
const QUIET_TURNS = 2;
const STUCK_TURNS = 5000;
const MOST_CALLS = 6000;

const STEP_OF: Readonly<Record<Kind, StepOf>> = {
  push: pushStepOf,
  run: runStepOf,
  // A push, but for the journal that it reads and the trash from which it takes the bytes.
  undo: (call) => pushStepOf(call) ?? "bookkeeping",
  user: () => "bookkeeping",
};

export class Schedule {
  /** What was done, call by call, for people. */
  readonly trace: string[] = [];
  /** Steps that were taken, of pushes and of runs. */
  readonly steps = { push: new Set<string>(), run: new Set<string>() };
  readonly store: Store;
  /** Called after each call that may have changed something. */
  onEffect: (process: Process, call: Call) => void = () => undefined;
  readonly #began: number;
  readonly #names = new Map<string, string>();
  readonly #waiting: Waiting[] = [];
  #arrivals = 0;
  #late = 0;
  #slowMs = 0;

  constructor(store: Store) {
    this.store = store;
    this.#began = store.time;
  }

  /** Digests are told by names in traces. */
  name(digest: string, name: string): void {
    this.#names.set(digest.slice(digest.indexOf(":") + 1), name);
  }

  /** The gate of a process. */
  gateOf(process: Process): Gate {
    const stepOf = STEP_OF[process.kind];
    return async <T>(call: Call, effect: () => T): Promise<T> =>
      await this.#arrive(process, call, stepOf(call), effect);
  }

  /** Lets time pass, when it is chosen. */
  async wait(process: Process, ms: number): Promise<void> {
    const call = { operation: "wait", key: `${ms / 1000} s` };
    await this.#arrive(process, call, "bookkeeping", () => (this.store.time += ms));
  }

  /** Notes what came of something. */
  note(actor: string, text: string): void {
    this.trace.push(`${this.#clock()} ${actor}: ${text}`);
  }

  /** Goes on until all that is under way has ended. Throws what any of it throws. */
  async play(actors: readonly (() => Promise<void>)[], choose: Choose): Promise<void> {
    let running = actors.length;
    let failure: Error | undefined;
    for (const actor of actors) {
      actor().then(
        () => running--,
        (error: unknown) => {
          running--;
          failure ??= error as Error;
        },
      );
    }
    for (let calls = 0; ; calls++) {
      await this.#settle(() => running === 0);
      if (failure !== undefined) throw failure;
      if (running === 0) break;
      if (calls > MOST_CALLS) throw new Error("it does not come to an end");
      this.#take(choose(this.#waiting));
    }
    // Requests that nobody waits for any more are lost.
    this.#waiting.length = 0;
  }

  #take({ waiting, verdict, passMs, slowMs = 0 }: Choice): void {
    this.store.time += passMs;
    this.#slowMs = slowMs;
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    const { process, call, step } = waiting;
    if (step === undefined) throw new Violation(`a ${process.kind} does what no step is: ${this.#textOf(call)}`);
    if (process.kind === "push" || process.kind === "run") this.steps[process.kind].add(step);
    this.trace.push(
      `${this.#clock()} ${process.actor}: ${this.#textOf(call)}${verdict === "pass" ? "" : ` — ${verdict}`}`,
    );
    waiting.go(verdict);
    if (!(verdict === "before" || verdict === "killed before" || verdict === "late")) this.onEffect(process, call);
  }

  async #arrive<T>(process: Process, call: Call, step: ReturnType<StepOf>, effect: () => T): Promise<T> {
    if (!process.isAlive) return await new Promise<never>(() => undefined);
    this.#arrivals++;
    return await new Promise<T>((resolve, reject) => {
      const kill = (): void => {
        process.kill();
        const left = this.#waiting.filter((other) => other.process !== process);
        this.#waiting.splice(0, Infinity, ...left);
      };
      const fail = (): void => {
        process.failed.push({ call, step });
        reject(new Fault("the store does not answer"));
      };
      const go = (verdict: Verdict): void => {
        switch (verdict) {
          case "pass":
          case "slow":
            try {
              const result = effect();
              if (verdict === "slow") resolve(this.#answeredLate(result));
              else resolve(result);
            } catch (error) {
              reject(error instanceof Error ? error : new Error(String(error)));
            }
            return;
          case "before":
            fail();
            return;
          case "after":
            attempt(effect);
            fail();
            return;
          case "killed before":
            kill();
            return;
          case "killed after":
            attempt(effect);
            kill();
            return;
          case "late": {
            const ghost = new Process(`${process.actor}, late ${++this.#late}`, process.kind);
            this.#waiting.push({ process: ghost, call, step, isLate: true, go: () => attempt(effect) });
            fail();
            return;
          }
        }
      };
      this.#waiting.push({ process, call, step, isLate: false, go });
    });
  }

  /** A write that is answered late was done "when it was done, or later". */
  #answeredLate<T>(result: T): T {
    this.store.time += this.#slowMs;
    if (typeof result !== "object" || result === null || !("asOf" in result) || "size" in result) return result;
    return { ...result, asOf: this.store.now() };
  }

  async #settle(isOver: () => boolean): Promise<void> {
    let seen = -1;
    let quiet = 0;
    for (let turns = 0; quiet < QUIET_TURNS || (this.#waiting.length === 0 && !isOver()); turns++) {
      if (turns > STUCK_TURNS) throw new Error("nothing goes on, and nobody asks the store for anything");
      await new Promise((resolve) => setImmediate(resolve));
      quiet = seen === this.#arrivals ? quiet + 1 : 0;
      seen = this.#arrivals;
    }
  }

  #clock(): string {
    return `+${((this.store.time - this.#began) / 1000).toFixed(3)}`;
  }

  /** A key or path, with names for digests. */
  named(key: string): string {
    return key
      .replaceAll(layout.root, "")
      .replaceAll(/\b(?:[0-9a-f]{2}\/)?([0-9a-f]{64})/g, (_, hex: string) => this.#names.get(hex) ?? hex.slice(0, 8));
  }

  #textOf(call: Call): string {
    const { operation, key } = call;
    const named = this.named(key);
    const state = operation === "put" && key.includes("/_gc/marks/") ? ` ${stateOf(call)}` : "";
    return `${operation} ${named}${state}`;
  }
}

function attempt(work: () => unknown): void {
  try {
    work();
  } catch {
    // Its sender does not hear of it.
  }
}
