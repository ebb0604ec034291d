/**
 * Reductions: states of which the same can come about are put as one of them, before they are told apart. Each is a rule
 * of its own, and changes nothing of what the store and the clients may come to be (reduction.test.ts looks).
 *
 * - What is over is as if it had never been (`Clock.lapses`): a permit of a bucket after E, a promise after GRACE. Who asks
 *   for the one asks for the other.
 * - How old a mark is beyond what is asked in its state (`Mark.settle`).
 * - What comes to nothing whatever the others do is done at once (`Collector.settle`).
 * - Processes that are the same but for their names are put in order. Nothing names them: a mark that changes is not
 *   current any more for everybody, a permit belongs to who has it. So from a state and from the same with two of them
 *   exchanged the same can come about, with these two exchanged.
 */
import type { State } from "./cells.ts";
import type { Collector } from "./collector.ts";
import type { Program } from "./program.ts";
import type { World } from "./world.ts";

/** All of them. `alike`: groups of processes that are the same but for their names. */
export function reductionOf(
  { cells, marks }: World,
  collectors: readonly Collector[],
  alike: readonly (readonly Program[])[],
): (s: State) => void {
  const sorts = alike.filter((group) => group.length > 1).map(sorted);
  return (s) => {
    cells.lapse(s);
    for (const mark of marks) mark.settle(s);
    for (const collector of collectors) collector.settle(s);
    for (const sort of sorts) sort(s);
  };
}

/** Puts what these processes have in order, by its bytes. Throws where they are not alike. */
export function sorted(group: readonly Program[]): (s: State) => void {
  const shapes = group.map(({ own, name }) => own.map((cell) => cell.name.replace(name, "")).join());
  if (shapes.some((shape) => shape !== shapes[0])) throw new Error("these processes are not alike");
  const blocks = group.map(({ own }) => Uint16Array.from(own, ({ at }) => at));
  const isAbove = (s: State, one: Uint16Array, other: Uint16Array): boolean => {
    for (let i = 0; i < one.length; i++) {
      const [a = 0, b = 0] = [s[one[i] ?? 0], s[other[i] ?? 0]];
      if (a !== b) return a > b;
    }
    return false;
  };
  return (s) => {
    for (let end = blocks.length - 1; end > 0; end--) {
      for (let i = 0; i < end; i++) {
        const [one, other] = [blocks[i], blocks[i + 1]];
        if (one === undefined || other === undefined || !isAbove(s, one, other)) continue;
        for (let k = 0; k < one.length; k++) {
          const [a = 0, b = 0] = [one[k], other[k]];
          const value = s[a] ?? 0;
          s[a] = s[b] ?? 0;
          s[b] = value;
        }
      }
    }
  };
}

/** What is left of a state without some processes, put in the same way where there are several for one thing. */
export function outside(
  { cells, marks }: World,
  without: readonly Program[],
  alike: readonly (readonly Program[])[],
): (s: State) => State {
  const sorts = alike.map(sorted);
  const hidden = without.flatMap(({ own }) => own);
  return (state) => {
    const s = state.slice();
    for (const cell of hidden) cell.set(s, 0);
    cells.lapse(s);
    for (const mark of marks) mark.settle(s);
    for (const sort of sorts) sort(s);
    return s;
  };
}
