/** What always holds, as docs/garbage-collection.md numbers it; 2 is checked where a client is refused (pusher.ts). */
import type { State } from "./cells.ts";
import type { Collector } from "./collector.ts";
import { REST, type Label, type Program } from "./program.ts";
import { ABSENT } from "./store.ts";
import { isComplete, violate, type Manifest, type World } from "./world.ts";

/** Does somebody rely on this manifest? Where untagged ones are collected, only on what a tag leads to. */
function isLive(s: State, world: World, manifest: Manifest): boolean {
  if (manifest.acknowledged.get(s) === 0) return false;
  if (!world.untagged || world.isTagged(s, manifest)) return true;
  return manifest.subject !== undefined && isLive(s, world, manifest.subject);
}

/** 1: a manifest that was answered with 201 is complete until someone deletes it. */
export function acknowledgedAreComplete(world: World): (s: State) => void {
  return (s) => {
    for (const manifest of world.manifests) {
      if (!isLive(s, world, manifest)) continue;
      if (!isComplete(s, manifest)) violate(`1: ${manifest.name} was answered with 201, and is not complete`);
      if (manifest.entry?.exists(s) === false)
        violate(`1: the subject of ${manifest.name} does not lead to it any more`);
      if (manifest.named?.relied.get(s) === 1 && !manifest.named.link.exists(s))
        violate(`1: ${manifest.name} was answered with 201, and the tag of its signature is gone`);
    }
    const { promised, history } = world.expiring ?? {};
    if (promised?.isOn(s) === true && (world.tag.get(s) === 0 || history?.exists(s) === false))
      violate("6: the tag was answered with 201 within GRACE, and is gone, or its history is");
  };
}

/**
 * 3: what nothing references is gone after two runs past the horizon, and the marks after two more; from every state, as
 * soon as nobody else does anything. Layers of an untagged manifest that goes then need two runs of their own.
 */
export function garbageGoes(world: World, collector: Collector, everyone: readonly Program[]): (s: State) => void {
  const { blobs, manifests, cells, untagged } = world;
  const done = new Set<string>();
  return (state) => {
    const s = state.slice();
    for (const program of everyone) {
      program.gone(s);
      program.go(s, REST);
    }
    while (cells.tick(s));
    const key = Buffer.from(s).toString("latin1");
    if (done.has(key)) return;
    done.add(key);
    // A manifest that cannot be read ends each run with its reason: nothing is collected until somebody has looked at it.
    if (manifests.some(({ revision, content }) => revision.exists(s) && content?.bytes.exists(s) === false)) return;
    const nights = (count: number): void => {
      for (let i = 0; i < count; i++) {
        undisturbed(s, collector);
        while (cells.tick(s));
      }
    };
    nights(2);
    if (world.expiring !== undefined) {
      const { link, history, stray } = world.expiring;
      if (link.exists(s)) violate("3: the tag has expired, and stays");
      if (history.exists(s) && stray.get(s) === 0) violate("3: the tag is gone, and its history stays");
      nights(2);
    }
    for (const manifest of untagged ? manifests : []) {
      if (manifest.revision.exists(s) && !isNeeded(s, world, manifest))
        violate(`3: ${manifest.name} is untagged, and stays`);
    }
    if (untagged) nights(2);
    for (const blob of blobs) {
      if (manifests.some((manifest) => manifest.blobs.includes(blob) && manifest.revision.exists(s))) continue;
      if (blob.bytes.exists(s)) violate(`3: ${blob.name} is garbage, and stays`);
      if (blob.links.some((link) => link.exists(s))) violate(`3: links of ${blob.name} are garbage, and stay`);
    }
    for (const { name, content, revision } of manifests) {
      if (content?.bytes.exists(s) === true && !revision.exists(s))
        violate(`3: bytes of ${name} are garbage, and stay`);
    }
    nights(2);
    for (const mark of world.marks) if (mark.state(s) !== ABSENT) violate(`3: ${mark.name} stays for ever`);
  };
}

/** Tagged, or a child or referrer of one that is needed. */
function isNeeded(s: State, world: World, manifest: Manifest): boolean {
  if (world.isTagged(s, manifest)) return true;
  const parents = world.manifests.filter((other) => other.children.includes(manifest) || other === manifest.subject);
  return parents.some((parent) => parent.revision.exists(s) && isNeeded(s, world, parent));
}

/** A run from its beginning to its end, in no time. */
function undisturbed(s: State, collector: Collector): void {
  do {
    let label: Label | undefined;
    for (const { run, isDisturbance } of collector.steps[collector.at(s)] ?? []) {
      label = isDisturbance ? undefined : run(s);
      if (label !== undefined) break;
    }
    if (label === undefined) throw new Error("a run that cannot go on");
    collector.go(s, label);
  } while (collector.at(s) !== REST);
}
