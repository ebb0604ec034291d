/** A folder of which a part lies elsewhere, as an operator moves a large repository to another disk. */
import { mkdir, rename, rm, symlink, utimes } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { layout } from "../../shared/registry/layout.ts";
import { filesystemDriver } from "../support/stores.ts";
import { everythingIn, fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { World } from "./support.ts";

let parent: string;
beforeEach(async () => (parent = await fastTemporaryFolder()));
afterEach(async () => await removeFolder(parent));

/** A repository `team/app` with an image, another one, and a blob that nobody needs: all of it old. */
async function movedWorld(): Promise<{ world: World; moved: string }> {
  const root = path.join(parent, "registry");
  const world = new World(filesystemDriver(root));
  await world.image("other", ["other layer"], { tag: "v1" });
  await world.image("team/app", ["team layer"], { tag: "v1" });
  await world.blob("other", "garbage");
  const longAgo = new Date(Date.now() - 30 * 24 * 60 * 60 * 1000);
  for (const name of await everythingIn(root)) await utimes(path.join(root, name), longAgo, longAgo);
  const moved = path.join(parent, "another disk");
  await mkdir(moved);
  const place = path.join(root, layout.repositories, "team");
  await rename(place, path.join(moved, "team"));
  await symlink(path.join(moved, "team"), place);
  return { world, moved };
}

it("is collected with all that lies behind symbolic links", async () => {
  const { world } = await movedWorld();
  const summary = await world.collect({ dryRun: true });
  expect(summary).toMatchObject({ outcome: "done", blobs: 6, marked: 5, eligible: 1, eligibleBytes: 7 });
});

it("of which a part is not there now is not collected", async () => {
  const { world, moved } = await movedWorld();
  await rm(moved, { recursive: true });
  const { outcome, reason, condemned } = await world.collect();
  expect({ outcome, condemned }).toEqual({ outcome: "failed", condemned: 0 });
  expect(reason).toMatch(/the symbolic link .*team leads nowhere/);
});
