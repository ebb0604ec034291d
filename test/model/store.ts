/** What the store holds: objects with their ages, marks that change by compare-and-swap, and permits to delete. */
import type { Cell, Cells, Clock, State } from "./cells.ts";
import type { Program } from "./program.ts";
import type { Backend, Rules, Times } from "./rules.ts";

/** An object that is there or not; what it says never changes (bytes, a link, a revision). */
export class StoredObject {
  readonly name: string;
  readonly #age: Clock;

  /** `cap`: the largest age that anybody asks for. */
  constructor(cells: Cells, name: string, cap: number) {
    this.name = name;
    this.#age = cells.clock(name, cap);
  }

  exists(s: State): boolean {
    return this.#age.isOn(s);
  }

  put(s: State): void {
    this.#age.start(s);
  }

  delete(s: State): void {
    this.#age.stop(s);
  }

  /** Gone, by somebody who needs no leave. */
  forget(s: State): void {
    this.#age.stop(s);
  }

  /** It is there, as old as can be: at first, or brought back with its old time. */
  restore(s: State): void {
    this.#age.set(s, this.#age.cap + 1);
  }

  age(s: State): number {
    return this.#age.age(s);
  }
}

export const ABSENT = 0;
export const CONDEMNED = 1;
export const DELETING = 2;
export const SWEPT = 3;
export const CLEARED = 4;
const STATE_NAMES = ["absent", "condemned", "deleting", "swept", "cleared"];

/** For people. */
export function nameOf(state: number): string {
  return STATE_NAMES[state] ?? "?";
}

/**
 * What a process has read of a mark. Every write of a mark has a random nonce, so that an ETag that was read is either the
 * present one or never will be again: one bit. (An absent mark has none: it may be absent again.)
 */
export interface Look {
  readonly state: Cell;
  readonly isCurrent: Cell;
}

/** A permit to delete what a mark is about: when it was given. Off where there is none, or where it was revoked. */
export interface Permit {
  readonly given: Clock;
  /** The look of the process that has it: while that is current, the permit is the one named in the mark. */
  readonly owner: Look;
}

export class Mark {
  readonly name: string;
  readonly #state: Cell;
  readonly #age: Clock;
  readonly #looks: Look[] = [];
  readonly #permits: Permit[] = [];
  readonly #times: Times;
  readonly #rules: Rules;
  readonly #backend: Backend;

  constructor(cells: Cells, name: string, settings: { times: Times; rules: Rules; backend: Backend }) {
    this.name = name;
    this.#times = settings.times;
    this.#rules = settings.rules;
    this.#backend = settings.backend;
    this.#state = cells.cell(name);
    this.#age = cells.clock(`${name} age`, Math.max(this.#times.SETTLE, this.#times.D + 1));
  }

  /** Room in which a process keeps what it reads of this mark. */
  look(process: Program): Look {
    const look = {
      state: process.register(`${this.name} as read`),
      isCurrent: process.register(`${this.name} unchanged`),
    };
    this.#looks.push(look);
    return look;
  }

  /** Room for a permit of the process that `owner` belongs to. */
  permit(process: Program, owner: Look): Permit {
    const lapses = this.#backend === "bucket";
    const permit = { given: process.timer(`permit for ${this.name}`, this.#times.E + 1, lapses), owner };
    this.#permits.push(permit);
    return permit;
  }

  state(s: State): number {
    return this.#state.get(s);
  }

  age(s: State): number {
    return this.#age.age(s);
  }

  /** Is what was read of it not so any more, for ever? An absent mark may be absent again. */
  isLost(s: State, { state, isCurrent }: Look): boolean {
    const { compareAndSwap, nonce } = this.#rules;
    return compareAndSwap && nonce && state.get(s) !== ABSENT && isCurrent.get(s) === 0;
  }

  /** Forgets how old it is beyond what is asked of a mark in its state. */
  settle(s: State): void {
    const oldest = this.#state.get(s) === CONDEMNED ? this.#times.SETTLE : this.#times.D + 1;
    if (this.#age.isOn(s) && this.age(s) > oldest) this.#age.set(s, oldest + 1);
  }

  /** GET or LIST. */
  read(s: State, look: Look): number {
    const state = this.#state.get(s);
    look.state.set(s, state);
    look.isCurrent.set(s, state === ABSENT ? 0 : 1);
    return state;
  }

  /** PUT with the condition that the mark is as it was read. False: it is not. */
  swap(s: State, look: Look, to: number): boolean {
    if (this.#rules.compareAndSwap && !this.#holds(s, look)) return false;
    this.#change(s, to);
    look.state.set(s, to);
    look.isCurrent.set(s, 1);
    return true;
  }

  #holds(s: State, look: Look): boolean {
    const read = look.state.get(s);
    if (read === ABSENT || !this.#rules.nonce) return read === this.#state.get(s);
    return look.isCurrent.get(s) === 1;
  }

  /** DELETE without a condition. */
  delete(s: State): void {
    this.#change(s, ABSENT);
  }

  #change(s: State, to: number): void {
    for (const { isCurrent } of this.#looks) isCurrent.set(s, 0);
    this.#state.set(s, to);
    if (to === ABSENT) this.#age.stop(s);
    else this.#age.start(s);
  }

  /** Does the store carry out a delete with this permit? */
  permits(s: State, { given }: Permit): boolean {
    if (!this.#rules.permits) return true;
    return given.isOn(s) && (this.#backend === "folder" || given.age(s) <= this.#times.E);
  }

  /** Ends the permit that is named in the mark that was read. A bucket cannot be told; there it is over after E. */
  revoke(s: State, look: Look): void {
    if (this.#backend === "bucket" || !this.#rules.takeoverRevokes || look.isCurrent.get(s) === 0) return;
    for (const { given, owner } of this.#permits) if (owner.isCurrent.get(s) === 1) given.stop(s);
  }

  /** Ends all permits that are older than E, in a folder. */
  revokeExpired(s: State): void {
    if (this.#backend === "bucket" || !this.#rules.expiredAreRevoked) return;
    for (const { given } of this.#permits) if (given.isOn(s) && given.age(s) > this.#times.E) given.stop(s);
  }
}

/** Forgets a look, when it is not needed any more: states that differ in nothing else are one. */
export function drop(s: State, look: Look): void {
  look.state.set(s, 0);
  look.isCurrent.set(s, 0);
}
