/** Clients that push, and the servers that answer them. Any of these may die at each step; the client tries again or not. */
import type { Cell, Clock, State } from "./cells.ts";
import { REST, type Label } from "./program.ts";
import { clear, clearing, follow, promise, Promising, type Way } from "./promising.ts";
import { DELETING } from "./store.ts";
import { isComplete, violate, type Blob, type Manifest, type World } from "./world.ts";

export class Pusher extends Promising {
  /** Since the last answer by which the client was promised what its manifest names. */
  readonly promised: Clock;
  /** Since the manifest was sent, where that was within GRACE of the promise. */
  readonly inGrace: Clock;
  /** A user has deleted the link of a blob while its manifest was being pushed: what is answered then is theirs to mend. */
  readonly overruled: Cell;
  /** Since the mark of the tag was read. */
  readonly sinceTag: Clock;

  constructor(world: World, name: string) {
    super(world, name);
    this.sinceTag = this.timer("since the tag's mark was read", world.times.T + 1);
    // These are the client's: the death of a server does not change them.
    this.promised = world.cells.clock(`${name} was promised`, world.times.GRACE + 1, true);
    this.inGrace = world.cells.clock(`${name} pushes within GRACE`, world.times.T + 1, true);
    this.overruled = world.cells.cell(`${name} is overruled`);
    this.own.push(this.promised, this.inGrace, this.overruled);
    world.onBlobDelete.push((s) => this.overruled.set(s, this.at(s) === REST ? 0 : 1));
    world.onDelete.push((s) => {
      this.promised.stop(s);
      this.inGrace.stop(s);
    });
  }

  /** Is it longer than T that the mark of the tag was read? */
  isTagLate(s: State): boolean {
    return this.sinceTag.isOn(s) && this.sinceTag.age(s) > this.world.times.T;
  }

  /** A request has ended well: nothing is left to be done again. */
  ends(s: State): void {
    this.since.stop(s);
  }

  /** The client was told that what it needs is here. */
  isPromised(s: State): void {
    this.ends(s);
    if (this.overruled.get(s) === 0) this.promised.start(s);
    this.overruled.set(s, 0);
  }

  override gone(s: State): void {
    super.gone(s);
    this.overruled.set(s, 0);
    this.promised.stop(s);
    this.inGrace.stop(s);
  }

  /** The client was told that something is missing: a lie where it was promised and has come in time. */
  isRefused(s: State, what: string): void {
    if (this.inGrace.isOn(s) && this.inGrace.age(s) <= this.world.times.T) {
      violate(`2: ${this.name} was promised ${what} within GRACE, and is told that it is missing`);
    }
    this.promised.stop(s);
    this.inGrace.stop(s);
    this.overruled.set(s, 0);
    this.ends(s);
  }
}

/** HEAD by someone who may push, or a mount from a repository into a `target`. */
export function head(p: Pusher, blob: Blob, repository: number, yes: Way, no: Way, target?: number): Label {
  const begin = p.request();
  const again: Way = (s) => {
    p.since.stop(s);
    return begin;
  };
  const promising = promise(
    p,
    blob,
    repository,
    {
      yes: (s) => {
        p.isPromised(s);
        return follow(s, yes);
      },
      no: (s) => {
        p.ends(s);
        return follow(s, no);
      },
      again,
    },
    target,
  );
  p.alias(begin, promising);
  return begin;
}

/**
 * The end of an upload: its bytes become a blob. The session stays until it is answered, so a client may try again.
 * `undo`: they come out of the trash, with their old age, as an older version of a bucket's object has it.
 */
