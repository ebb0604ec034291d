/** Small cases, each with every interleaving of all that may happen in it. */
import type { State } from "./cells.ts";
import type { Model } from "./checker.ts";
import { Collector, flightsOf, itemsOf } from "./collector.ts";
import { acknowledgedAreComplete, garbageGoes } from "./invariants.ts";
import { REST, type Program } from "./program.ts";
import { commit, head, Pusher, putManifest, send } from "./pusher.ts";
import { outside, reductionOf } from "./reduction.ts";
import { deletesBlob, deletesManifest, deletesTag, otherRegistrySets } from "./user.ts";
import { World, type Settings } from "./world.ts";

/** What a scenario makes of its world: who acts in it besides the collectors, and what there is at first. */
interface Cast {
  readonly programs: readonly Program[];
  readonly initial?: (s: State) => void;
  /** Processes that are the same but for their names: of their orders one is gone through. */
  readonly alike?: readonly (readonly Program[])[];
}

export interface Scenario extends Settings {
  readonly name: string;
  readonly collectors?: number;
  /** Requests of a run may be under way after it gave up waiting for them. */
  readonly late?: boolean;
  /** Too large for every day: `npm test -- --all`. */
  readonly deep?: boolean;
  readonly cast: (world: World) => Cast;
}

/** How a scenario is gone through. */
export interface Options {
  /** Changes that make a mutant of it. */
  readonly changes?: Pick<Settings, "times" | "rules">;
  /** Without the reductions: many times as many states, of which the same can be said. */
  readonly isWhole?: boolean;
}

/** The model of a scenario. */
export function modelOf(scenario: Scenario, { changes = {}, isWhole = false }: Options = {}): Model {
  const { times, rules } = scenario;
  const world = new World({
    ...scenario,
    times: { ...times, ...changes.times },
    rules: { ...rules, ...changes.rules },
  });
  const { programs: others, initial, alike = [] } = scenario.cast(world);
  const items = itemsOf(world);
  const flights = scenario.late === true ? flightsOf(world, items) : [];
  const collectors = Array.from(
    { length: scenario.collectors ?? 2 },
    (_, i) => new Collector(world, `run ${"ABC"[i] ?? ""}`, items, flights),
  );
  const programs: Program[] = [...others, ...flights.map(({ program }) => program), ...collectors];
  const [first] = collectors;
  const complete = acknowledgedAreComplete(world);
  const garbage = first === undefined ? undefined : garbageGoes(world, first, programs);
  const state = world.cells.blank();
  initial?.(state);
  return {
    cells: world.cells,
    programs,
    initial: [state],
    reduce: isWhole ? undefined : reductionOf(world, collectors, [collectors, ...alike]),
    outside: outside(world, [...collectors, ...flights.map(({ program }) => program)], alike),
    check: (s) => {
      complete(s);
      if (others.every((program) => program.at(s) === REST)) garbage?.(s);
    },
  };
}

/** A client that asks with HEAD whether it must upload, does where it must, and pushes its manifest. */
function pushesAfterHead(world: World): Cast {
  const blob = world.blob("b");
  const manifest = world.manifest("m", { blobs: [blob] });
  const p = new Pusher(world, "pusher");
  const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
  p.alias(REST, head(p, blob, 0, waits, REST));
  return {
    programs: [p.finish(true), deletesManifest(world, manifest)],
    initial: (s) => {
      blob.bytes.restore(s);
      blob.links[0]?.restore(s);
    },
  };
}

/** The same, and it uploads where it must, while users delete the link of the blob and the manifest. */
function deletesBlobs(world: World): Cast {
  const blob = world.blob("b");
  const manifest = world.manifest("m", { blobs: [blob] });
  const p = new Pusher(world, "pusher");
  const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
  p.alias(REST, head(p, blob, 0, waits, commit(p, blob, 0, waits)));
  return { programs: [p.finish(true), deletesManifest(world, manifest), deletesBlob(world, blob, 0)] };
}

