/** A run of the collector, again and again; it may be killed, or paused for any time, at each of its steps. */
import type { Cell, State } from "./cells.ts";
import { NOT_NOW, Program, REST, type Label } from "./program.ts";
import {
  ABSENT,
  CLEARED,
  CONDEMNED,
  DELETING,
  drop,
  SWEPT,
  type Look,
  type Mark,
  type Permit,
  type StoredObject,
} from "./store.ts";
import type { StepName } from "./steps.ts";
import type { Manifest, World } from "./world.ts";

/** What has a mark: a digest, a revision of a repository, or a tag. */
interface Item {
  readonly name: string;
  readonly mark: Mark;
  /** What is deleted with it, in this order. */
  readonly objects: readonly Part[];
  /** Items that must be gone before: parents and subject. */
  readonly parents: readonly number[];
}

interface Part {
  readonly kind: "referrer entry" | "revision" | "link" | "bytes" | "history" | "tag";
  readonly object: StoredObject;
  /** Is it left where it was not listed? */
  readonly ifListed: boolean;
}

/** A listing, or a page of one, and the reading of what it shows; false is a fault. */
interface Read {
  readonly name: StepName;
  readonly of: string;
  /** The marks of what it can say something of. */
  readonly about: readonly (Mark | undefined)[];
  readonly run: (s: State) => boolean;
}

/** What a run knows of an item. */
interface Notes {
  /** How old the mark was when it was listed. */
  readonly age: Cell;
  readonly look: Look;
  /** What was seen of it: NOTHING, STORED (something old), or KEPT (it is live, or something of it is young). */
  readonly seen: Cell;
  /** Of a tag: it had a history when that was listed. Of a blob: its bytes were listed. */
  readonly listed: Cell;
  /** This run has deleted it. */
  readonly deleted: Cell;
  readonly permit: Permit;
}

const NOTHING = 0;
const STORED = 1;
const KEPT = 2;

const YOUNG = 0;
/** Condemned for SETTLE or longer; in another state for longer than D. */
const RIPE = 1;

/** A request that was sent by a run which does not wait for it any more. */
interface Flight {
  /** Which of the item's objects it deletes, from 1; the mark after the last; 0: none. */
  readonly what: Cell;
  readonly permit: Permit;
  readonly program: Program;
}

/** What there is to collect in a world. The tag, revisions, parents first, then digests. */
export function itemsOf(world: World): Item[] {
  const { blobs, manifests, rules } = world;
  const tags = world.expiring === undefined ? 0 : 1;
  const revisions = world.untagged ? manifests.filter((manifest) => manifest.mark !== undefined) : [];
  const parentsOf = (manifest: Manifest): number[] =>
    revisions.flatMap((other, index) =>
      other.children.includes(manifest) || manifest.subject === other ? [tags + index] : [],
    );
  const part =
    (kind: Part["kind"], ifListed = false) =>
    (object: StoredObject): Part => ({ kind, object, ifListed });
  const inOrder = (links: readonly Part[], bytes: Part): Part[] =>
    rules.linksBeforeBytes ? [...links, bytes] : [bytes, ...links];
  const items: Item[] = [];
  if (world.expiring !== undefined) {
    const { mark, history, link } = world.expiring;
    const [first, last] = [part("history", true)(history), part("tag")(link)];
    const objects = rules.historyBeforeTag ? [first, last] : [last, first];
    items.push({ name: "the tag", mark, objects, parents: [] });
  }
  for (const manifest of revisions) {
    const { name, mark, revision, entry, named } = manifest;
    if (mark === undefined) continue;
    const entries = entry === undefined ? [] : [part("referrer entry")(entry)];
    const together = named === undefined || named.mark !== undefined ? [] : [named.link].map(part("tag"));
    const objects = [...entries, part("revision")(revision), ...together];
    items.push({ name: `revision of ${name}`, mark, objects, parents: parentsOf(manifest) });
  }
  revisions.forEach(({ name, named }, index) => {
    if (named?.mark === undefined) return;
    const objects = [named.link].map(part("tag"));
    items.push({ name: `tag named after ${name}`, mark: named.mark, objects, parents: [tags + index] });
  });
  for (const { name, mark, bytes, links } of blobs) {
    const last = part("bytes", rules.unlistedBytesStay)(bytes);
    items.push({
      name,
      mark,
      objects: inOrder(
        links.map((link) => part("link")(link)),
        last,
      ),
      parents: [],
    });
  }
  for (const { name, content } of manifests) {
    if (content !== undefined)
      items.push({ name, mark: content.mark, objects: [part("bytes")(content.bytes)], parents: [] });
  }
  return items;
}