export function commit(p: Pusher, blob: Blob, repository: number, done: Way, undo = false): Label {
  const { rules } = p.world;
  const link = blob.links[repository];
  if (link === undefined) throw new Error(`no such repository: ${repository}`);
  const begin = p.request();
  const [putBytes, putLink, headBytes, late] = [p.label(), p.label(), p.label(), p.label()];
  const restart: Way = (s) => {
    p.since.stop(s);
    return begin;
  };
  const first = clear(p, blob.mark, { ok: rules.commitReadsMarkFirst ? putBytes : putLink, busy: restart });
  const second = clear(p, blob.mark, { ok: headBytes, busy: restart });
  if (!rules.commitReadsMark) p.alias(begin, putBytes);
  else if (rules.commitReadsMarkFirst) p.alias(begin, first);
  else p.alias(begin, putBytes);
  // A retry whose first try has published the bytes already finds them, and no draft.
  if (rules.commitReadsMark) p.alias(begin, second);

  const isDone = (s: State): Label => {
    p.isPromised(s);
    return follow(s, done);
  };
  const again = (s: State): Label => {
    p.since.stop(s);
    return rules.commitReadsMark ? late : begin;
  };
  p.alias(late, second);
  p.on(putBytes, undo ? "undo: restore bytes" : "commit: PUT bytes", blob.name, (s) => {
    p.answered(s);
    if (undo) blob.bytes.restore(s);
    else blob.bytes.put(s);
    return rules.commitReadsMark && !rules.commitReadsMarkFirst ? first : putLink;
  });
  p.on(headBytes, "commit: HEAD bytes", blob.name, (s) => {
    if (rules.commitLooksAgain && !blob.bytes.exists(s)) return restart(s);
    return putLink;
  });
  p.on(putLink, "commit: PUT link", link.name, (s) => {
    const tooLate = !rules.checkAfterWrite && p.tookTooLong(s);
    link.put(s);
    return (rules.checkAfterWrite && p.tookTooLong(s)) || tooLate ? again(s) : isDone(s);
  });
  return begin;
}

/** put manifest(r, m, tags). `tag`: under the one tag of the scenario. */
export function putManifest(p: Pusher, manifest: Manifest, tag: boolean, ways: { done: Way; refused: Way }): Label {
  const { world } = p;
  const { rules, untagged } = world;
  const { name, repository, blobs, children, subject, revision, content, mark, entry, named } = manifest;
  const begin = p.request();
  // What is done again before the tag was written does not read its mark again: that has a time of its own.
  const body = tag && world.expiring !== undefined ? p.label() : begin;
  const restart: Way = (s) => {
    p.since.stop(s);
    return body;
  };
  const restartAll = (s: State): Label => {
    p.since.stop(s);
    return begin;
  };
  const refuse =
    (what: string): Way =>
    (s) => {
      p.isRefused(s, what);
      return follow(s, ways.refused);
    };
  const answer = (s: State): Label => {
    p.ends(s);
    p.promised.stop(s);
    p.inGrace.stop(s);
    const overruled = p.overruled.get(s) === 1;
    p.overruled.set(s, 0);
    if (overruled) return follow(s, ways.done);
    manifest.acknowledged.set(s, 1);
    named?.relied.set(s, named.link.exists(s) ? 1 : 0);
    if (tag) world.expiring?.promised.start(s);
    for (const referrer of world.referrersOf(manifest)) {
      if (!isComplete(s, referrer) || referrer.entry?.exists(s) !== true) referrer.acknowledged.set(s, 0);
    }
    if (!isComplete(s, manifest)) violate(`1: ${name} is answered with 201 and not complete`);
    return follow(s, ways.done);
  };

  // Built from the last step to the first: each knows where it goes on.
  const announceTag: Way = (s) => (tagging === undefined ? putTag : tagging.begin(s));
  const announce = (s: State): Label => {
    if (rules.checkTime && rules.checkAfterWrite && p.tookTooLong(s)) return follow(s, restart);
    if (entry !== undefined) return putEntry;
    return tag ? follow(s, announceTag) : answer(s);
  };
  const putEntry = p.label();
  const lastly = (s: State): Label =>
    untagged && rules.checkAfterTags && p.tookTooLong(s) ? restartAll(s) : answer(s);
  const putTag = p.label();
  const tagging = tag ? tagUnderMark(p, putTag, lastly) : undefined;
  p.on(putTag, "put manifest: PUT tag", name, (s) => {
    const before = world.manifests[world.tag.get(s) - 1];
    if (untagged && before !== manifest) before?.acknowledged.set(s, 0); // from here on it may be collected
    world.setTag(s, manifest, !p.isTagLate(s));
    return tagging === undefined ? lastly(s) : tagging.history;
  });
  p.on(putEntry, "put manifest: PUT referrer entry", name, (s) => {
    entry?.put(s);
    return tag ? follow(s, announceTag) : lastly(s);
  });

  let next = p.label();
  p.on(next, "put manifest: PUT revision", name, (s) => {
    p.answered(s);
    revision.put(s);
    return announce(s);
  });
  if (mark !== undefined && rules.manifestReadsRevisionMark) next = clear(p, mark, { ok: next, busy: restart });
  if (content !== undefined) {
    const after = next;
    next = p.label();
    p.on(next, "put manifest: PUT bytes", name, (s) => {
      p.answered(s);
      if (p.sawBytes.get(s) === 0) content.bytes.put(s);
      p.sawBytes.set(s, 0);
      return after;
    });
    if (rules.manifestReadsOwnMark) next = clear(p, content.mark, { ok: next, busy: restart });
  }
  if (untagged && subject?.mark !== undefined && rules.subjectCleared) {
    next = clear(p, subject.mark, { ok: next, busy: next, swept: next });
  }
  if (untagged && rules.referrersCleared) {
    for (const referrer of world.referrersOf(manifest)) {
      if (referrer.mark !== undefined) next = clear(p, referrer.mark, { ok: next, busy: restart, swept: next });
    }
  }
  for (const child of children) {
    const after = next;
    const get = p.label();
    p.on(get, "put manifest: GET child", child.name, (s) =>
      child.revision.exists(s) && (child.content?.bytes.exists(s) ?? true) ? after : follow(s, refuse(child.name)),
    );
    const refused = refuse(child.name);
    next =
      child.mark !== undefined && rules.childrenCleared
        ? clear(p, child.mark, { ok: get, busy: refused, swept: refused })
        : get;
  }
  for (const blob of blobs) {
    next = promise(p, blob, repository, { yes: next, no: refuse(blob.name), again: restart });
  }
  if (content !== undefined && !rules.manifestBytesAlways) {
    const after = next;
    next = p.label();
    p.on(next, "mutant: HEAD bytes", name, (s) => {
      p.sawBytes.set(s, content.bytes.exists(s) ? 1 : 0);
      return after;
    });
  }
  p.alias(body, next);
  if (tagging !== undefined) p.alias(begin, tagging.ahead(body));
  return begin;
}

