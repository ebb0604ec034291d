/**
 * A state of the model is a row of bytes, so that millions of them can be compared. Each thing that changes (an object's
 * age, where a process is, what it has read) is a cell of that row.
 */
export type State = Uint8Array;

/** A small whole number in a state; 0 at first. */
export class Cell {
  readonly name: string;
  /** Its place in the row. */
  readonly at: number;

  constructor(name: string, at: number) {
    this.name = name;
    this.at = at;
  }

  get(s: State): number {
    return s[this.at] ?? 0;
  }

  set(s: State, value: number): void {
    s[this.at] = value;
  }
}

/**
 * The time since something happened, or off. It counts up to its cap and stays there: ages beyond the largest that anybody
 * asks for are one, which keeps the states finite.
 */
export class Clock extends Cell {
  readonly cap: number;
  /** What is as old as the cap is over: as if it had never been. */
  readonly lapses: boolean;

  constructor(name: string, at: number, cap: number, lapses: boolean) {
    super(name, at);
    this.cap = cap;
    this.lapses = lapses;
  }

  isOn(s: State): boolean {
    return this.get(s) > 0;
  }

  start(s: State): void {
    this.set(s, 1);
  }

  stop(s: State): void {
    this.set(s, 0);
  }

  /** Ticks since it was started, at most the cap. */
  age(s: State): number {
    return this.get(s) - 1;
  }
}

/** Gives out the cells of a model. */
export class Cells {
  readonly all: Cell[] = [];
  readonly #clocks: Clock[] = [];

  cell(name: string): Cell {
    const cell = new Cell(name, this.all.length);
    this.all.push(cell);
    return cell;
  }

  clock(name: string, cap: number, lapses = false): Clock {
    const clock = new Clock(name, this.all.length, cap, lapses);
    this.all.push(clock);
    this.#clocks.push(clock);
    return clock;
  }

  /** All cells 0, all clocks off. */
  blank(): State {
    return new Uint8Array(this.all.length);
  }

  /** A unit of time passes. False if nobody could tell. */
  tick(s: State): boolean {
    let changed = false;
    for (const clock of this.#clocks) {
      const value = clock.get(s);
      if (value > 0 && value <= clock.cap) {
        clock.set(s, value + 1);
        changed = true;
      }
    }
    return changed;
  }

  /** Puts what is over as if it had never been: nobody asks for the difference. */
  lapse(s: State): void {
    for (const clock of this.#clocks) if (clock.lapses && clock.get(s) > clock.cap) clock.set(s, 0);
  }

  /** The cells that are not 0, for people. */
  describe(s: State): string {
    return this.all
      .filter((cell) => cell.get(s) > 0)
      .map((cell) => `${cell.name}=${cell instanceof Clock ? `age ${cell.age(s)}` : cell.get(s)}`)
      .join(" ");
  }
}