/** Requests under way, one for each item: a late one of a run that has given up waiting for it. */
export function flightsOf(world: World, items: readonly Item[]): Flight[] {
  return items.map((item) => {
    const program = new Program(world.cells, `late DELETE (${item.name})`);
    const what = program.register("of");
    const permit = item.mark.permit(program, item.mark.look(program));
    const underWay = program.label();
    program.on(underWay, "late request: takes effect, unless its permit is over", item.name, (s) => {
      const object = item.objects[what.get(s) - 1]?.object;
      if (item.mark.permits(s, permit) || (object === undefined && !world.rules.tombstonePermit)) {
        if (object === undefined) item.mark.delete(s);
        else object.delete(s);
      }
      program.forget(s);
      return REST;
    });
    program.disturb(underWay, "is lost", (s) => {
      program.forget(s);
      return REST;
    });
    return { what, permit, program };
  });
}

export class Collector extends Program {
  readonly #world: World;
  readonly #items: readonly Item[];
  readonly #notes: readonly Notes[];
  readonly #flights: readonly Flight[];
  /** The listings that are still to be read, one bit each. */
  readonly #pending: Cell;
  /** For each item, whether others have to wait for it. */
  readonly #hasChildren: readonly boolean[];
  /** Where each item is dealt with. */
  readonly #decide: ((s: State) => Label)[] = [];
  /** For each item, which reads can say something of it: bits of `#pending`. */
  readonly #askedBy: number[] = [];
  /** For each label, where it goes on if what is done there comes to nothing, whatever the others do. */
  readonly #shortcuts: (((s: State) => Label | undefined) | undefined)[] = [];

