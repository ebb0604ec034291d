/** `clear` and `promise` of docs/garbage-collection.md: what is done before anybody is told anything. */
import type { Cell, Clock, State } from "./cells.ts";
import { NOT_NOW, Program, type Label } from "./program.ts";
import { ABSENT, CLEARED, CONDEMNED, DELETING, drop, SWEPT, type Look, type Mark } from "./store.ts";
import type { Blob, World } from "./world.ts";

/** Where it goes on: a label, or what finds one. */
export type Way = Label | ((s: State) => Label);

export function follow(s: State, way: Way): Label {
  return typeof way === "number" ? way : way(s);
}

/** A process that clears marks and asks for promises. */
export class Promising extends Program {
  readonly world: World;
  /** Since the first answer of what is done again where it takes more than T. */
  readonly since: Clock;
  /** Which of the reads that go out at once have not been answered yet, one bit each. */
  readonly pending: Cell;
  readonly sawLink: Cell;
  readonly sawBytes: Cell;
  readonly #looks = new Map<Mark, Look>();

  constructor(world: World, name: string) {
    super(world.cells, name);
    this.world = world;
    this.since = this.timer("since the first answer", world.times.T + 1);
    this.pending = this.register("reads under way");
    this.sawLink = this.register("link seen");
    this.sawBytes = this.register("bytes seen");
  }

  look(mark: Mark): Look {
    const look = this.#looks.get(mark) ?? mark.look(this);
    this.#looks.set(mark, look);
    return look;
  }

  answered(s: State): void {
    if (!this.since.isOn(s)) this.since.start(s);
  }

  /** Has it taken longer than T? The time is that of the last answer. */
  tookTooLong(s: State): boolean {
    return this.world.rules.checkTime && this.since.isOn(s) && this.since.age(s) > this.world.times.T;
  }
}

export interface ClearWays {
  readonly ok: Way;
  /** A run is deleting it. */
  readonly busy: Way;
  /** It was deleted. Without this way `swept` is cleared too: by who writes it anew. */
  readonly swept?: Way;
  /** Since when it counts, where that is not the time of all the rest: called when the mark was read. */
  readonly read?: (s: State) => void;
}

/** clear(mark). Gives where it begins. */
export function clear(p: Promising, mark: Mark, ways: ClearWays): Label {
  return clearing(p, mark, ways).get;
}

/** `get`: where the mark is read. `decide`: what follows once it was. */
export function clearing(p: Promising, mark: Mark, ways: ClearWays): { get: Label; decide: (s: State) => Label } {
  const look = p.look(mark);
  const [get, put, revoke] = [p.label(), p.label(), p.label()];
  const leave = (s: State, way: Way): Label => {
    drop(s, look);
    return follow(s, way);
  };
  const decide = (s: State): Label => {
    switch (look.state.get(s)) {
      case CONDEMNED:
        return put;
      case DELETING:
        if (mark.age(s) <= p.world.times.D) return leave(s, ways.busy);
        return p.world.backend === "folder" ? revoke : put;
      case SWEPT:
        return ways.swept === undefined ? put : leave(s, ways.swept);
      default:
        return leave(s, ways.ok);
    }
  };
  p.on(get, "clear: GET mark", mark.name, (s) => {
    if (ways.read === undefined) p.answered(s);
    else ways.read(s);
    mark.read(s, look);
    return decide(s);
  });
  p.on(revoke, "clear: revoke permit", mark.name, (s) => {
    mark.revoke(s, look);
    return put;
  });
  p.on(put, "clear: PUT cleared", mark.name, (s) => (mark.swap(s, look, CLEARED) ? leave(s, ways.ok) : leave(s, get)));
  return { get, decide };
}

export interface PromiseWays {
  /** It is here, and stays for GRACE. */
  readonly yes: Way;
  /** As if there were no blob. */
  readonly no: Way;
  /** It took more than T. */
  readonly again: Way;
}

/** The reads of a promise. */
const MARK = 1;
const LINK = 2;
const BYTES = 4;
/** What was seen of a link; 0: there is none. */
const STALE = 1;
const YOUNG = 2;

/** promise(r, d). `target` is where it is mounted, if it is. Gives where it begins. */
export function promise(p: Promising, blob: Blob, repository: number, ways: PromiseWays, target?: number): Label {
  const { rules, times } = p.world;
  const { mark, bytes, links } = blob;
  const [link, mounted] = [links[repository], target === undefined ? undefined : links[target]];
  if (link === undefined) throw new Error(`no such repository: ${repository}`);
  const look = p.look(mark);
  const [begin, reading, touching] = [p.label(), p.label(), p.label()];

  const end = (s: State, way: Way): Label => {
    for (const register of [p.sawLink, p.sawBytes, p.pending]) register.set(s, 0);
    drop(s, look);
    return follow(s, way);
  };
  const endInTime = (s: State): Label => end(s, p.tookTooLong(s) ? ways.again : ways.yes);
  const judge = (s: State): Label => {
    if (p.sawLink.get(s) === 0 || p.sawBytes.get(s) === 0) return end(s, ways.no);
    if (mounted === undefined && (p.sawLink.get(s) === YOUNG || !rules.touch)) return endInTime(s);
    return !rules.checkAfterWrite && p.tookTooLong(s) ? end(s, ways.again) : touching;
  };
  const { decide } = clearing(p, mark, {
    ok: (s) => {
      if (!rules.promiseReadsAgain) return judge(s);
      p.pending.set(s, LINK | BYTES);
      return reading;
    },
    busy: (s) => end(s, ways.no),
    swept: (s) => end(s, ways.no),
  });

  const answered = (s: State, read: number): Label => {
    p.answered(s);
    p.pending.set(s, p.pending.get(s) & ~read);
    if (p.pending.get(s) !== 0) return reading;
    return look.state.get(s) === ABSENT ? judge(s) : decide(s);
  };
  for (const label of [begin, reading]) {
    const isPending = (s: State, read: number): boolean => {
      if (label === begin) p.pending.set(s, rules.promiseReadsMark ? MARK | LINK | BYTES : LINK | BYTES);
      return (p.pending.get(s) & read) !== 0;
    };
    p.on(label, "promise: GET mark", mark.name, (s) => {
      if (!isPending(s, MARK)) return NOT_NOW;
      mark.read(s, look);
      return answered(s, MARK);
    });
    p.on(label, "promise: GET link", link.name, (s) => {
      if (!isPending(s, LINK)) return NOT_NOW;
      p.sawLink.set(s, !link.exists(s) ? 0 : link.age(s) > times.FRESH ? STALE : YOUNG);
      return answered(s, LINK);
    });
    p.on(label, "promise: HEAD blob", bytes.name, (s) => {
      if (!isPending(s, BYTES)) return NOT_NOW;
      p.sawBytes.set(s, bytes.exists(s) ? 1 : 0);
      return answered(s, BYTES);
    });
  }
  const written = (s: State): Label => (rules.checkAfterWrite ? endInTime(s) : end(s, ways.yes));
  p.on(touching, "promise: PUT link", (mounted ?? link).name, (s) => {
    if (mounted === undefined && rules.touchIfMatch && !link.exists(s)) return end(s, ways.again);
    (mounted ?? link).put(s);
    return written(s);
  });
  return begin;
}