/** Two clients at once, each with the same blob and the same manifest, before which it asks with HEAD, uploads, or neither. */
const pushBlobTwice =
  (first: "HEAD" | "upload" | "neither", deletes: boolean) =>
  (world: World): Cast => {
    const blob = world.blob("b");
    const manifest = world.manifest("m", { blobs: [blob] });
    const pushers = ["pusher 1", "pusher 2"].map((name) => {
      const p = new Pusher(world, name);
      const put = putManifest(p, manifest, false, { done: REST, refused: REST });
      if (first === "neither") p.alias(REST, put);
      else if (first === "HEAD") p.alias(REST, head(p, blob, 0, send(p, put), REST));
      else p.alias(REST, commit(p, blob, 0, send(p, put)));
      return p.finish(true);
    });
    return {
      programs: deletes ? [...pushers, deletesManifest(world, manifest)] : pushers,
      alike: [pushers],
      initial: (s) => {
        blob.bytes.restore(s);
        blob.links[0]?.restore(s);
      },
    };
  };

/** What a run has deleted is brought back: the blob as by a commit, then the manifest as by a push. */
function undoes(world: World): Cast {
  const blob = world.blob("b");
  const manifest = world.manifest("m", { blobs: [blob] });
  const p = new Pusher(world, "undo");
  const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
  p.alias(REST, commit(p, blob, 0, waits, true));
  return {
    programs: [p.finish(true), deletesManifest(world, manifest)],
    initial: (s) => {
      blob.bytes.restore(s);
      blob.links[0]?.restore(s);
    },
  };
}

/** `link`: of a link without bytes, as a push leaves it that was too late for a run, and died. */
const pushesAfterUpload =
  (link?: "link") =>
  (world: World): Cast => {
    const blob = world.blob("b");
    const manifest = world.manifest("m", { blobs: [blob] });
    const p = new Pusher(world, "pusher");
    const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
    p.alias(REST, commit(p, blob, 0, waits));
    return {
      programs: [p.finish(true), deletesManifest(world, manifest)],
      initial: (s) => {
        if (link !== undefined) blob.links[0]?.restore(s);
      },
    };
  };

/** Two repositories: one has the blob, the other mounts it. */
function mounts(world: World): Cast {
  const blob = world.blob("b", 2);
  const manifest = world.manifest("m", { blobs: [blob], repository: 1 });
  const p = new Pusher(world, "pusher");
  const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
  p.alias(REST, head(p, blob, 0, waits, REST, 1));
  return {
    programs: [p.finish(true), deletesManifest(world, manifest)],
    initial: (s) => {
      blob.bytes.restore(s);
      blob.links[0]?.restore(s);
    },
  };
}

/** The same, but nobody has the bytes, and either repository a link: what cannot be mounted is uploaded. */
function mountsWithoutBytes(world: World): Cast {
  const blob = world.blob("b", 2);
  const manifest = world.manifest("m", { blobs: [blob], repository: 1 });
  const p = new Pusher(world, "pusher");
  const waits = send(p, putManifest(p, manifest, false, { done: REST, refused: REST }));
  p.alias(REST, head(p, blob, 0, waits, commit(p, blob, 1, waits), 1));
  return {
    programs: [p.finish(true), deletesManifest(world, manifest)],
    initial: (s) => {
      for (const link of blob.links) link.restore(s);
    },
  };
}

/** A manifest that is pushed again after it was deleted: its bytes may still be there, or about to go. */
function pushesManifestAgain(world: World): Cast {
  const manifest = world.manifest("m", { content: true });
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, manifest, false, { done: REST, refused: REST }));
  return {
    programs: [p.finish(true), deletesManifest(world, manifest)],
    initial: (s) => manifest.content?.bytes.restore(s),
  };
}

/** Two clients at once that push the same manifest, beside one that deletes it. */
function pushManifestTwice(world: World): Cast {
  const manifest = world.manifest("m", { content: true });
  const pushers = ["pusher 1", "pusher 2"].map((name) => {
    const p = new Pusher(world, name);
    p.alias(REST, putManifest(p, manifest, false, { done: REST, refused: REST }));
    return p.finish(true);
  });
  return {
    programs: [...pushers, deletesManifest(world, manifest)],
    alike: [pushers],
    initial: (s) => manifest.content?.bytes.restore(s),
  };
}

/** A tag that moves to and fro between two manifests, where untagged ones are collected. */
function movesTag(world: World): Cast {
  const [m, n] = [world.manifest("m"), world.manifest("n")];
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, m, true, { done: REST, refused: REST }));
  p.alias(REST, putManifest(p, n, true, { done: REST, refused: REST }));
  return { programs: [p.finish(true)] };
}

