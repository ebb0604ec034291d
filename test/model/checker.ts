/**
 * Goes through every state that can be reached, breadth first, so that the first violation has a shortest trace. States
 * are told apart by 64 bits of hash: with ten million of them, two are taken for one with a probability of 3 in a million.
 */
import type { Cells, State } from "./cells.ts";
import { Violation, type Program } from "./program.ts";

export interface Model {
  readonly cells: Cells;
  readonly programs: readonly Program[];
  readonly initial: readonly State[];
  /** Puts a state as another from which the same can come about; where states are that much alike, one is gone through. */
  readonly reduce?: ((s: State) => void) | undefined;
  /** A state without the runs of the collector and what they have sent: what store, clients and users have come to. */
  readonly outside: (s: State) => State;
  /** Throws a Violation. Called once for each state. */
  readonly check: (s: State) => void;
}

export interface Outcome {
  readonly states: number;
  readonly transitions: number;
  /** What does not hold, and how it comes about: a line a step. Undefined where everything always holds. */
  readonly violation?: { readonly text: string; readonly trace: readonly string[] };
}

interface Move {
  readonly text: string;
  /** False: cannot be done now. */
  readonly run: (s: State) => boolean;
}

/** Throws where there are more than `limit` states. */
export function explore(model: Model, limit = 30_000_000): Outcome {
  const { cells, programs } = model;
  const size = cells.blank().length;
  const moves = numbered(model);
  const seen = new Seen();
  let level = new Rows(size);
  let next = new Rows(size);
  const work = cells.blank();
  let transitions = 0;

  const failed = (parent: number, move: number, error: unknown): Outcome => {
    if (!(error instanceof Violation)) throw error;
    const trace = traceOf(model, moves.all, seen, parent, move);
    return { states: seen.count, transitions, violation: { text: error.message, trace } };
  };

  for (const [index, state] of model.initial.entries()) {
    model.reduce?.(state);
    if (seen.add(state, -1 - index, 0) < 0) continue;
    next.push(state, seen.count - 1);
    model.check(state);
  }
  while (next.count > 0) {
    [level, next] = [next, level];
    next.clear();
    for (let row = 0; row < level.count; row++) {
      const state = level.state(row);
      const id = level.id(row);
      const attempt = (number: number): Outcome | undefined => {
        work.set(state);
        try {
          if (!(moves.all[number]?.run(work) ?? false)) return undefined;
          transitions++;
          model.reduce?.(work);
          const added = seen.add(work, id, number);
          if (added < 0) return undefined;
          model.check(work);
          next.push(work, added);
        } catch (error) {
          return failed(id, number, error);
        }
        return undefined;
      };
      let outcome = attempt(0);
      for (let p = 0; p < programs.length && outcome === undefined; p++) {
        const [first = 0, end = 0] = moves.at[p]?.[programs[p]?.at(state) ?? 0] ?? [];
        for (let number = first; number < end && outcome === undefined; number++) outcome = attempt(number);
      }
      if (outcome !== undefined) return outcome;
    }
    if (seen.count > limit) throw new Error(`more than ${limit} states`);
  }
  return { states: seen.count, transitions };
}

/** All moves in a row, and for each process and label where its own begin and end. Move 0 is the passing of time. */
function numbered({ cells, programs }: Model): { all: Move[]; at: [number, number][][] } {
  const all: Move[] = [{ text: "time passes", run: (s) => cells.tick(s) }];
  const at = programs.map((program) =>
    program.steps.map((steps): [number, number] => {
      const first = all.length;
      for (const { text, run } of steps) {
        all.push({
          text: `${program.name}: ${text}`,
          run: (s) => {
            const label = run(s);
            if (label !== undefined) program.go(s, label);
            return label !== undefined;
          },
        });
      }
      return [first, all.length];
    }),
  );
  return { all, at };
}