/** Where retention takes tags: the mark of the tag is read ahead, and cleared before the tag is written with its history. */
function tagUnderMark(
  p: Pusher,
  putTag: Label,
  done: Way,
): { ahead: (next: Label) => Label; begin: (s: State) => Label; history: Label } | undefined {
  const { rules, expiring } = p.world;
  if (expiring === undefined) return undefined;
  const { mark } = expiring;
  const history = p.label();
  const again = p.label();
  const begins = (s: State): void => p.sinceTag.start(s);
  const { get, decide } = clearing(p, mark, { ok: putTag, busy: again, read: begins });
  p.alias(again, get);
  p.on(history, "put manifest: PUT history", "", (s) => {
    const isLate = p.isTagLate(s);
    p.world.setHistory(s, !isLate);
    p.sinceTag.stop(s);
    return isLate && rules.tagCheckTime ? again : follow(s, done);
  });
  const ahead = (next: Label): Label => {
    if (!rules.tagReadsMark) return next;
    const reads = p.label();
    p.on(reads, "clear: GET mark", mark.name, (s) => {
      begins(s);
      mark.read(s, p.look(mark));
      return next;
    });
    return reads;
  };
  const begin = (s: State): Label => {
    if (!rules.tagReadsMark) return putTag;
    return p.look(mark).state.get(s) === DELETING ? again : decide(s);
  };
  return { ahead, begin, history };
}

/** The client sends a manifest: now, or later. `within` GRACE of the promise it must be taken. */
export function send(p: Pusher, manifest: Label): Label {
  const waits = p.label();
  p.retryAt[waits] = undefined;
  p.on(waits, "client: sends its manifest", "", (s) => {
    if (p.promised.isOn(s) && p.promised.age(s) <= p.world.times.GRACE) p.inGrace.start(s);
    else p.inGrace.stop(s);
    p.overruled.set(s, 0);
    p.promised.stop(s);
    return manifest;
  });
  return waits;
}