/** An untagged manifest is tagged again. */
function tagsAgain(world: World): Cast {
  const m = world.manifest("m");
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, m, true, { done: REST, refused: REST }));
  return { programs: [p.finish(true), deletesTag(world)] };
}

/** An old manifest without a tag, and the tag of its signature: it is pushed again. */
function pushesSigned(world: World): Cast {
  const m = world.manifest("m", { named: true });
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, m, true, { done: REST, refused: REST }));
  return {
    programs: [p.finish(true), deletesTag(world)],
    initial: (s) => {
      for (const object of [m.revision, m.named?.link]) object?.restore(s);
    },
  };
}

/** A tag that is old, with its manifest: it is pushed again, by ours or by a registry that knows no marks. */
const pushesExpiring =
  (who: "ours" | "other" | "both" | "two") =>
  (world: World): Cast => {
    const m = world.manifest("m");
    const pushers = (who === "two" ? ["pusher 1", "pusher 2"] : who === "other" ? [] : ["pusher"]).map((name) => {
      const p = new Pusher(world, name);
      p.alias(REST, putManifest(p, m, true, { done: REST, refused: REST }));
      return p.finish(true);
    });
    const others = who === "other" || who === "both" ? [otherRegistrySets(world, m)] : [];
    return {
      programs: [...pushers, ...others],
      alike: [pushers],
      initial: (s) => {
        world.setTag(s, m);
        world.setHistory(s);
        for (const object of [m.revision, world.expiring?.link, world.expiring?.history]) object?.restore(s);
      },
    };
  };

/** An index under a tag, and its child that was there before. */
const pushesIndex = (world: World): Cast => indexCast(world, false);

/** The same, and the child may be pushed by its digest first. */
const pushesChildAndIndex = (world: World): Cast => indexCast(world, true);

function indexCast(world: World, pushesChild: boolean): Cast {
  const index = world.manifest("i", { children: [] });
  const child = world.manifest("c");
  index.children.push(child);
  const p = new Pusher(world, "pusher");
  const waits = send(p, putManifest(p, index, true, { done: REST, refused: REST }));
  const pushed = (s: State): number => {
    p.isPromised(s);
    return waits;
  };
  p.alias(REST, waits);
  if (pushesChild) p.alias(REST, putManifest(p, child, false, { done: pushed, refused: REST }));
  return {
    programs: [p.finish(true), deletesTag(world)],
    initial: (s) => {
      index.revision.restore(s);
      child.revision.restore(s);
    },
  };
}

/** A manifest that has a signature, both untagged; it is pushed again under a tag. */
function pushesSubject(world: World): Cast {
  const subject = world.manifest("m");
  const referrer = world.manifest("s", { subject });
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, subject, true, { done: REST, refused: REST }));
  return {
    programs: [p.finish(true), deletesTag(world)],
    initial: (s) => {
      for (const { revision, entry } of [subject, referrer]) {
        revision.restore(s);
        entry?.restore(s);
      }
      referrer.acknowledged.set(s, 1);
    },
  };
}

/** The same, and the signature is pushed. */
function pushesReferrer(world: World): Cast {
  const subject = world.manifest("m");
  const referrer = world.manifest("s", { subject });
  const p = new Pusher(world, "pusher");
  p.alias(REST, putManifest(p, subject, true, { done: REST, refused: REST }));
  p.alias(REST, putManifest(p, referrer, false, { done: REST, refused: REST }));
  return { programs: [p.finish(true), deletesTag(world)], initial: (s) => subject.revision.restore(s) };
}