  constructor(world: World, name: string, items: readonly Item[], flights: readonly Flight[] = []) {
    super(world.cells, name);
    this.#world = world;
    this.#items = items;
    this.#flights = flights;
    this.#pending = this.register("listings to read");
    this.#hasChildren = items.map((_, i) => items.some(({ parents }) => parents.includes(i)));
    this.#notes = items.map((item) => {
      const look = item.mark.look(this);
      return {
        age: this.register(`${item.mark.name} is ripe`),
        look,
        seen: this.register(`${item.name} is stored (2: kept)`),
        listed: this.register(`history or bytes of ${item.name} listed`),
        deleted: this.register(`${item.name} deleted`),
        permit: item.mark.permit(this, look),
      };
    });
    for (let i = items.length - 1; i >= 0; i--) this.#decide[i] = this.#step4(i);
    this.#listing();
    this.finish(true);
  }

  /**
   * A reduction: a run takes at once
   *
   * - a write that is refused: the mark is not what it was, and with a nonce never will be again,
   * - a delete whose permit is over, or ended: neither comes back,
   * - the way past a delete of what was not listed, which is not sent,
   * - the listings that can tell nothing: all that they are about stays in any case,
   * - and the way to its end, where nothing is left that it could write.
   *
   * Nothing of that changes what the others see, and nothing that they do changes it: they could not tell whether it was
   * done now or later. What a fault there, or the end of the process, would have done is what its end does now.
   */
  settle(s: State): void {
    for (;;) {
      const next = this.#shortcuts[this.at(s)]?.(s);
      if (next === undefined) return;
      this.go(s, next);
    }
  }

  /** Will this run write nothing of an item, or of its mark, whatever it still reads? */
  #isDone(s: State, index: number): boolean {
    const item = this.#items[index];
    const notes = this.#notes[index];
    if (item === undefined || notes === undefined) return true;
    const seen = notes.seen.get(s);
    const isRead = (this.#pending.get(s) & (this.#askedBy[index] ?? 0)) === 0;
    const isNone = seen === KEPT || (isRead && seen === NOTHING);
    const state = notes.look.state.get(s);
    const isRipe = notes.age.get(s) === RIPE;
    const isTombstone = state === SWEPT || state === CLEARED;
    // Who deletes such a mark has a permit, and does not ask what it is by now.
    const mayDrop = isTombstone && isRipe && this.#permitsDrop(s, index);
    if (item.mark.isLost(s, notes.look)) return !mayDrop;
    switch (state) {
      case ABSENT:
        return isNone;
      case CONDEMNED:
        return isRead && seen === STORED && !isRipe && item.parents.length === 0;
      case DELETING:
        return !isRipe;
      default:
        return isNone && !mayDrop;
    }
  }

  #permitsDrop(s: State, index: number): boolean {
    const item = this.#items[index];
    const notes = this.#notes[index];
    if (item === undefined || notes === undefined) return false;
    return !this.#world.rules.tombstonePermit || item.mark.permits(s, notes.permit);
  }

  /** Puts items from `start` on that this run is done with as one that stays, and has no mark. */
  #forgetDone(s: State, start: number): void {
    for (let i = start; i < this.#items.length; i++) {
      const notes = this.#notes[i];
      if (notes === undefined || this.#hasChildren[i] === true || !this.#isDone(s, i)) continue;
      drop(s, notes.look);
      notes.age.set(s, 0);
      notes.seen.set(s, KEPT);
      notes.listed.set(s, 0);
      notes.permit.given.stop(s);
    }
  }

  #end(s: State): Label {
    this.forget(s);
    return REST;
  }

  /** Steps 1 and 2. */
  #listing(): void {
    const { rules, times, anyOrder, backend } = this.#world;
    const reads = this.#reads();
    const all = (1 << reads.length) - 1;
    const [reading, late] = [this.label(), this.label()];
    const listMarks = (s: State): void => {
      this.#items.forEach(({ mark }, i) => {
        const notes = this.#notes[i];
        if (notes === undefined) return;
        const state = mark.read(s, notes.look);
        const ripe = state === CONDEMNED ? mark.age(s) >= times.SETTLE : mark.age(s) > times.D;
        const isTombstone = state === SWEPT || state === CLEARED;
        const old = ripe || (state === CONDEMNED && !rules.settle) || (isTombstone && !rules.tombstonesStay);
        notes.age.set(s, state !== ABSENT && old ? RIPE : YOUNG);
        // A tombstone is deleted with a permit of the time at which it was listed.
        if (isTombstone && old) notes.permit.given.start(s);
      });
    };
    const [revoke, early] = [this.label(), this.label()];
    const mark = (s: State): Label => {
      this.#pending.set(s, all);
      if (rules.marksFirst) listMarks(s);
      return backend === "folder" && rules.revokedAfterMarks ? revoke : reading;
    };
    const revokeExpired = (s: State): void => {
      for (const item of this.#items) item.mark.revokeExpired(s);
    };
    if (backend === "folder" && !rules.revokedAfterMarks) {
      this.on(REST, "run: revoke expired permits", "", (s) => {
        revokeExpired(s);
        return early;
      });
      this.on(early, "run: LIST marks", "", mark);
    } else {
      this.on(REST, "run: LIST marks", "", mark);
      this.on(revoke, "run: revoke expired permits", "", (s) => {
        revokeExpired(s);
        return reading;
      });
    }
    const go = (s: State): Label => {
      if (this.#pending.get(s) !== 0) return reading;
      return rules.marksFirst ? this.#next(s, 0) : late;
    };
    this.on(late, "mutant: LIST marks after the rest", "", (s) => {
      listMarks(s);
      return this.#next(s, 0);
    });
    this.#items.forEach(({ mark }, i) => {
      this.#askedBy[i] = reads.reduce((bits, { about }, k) => (about.includes(mark) ? bits | (1 << k) : bits), 0);
    });
    this.#shortcuts[reading] = (s) => {
      if (!rules.marksFirst) return undefined;
      if (this.#items.every((_, i) => this.#isDone(s, i))) return this.#end(s);
      this.#forgetDone(s, 0);
      let pending = 0;
      this.#askedBy.forEach((bits, i) => {
        if (this.#notes[i]?.seen.get(s) !== KEPT) pending |= bits;
      });
      this.#pending.set(s, this.#pending.get(s) & pending);
      return this.#pending.get(s) === 0 ? this.#next(s, 0) : undefined;
    };
    reads.forEach(({ name, of, run }, index) => {
      const read = (s: State): boolean => {
        const left = this.#pending.get(s) & ~(1 << index);
        const isFirst = (left & ((1 << index) - 1)) === 0;
        if (left === this.#pending.get(s) || !(anyOrder || isFirst)) return false;
        this.#pending.set(s, left);
        return true;
      };
      this.on(reading, name, of, (s) => {
        if (!read(s)) return NOT_NOW;
        return run(s) || !rules.faultEndsRun ? go(s) : this.#end(s);
      });
      this.disturb(reading, `${name} (${of}) fails`, (s) => {
        if (!read(s)) return NOT_NOW;
        return rules.faultEndsRun ? this.#end(s) : go(s);
      });
    });
  }

  /** Each listing, and the reading of what it shows; false is a fault. */
  #reads(): Read[] {
    const { blobs, manifests, times, rules, tag, untagged, expiring } = this.#world;
    const seen =
      (mark: Mark | undefined, object: StoredObject, isEnough = true) =>
      (s: State) => {
        if (!object.exists(s)) return true;
        const cell = this.#notesOf(mark)?.seen;
        if (object.age(s) <= times.HORIZON) cell?.set(s, KEPT);
        else if (isEnough && cell?.get(s) === NOTHING) cell.set(s, STORED);
        return true;
      };
    const keep = (s: State, mark: Mark | undefined): void => this.#notesOf(mark)?.seen.set(s, KEPT);
    const reads: Read[] = [];
    for (const { mark, bytes, links } of blobs) {
      const listed = (s: State): boolean => {
        const notes = this.#notesOf(mark);
        if (rules.unlistedBytesStay && bytes.exists(s) && notes?.seen.get(s) !== KEPT) notes?.listed.set(s, 1);
        return seen(mark, bytes)(s);
      };
      reads.push({ name: "run: LIST blobs", of: bytes.name, about: [mark], run: listed });
      for (const link of links) {
        const run = seen(mark, link, rules.linksAlone);
        reads.push({ name: "run: LIST links", of: link.name, about: [mark], run });
      }
    }
    for (const manifest of manifests) {
      const { content, revision, mark } = manifest;
      if (content !== undefined) {
        const { mark: own, bytes } = content;
        reads.push({ name: "run: LIST blobs", of: bytes.name, about: [own], run: seen(own, bytes) });
      }
      reads.push({
        name: "run: LIST revisions",
        of: manifest.name,
        about: [mark, content?.mark, ...manifest.blobs.map((blob) => blob.mark)],
        run: (s: State) => {
          if (!revision.exists(s)) return true;
          seen(mark, revision)(s);
          keep(s, content?.mark);
          if (content !== undefined && !content.bytes.exists(s)) return false;
          for (const blob of manifest.blobs) keep(s, blob.mark);
          return true;
        },
      });
    }
    if (untagged || expiring !== undefined) {
      reads.push({
        name: "run: LIST tags",
        of: "",
        about: [expiring?.mark, ...manifests.flatMap(({ mark, named }) => [mark, named?.mark])],
        run: (s: State) => {
          for (const { named } of manifests) if (named !== undefined) seen(named.mark, named.link)(s);
          if (expiring !== undefined) seen(expiring.mark, expiring.link)(s);
          const notes = this.#notesOf(manifests[tag.get(s) - 1]?.mark);
          if (notes?.seen.get(s) === STORED) notes.seen.set(s, KEPT); // a tag that leads nowhere keeps nothing
          return true;
        },
      });
    }
    return reads;
  }

  #notesOf(mark: Mark | undefined): Notes | undefined {
    return this.#notes[this.#items.findIndex((item) => item.mark === mark)];
  }

  #next(s: State, index: number): Label {
    return this.#decide[index]?.(s) ?? this.#end(s);
  }

  /** Each parent of a candidate is one too (`deleted`: was deleted by this run). */
  #parentsAre(s: State, { parents }: Item, deleted: boolean): boolean {
    if (!this.#world.rules.parentRule) return true;
    return parents.every((parent) => {
      const notes = this.#notes[parent];
      const item = this.#items[parent];
      if (notes === undefined || item === undefined || notes.seen.get(s) === NOTHING) return true;
      if (notes.deleted.get(s) === 1) return true;
      return !deleted && notes.seen.get(s) === STORED && this.#parentsAre(s, item, false);
    });
  }

  /** Step 4 (and 5) for one item. Gives what finds the first operation that it needs. */
  #step4(index: number): (s: State) => Label {
    const { backend, rules, times, expiring } = this.#world;
    const item = this.#items[index];
    const notes = this.#notes[index];
    if (item === undefined || notes === undefined) throw new Error(`no item ${index}`);
    const { mark, objects } = item;
    const { look, permit } = notes;
    const [condemn, revoke, open, put, swept] = [this.label(), this.label(), this.label(), this.label(), this.label()];
    const [revokeFirst, clear, remove, looking] = [this.label(), this.label(), this.label(), this.label()];
    const tag = mark === expiring?.mark ? expiring : undefined;
    const begin = tag === undefined || rules.lookUnderPermit ? open : looking;
    const hasChildren = this.#hasChildren[index] === true;

    const done = (s: State): Label => {
      drop(s, look);
      notes.age.set(s, 0);
      if (!hasChildren) notes.seen.set(s, NOTHING);
      notes.listed.set(s, 0);
      permit.given.stop(s);
      return this.#next(s, index + 1);
    };
    for (const label of [condemn, revoke, open, looking, put, swept, revokeFirst, clear, remove]) {
      this.#shortcuts[label] = (s) => {
        this.#forgetDone(s, index + 1);
        const isRefused = label === remove ? !this.#permitsDrop(s, index) : mark.isLost(s, look);
        return isRefused ? done(s) : undefined;
      };
    }
    const give = (s: State): void => {
      if (rules.permitDatedBefore) permit.given.start(s);
    };

    this.on(condemn, "run: PUT condemned", mark.name, (s) => {
      mark.swap(s, look, CONDEMNED);
      return done(s);
    });
    this.on(revoke, "run: revoke permit", mark.name, (s) => {
      mark.revoke(s, look);
      return begin;
    });
    this.on(open, "run: open permit", mark.name, (s) => {
      give(s);
      return tag !== undefined && rules.lookUnderPermit ? looking : put;
    });
    if (tag !== undefined) {
      this.on(looking, "sweep: LIST history", "and the age of the link", (s) => {
        if (rules.tagLookedAt && tag.link.exists(s) && tag.link.age(s) <= times.HORIZON) return done(s);
        notes.listed.set(s, tag.history.exists(s) ? 1 : 0);
        return rules.lookUnderPermit ? put : open;
      });
    }
    const answeredLate = this.label();
    this.on(put, "run: PUT deleting", mark.name, (s) => {
      if (!mark.swap(s, look, DELETING)) return done(s);
      return rules.permitDatedBefore ? (sweeps[0] ?? swept) : answeredLate;
    });
    this.on(answeredLate, "mutant: the answer comes late, with its date", mark.name, (s) => {
      permit.given.start(s);
      return sweeps[0] ?? swept;
    });
    const sweeps = objects.map(() => this.label());
    objects.forEach(({ kind, object, ifListed }, k) => {
      const after = sweeps[k + 1] ?? swept;
      const sweep = sweeps[k] ?? REST;
      const isLeft = (s: State): boolean => ifListed && notes.listed.get(s) === 0;
      this.on(sweep, `sweep: DELETE ${kind}`, object.name, (s) => {
        if (isLeft(s)) return after;
        if (!mark.permits(s, permit)) return done(s);
        object.delete(s);
        return after;
      });
      this.#giveUp(sweep, index, k + 1, (s) => (isLeft(s) ? NOT_NOW : done(s)));
      this.#shortcuts[sweep] = (s) => {
        this.#forgetDone(s, index + 1);
        if (isLeft(s)) return after;
        return mark.permits(s, permit) ? undefined : done(s);
      };
    });
    this.on(swept, "sweep: PUT swept", mark.name, (s) => {
      if (mark.swap(s, look, SWEPT) && hasChildren) notes.deleted.set(s, 1);
      return done(s);
    });
    this.on(revokeFirst, "run: revoke permit", mark.name, (s) => {
      mark.revoke(s, look);
      return clear;
    });
    this.on(clear, "run: PUT cleared", mark.name, (s) => {
      mark.swap(s, look, CLEARED);
      return done(s);
    });
    this.on(remove, "run: DELETE mark", mark.name, (s) => {
      if (!rules.tombstonePermit || mark.permits(s, permit)) mark.delete(s);
      return done(s);
    });
    this.#giveUp(remove, index, objects.length + 1, done);

    return (s) => {
      const isRipe = notes.age.get(s) === RIPE;
      const isCandidate = notes.seen.get(s) === STORED && this.#parentsAre(s, item, false);
      const mayGo = isCandidate && (!rules.parentsDeleted || this.#parentsAre(s, item, true));
      switch (look.state.get(s)) {
        case CONDEMNED:
          if (!isCandidate) return clear;
          return isRipe && mayGo ? begin : done(s);
        case DELETING:
          if (!isRipe) return done(s);
          if (!isCandidate) return backend === "folder" ? revokeFirst : clear;
          if (!mayGo) return done(s);
          return backend === "folder" ? revoke : begin;
        case ABSENT:
          return isCandidate ? condemn : done(s);
        default:
          if (isCandidate) return condemn;
          return isRipe ? remove : done(s);
      }
    };
  }

  /** The answer is lost, and the run goes on with other things; the request may still be under way. */
  #giveUp(label: Label, index: number, what: number, done: (s: State) => Label | undefined): void {
    const flight = this.#flights[index];
    const notes = this.#notes[index];
    if (flight === undefined || notes === undefined) return;
    this.disturb(label, "gives up waiting for it", (s) => {
      if (flight.program.at(s) !== REST) return NOT_NOW;
      const [given, isCurrent] = [notes.permit.given.get(s), notes.look.isCurrent.get(s)];
      const next = done(s);
      if (next === NOT_NOW) return NOT_NOW;
      flight.what.set(s, what);
      flight.permit.given.set(s, given);
      flight.permit.owner.isCurrent.set(s, isCurrent);
      flight.program.go(s, 1);
      return next;
    });
  }
}
