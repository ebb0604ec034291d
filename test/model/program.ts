/** Processes: what each may do next, one operation of the store at a time. */
import type { Cell, Cells, Clock, State } from "./cells.ts";
import type { StepName } from "./steps.ts";

/** Where a process is. */
export type Label = number;

/** The process does nothing. */
export const REST: Label = 0;

/** A step that cannot be taken now. */
export const NOT_NOW = undefined;

/** What may happen next: one operation of the store, with what the process makes of its answer. */
export interface Step {
  /** What it is in the protocol; none for a disturbance. */
  readonly name: StepName | undefined;
  /** For traces. */
  readonly text: string;
  /** A crash, a fault, an answer that is lost: what does not happen in an undisturbed run. */
  readonly isDisturbance: boolean;
  /** Changes the state and gives where the process is then, or NOT_NOW. */
  readonly run: (s: State) => Label | undefined;
}

/** An invariant does not hold. */
export class Violation extends Error {}

/** A process: labels, and the steps that can be taken at each. Several at one label are alternatives. */
export class Program {
  readonly name: string;
  readonly cells: Cells;
  readonly steps: Step[][] = [];
  /** Where a client begins again that was cut off at this label; none where it does not. */
  readonly retryAt: (Label | undefined)[] = [];
  readonly #at: Cell;
  /** All that is its own, in the order in which it was made: where it is, what it remembers. */
  readonly own: Cell[] = [];
  readonly #registers: Cell[] = [];
  readonly #aliases: [Label, Label][] = [];
  #request: Label | undefined;

  constructor(cells: Cells, name: string) {
    this.cells = cells;
    this.name = name;
    this.#at = cells.cell(`${name} at`);
    this.own.push(this.#at);
    this.label();
  }

  at(s: State): Label {
    return this.#at.get(s);
  }

  go(s: State, label: Label): void {
    this.#at.set(s, label);
  }

  label(): Label {
    this.steps.push([]);
    this.retryAt.push(this.#request);
    return this.steps.length - 1;
  }

  /** The labels made from here on belong to a request that begins at this new one. */
  request(): Label {
    this.#request = this.steps.length;
    return this.label();
  }

  /** `of`: which object it is about. */
  on(label: Label, name: StepName, of: string, run: (s: State) => Label | undefined): void {
    this.steps[label]?.push({ name, text: `${name} (${of})`, isDisturbance: false, run });
  }

  disturb(label: Label, text: string, run: (s: State) => Label | undefined): void {
    this.steps[label]?.push({ name: undefined, text, isDisturbance: true, run });
  }

  /** What a process remembers; it is forgotten with `forget`. */
  register(name: string): Cell {
    const cell = this.cells.cell(`${this.name} ${name}`);
    this.#registers.push(cell);
    this.own.push(cell);
    return cell;
  }

  timer(name: string, cap: number, lapses = false): Clock {
    const clock = this.cells.clock(`${this.name} ${name}`, cap, lapses);
    this.#registers.push(clock);
    this.own.push(clock);
    return clock;
  }

  forget(s: State): void {
    for (const register of this.#registers) register.set(s, 0);
  }

  /** What can be done at `target` can be done at this label too. */
  alias(label: Label, target: Label): void {
    this.#aliases.push([label, target]);
  }

  /** Nobody waits any more for what this process would have done. */
  gone(s: State): void {
    this.forget(s);
  }

  /** Ends the making of a program. `mayDie`: at every label; a client whose server died tries its request again, or not. */
  finish(mayDie: boolean): this {
    for (const [label, target] of this.#aliases) this.steps[label]?.push(...(this.steps[target] ?? []));
    if (!mayDie) return this;
    this.retryAt.forEach((retry, label) => {
      if (label === REST || this.steps[label]?.length === 0) return;
      this.disturb(label, "dies", (s) => {
        this.gone(s);
        return REST;
      });
      if (retry === undefined || retry === label) return;
      this.disturb(label, "the server dies; the client tries again", (s) => {
        this.forget(s);
        return retry;
      });
    });
    return this;
  }
}
