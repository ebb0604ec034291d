/** A user who deletes. */
import type { State } from "./cells.ts";
import { NOT_NOW, Program, REST } from "./program.ts";
import type { Blob, Manifest, World } from "./world.ts";

/** DELETE /manifests/: the tag, the referrer entry, the revision. What was promised before does not hold any more. */
export function deletesManifest(world: World, manifest: Manifest): Program {
  const p = new Program(world.cells, `user (deletes ${manifest.name})`);
  const deleted = (s: State): void => {
    manifest.acknowledged.set(s, 0);
    for (const other of world.manifests) if (other.children.includes(manifest)) other.acknowledged.set(s, 0);
    world.deleted(s);
  };
  const names = p.label();
  const hasNames = world.untagged || manifest.entry !== undefined;
  p.on(REST, "user: DELETE", manifest.name, (s) => {
    if (!manifest.revision.exists(s)) return NOT_NOW;
    if (world.isTagged(s, manifest)) world.dropTag(s);
    manifest.entry?.delete(s);
    deleted(s);
    if (hasNames) return names;
    manifest.revision.delete(s);
    return REST;
  });
  p.on(names, "user: DELETE", manifest.revision.name, (s) => {
    manifest.revision.delete(s);
    deleted(s);
    return REST;
  });
  return p.finish(true);
}

/** DELETE /manifests/<tag>: the manifest stays until untagged ones are collected. */
export function deletesTag(world: World): Program {
  const p = new Program(world.cells, "user (deletes the tag)");
  p.on(REST, "user: DELETE", "the tag", (s) => {
    if (world.tag.get(s) === 0) return NOT_NOW;
    world.manifests[world.tag.get(s) - 1]?.acknowledged.set(s, 0);
    world.dropTag(s);
    world.deleted(s);
    return REST;
  });
  return p.finish(false);
}

/** A registry that knows no marks pushes the tag, again and again. */
export function otherRegistrySets(world: World, manifest: Manifest): Program {
  const p = new Program(world.cells, "other registry");
  const history = p.label();
  p.on(REST, "other registry: PUT tag", manifest.name, (s) => {
    world.setTag(s, manifest, false);
    return history;
  });
  p.on(history, "other registry: PUT history", manifest.name, (s) => {
    world.setHistory(s, false);
    return REST;
  });
  return p.finish(true);
}

/** DELETE /blobs/: the link goes, the bytes stay. Manifests of this repository that name the blob are not complete then. */
export function deletesBlob(world: World, blob: Blob, repository: number): Program {
  const p = new Program(world.cells, `user (deletes ${blob.name})`);
  const link = blob.links[repository];
  p.on(REST, "user: DELETE", link?.name ?? "", (s) => {
    if (link?.exists(s) !== true) return NOT_NOW;
    link.delete(s);
    for (const manifest of world.manifests) {
      if (manifest.repository === repository && manifest.blobs.includes(blob)) manifest.acknowledged.set(s, 0);
    }
    world.deleted(s);
    for (const overrule of world.onBlobDelete) overrule(s);
    return REST;
  });
  return p.finish(false);
}