function traceOf(model: Model, all: readonly Move[], seen: Seen, parent: number, last: number): string[] {
  const path = [last];
  let at = parent;
  while (seen.parent(at) >= 0) {
    path.unshift(seen.move(at));
    at = seen.parent(at);
  }
  const state = model.initial[-1 - seen.parent(at)]?.slice() ?? model.cells.blank();
  const lines = [`at first: ${model.cells.describe(state)}`];
  for (const number of path) {
    const before = state.slice();
    try {
      all[number]?.run(state);
      model.reduce?.(state);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
    }
    const changed = model.cells.all.filter(
      (cell) => cell.get(before) !== cell.get(state) && !cell.name.endsWith(" at"),
    );
    const told = changed.map((cell) => `${cell.name}=${cell.get(state)}`).join(" ");
    lines.push(number === 0 ? "time passes" : `${all[number]?.text ?? ""}   [${told}]`);
  }
  return lines;
}

/** Rows of bytes, each with the number of its state. */
class Rows {
  readonly #size: number;
  #bytes: Uint8Array;
  #ids: Int32Array;
  count = 0;

  constructor(size: number) {
    this.#size = size;
    this.#bytes = new Uint8Array(size * 1024);
    this.#ids = new Int32Array(1024);
  }

  push(state: State, id: number): void {
    if (this.count === this.#ids.length) {
      const bytes = new Uint8Array(this.#bytes.length * 2);
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      const ids = new Int32Array(this.#ids.length * 2);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    this.#bytes.set(state, this.count * this.#size);
    this.#ids[this.count++] = id;
  }

  state(row: number): State {
    return this.#bytes.subarray(row * this.#size, (row + 1) * this.#size);
  }

  id(row: number): number {
    return this.#ids[row] ?? 0;
  }

  clear(): void {
    this.count = 0;
  }
}

/** The states that were seen: of each its hash, the state that it was reached from, and by which move. */
class Seen {
  count = 0;
  #slots = new Int32Array(1 << 14);
  #high = new Int32Array(1 << 13);
  #low = new Int32Array(1 << 13);
  #parents = new Int32Array(1 << 13);
  #moves = new Uint16Array(1 << 13);

  /** The number of a state that is new; -1 where it was seen. */
  add(state: State, parent: number, move: number): number {
    let high = 0x811c9dc5 | 0;
    let low = 0x3c6ef372 | 0;
    for (let i = 0; i < state.length; i++) {
      const byte = (state[i] ?? 0) + 1;
      high = Math.imul(high ^ byte, 0x01000193);
      low = Math.imul((low << 5) ^ (low >>> 27) ^ (byte * 0x9e3779b1), 0x85ebca6b);
    }
    high ^= low >>> 15;
    low ^= low >>> 13;
    const mask = this.#slots.length - 1;
    let slot = (low ^ (high << 7)) & mask;
    for (;;) {
      const number = (this.#slots[slot] ?? 0) - 1;
      if (number < 0) break;
      if (this.#low[number] === low && this.#high[number] === high) return -1;
      slot = (slot + 1) & mask;
    }
    const number = this.count++;
    this.#slots[slot] = number + 1;
    if (number >= this.#high.length) this.#grow();
    this.#high[number] = high;
    this.#low[number] = low;
    this.#parents[number] = parent;
    this.#moves[number] = move;
    if (this.count * 2 > this.#slots.length) this.#rehash();
    return number;
  }

  parent(number: number): number {
    return this.#parents[number] ?? 0;
  }

  move(number: number): number {
    return this.#moves[number] ?? 0;
  }

  #grow(): void {
    const longer = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const array = new Int32Array(old.length * 2);
      array.set(old);
      return array;
    };
    this.#high = longer(this.#high);
    this.#low = longer(this.#low);
    this.#parents = longer(this.#parents);
    const moves = new Uint16Array(this.#moves.length * 2);
    moves.set(this.#moves);
    this.#moves = moves;
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.count; number++) {
      let slot = ((this.#low[number] ?? 0) ^ ((this.#high[number] ?? 0) << 7)) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }
}