export const SCENARIOS: readonly Scenario[] = [
  { name: "HEAD, then manifest", collectors: 1, cast: pushesAfterHead },
  { name: "HEAD, then manifest, in a folder", collectors: 1, backend: "folder", cast: pushesAfterHead },
  { name: "HEAD, then manifest, beside two runs", collectors: 2, cast: pushesAfterHead },
  { name: "upload, then manifest", collectors: 1, late: true, cast: pushesAfterUpload() },
  {
    name: "upload, then manifest, in a folder",
    collectors: 1,
    late: true,
    backend: "folder",
    cast: pushesAfterUpload(),
  },
  { name: "upload, then manifest, two runs", collectors: 2, cast: pushesAfterUpload() },
  { name: "mount, then manifest", collectors: 1, anyOrder: true, cast: mounts },
  { name: "mount, then manifest, two runs", collectors: 2, cast: mounts },
  {
    name: "upload to a link without bytes",
    collectors: 1,
    late: true,
    anyOrder: true,
    cast: pushesAfterUpload("link"),
  },
  {
    name: "upload to a link without bytes, in a folder",
    collectors: 2,
    deep: true,
    backend: "folder",
    cast: pushesAfterUpload("link"),
  },
  { name: "mount from a link without bytes", collectors: 1, anyOrder: true, cast: mountsWithoutBytes },
  { name: "mount from a link without bytes, two runs", collectors: 2, deep: true, cast: mountsWithoutBytes },
  { name: "HEAD or upload, beside DELETE of the blob", collectors: 1, cast: deletesBlobs },
  { name: "undo", collectors: 1, cast: undoes },
  { name: "manifest again", collectors: 2, cast: pushesManifestAgain },
  { name: "manifest again, in a folder", collectors: 2, backend: "folder", cast: pushesManifestAgain },
  { name: "manifest again, three runs", collectors: 3, cast: pushesManifestAgain },
  {
    name: "manifest again, three runs, in a folder",
    collectors: 3,
    deep: true,
    backend: "folder",
    cast: pushesManifestAgain,
  },
  { name: "two pushers of a manifest", collectors: 1, cast: pushManifestTwice },
  { name: "two pushers of a manifest, two runs", collectors: 2, deep: true, cast: pushManifestTwice },
  { name: "two pushers of a blob", collectors: 1, cast: pushBlobTwice("neither", true) },
  { name: "two pushers of a blob, HEAD first", collectors: 1, deep: true, cast: pushBlobTwice("HEAD", false) },
  {
    name: "two pushers of a blob, HEAD first, beside DELETE",
    collectors: 1,
    deep: true,
    cast: pushBlobTwice("HEAD", true),
  },
  { name: "two pushers of a blob, upload first", collectors: 1, deep: true, cast: pushBlobTwice("upload", false) },
  {
    name: "two pushers of a blob, upload first, beside DELETE",
    collectors: 1,
    deep: true,
    cast: pushBlobTwice("upload", true),
  },
  { name: "tag again, three runs", untagged: true, collectors: 3, cast: tagsAgain },
  { name: "tag again", untagged: true, collectors: 2, cast: tagsAgain },
  { name: "a manifest with a signature under a tag", untagged: true, collectors: 2, cast: pushesSigned },
  {
    name: "a manifest with a signature under a tag, in a folder, late requests",
    untagged: true,
    backend: "folder",
    late: true,
    collectors: 1,
    cast: pushesSigned,
  },
  { name: "a tag that retention takes", tagsExpire: true, collectors: 2, cast: pushesExpiring("ours") },
  {
    name: "a tag that retention takes, in a folder",
    tagsExpire: true,
    backend: "folder",
    collectors: 2,
    cast: pushesExpiring("ours"),
  },
  {
    name: "a tag that retention takes, late requests",
    tagsExpire: true,
    late: true,
    collectors: 1,
    cast: pushesExpiring("ours"),
  },
  { name: "a tag that retention takes, two pushers", tagsExpire: true, collectors: 1, cast: pushesExpiring("two") },
  {
    name: "a tag that retention takes, other registry",
    tagsExpire: true,
    collectors: 2,
    cast: pushesExpiring("other"),
  },
  { name: "a tag that retention takes, beside both", tagsExpire: true, collectors: 1, cast: pushesExpiring("both") },
  {
    name: "a tag that retention takes, and its manifest",
    tagsExpire: true,
    untagged: true,
    collectors: 1,
    cast: pushesExpiring("ours"),
  },
  { name: "index with a child", untagged: true, collectors: 1, cast: pushesIndex },
  { name: "child, then index", untagged: true, collectors: 1, deep: true, cast: pushesChildAndIndex },
  { name: "subject with a signature", untagged: true, collectors: 1, cast: pushesSubject },
  { name: "signature", untagged: true, collectors: 1, deep: true, cast: pushesReferrer },
  { name: "tag moves", untagged: true, collectors: 1, deep: true, cast: movesTag },
];
