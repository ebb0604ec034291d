/** Names and tags of the full length in a folder, where no part of a path has more than 255 bytes. */
import { readdir, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { retentionByRules } from "../../shared/gc/retention-rules.ts";
import { undo } from "../../shared/gc/undo.ts";
import { layout } from "../../shared/registry/layout.ts";
import { createTestApp } from "../support/app.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { filesystemDriver } from "../support/stores.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { TIMES, World } from "./support.ts";

const ONE_COMPONENT = "a".repeat(255);
const NAMES = [ONE_COMPONENT, "a".repeat(254), `a/${"a".repeat(253)}`];
const [OLD, NEW] = ["o", "n"].map((letter) => letter.repeat(128)) as [string, string];

let folder: string;
beforeEach(async () => {
  folder = await fastTemporaryFolder();
});
afterEach(async () => {
  await removeFolder(folder);
});

/** Makes all that is stored older than the horizon, and than marks take to settle. */
async function age(): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const before = (await stat(file)).mtimeMs / 1000 - 2 * (TIMES.horizonMs / 1000);
    await utimes(file, before, before);
  }
}

it.each(NAMES)("%s is pushed to, pulled from, listed and collected", async (name) => {
  const driver = filesystemDriver(folder);
  const { send, faults } = createTestApp(driver, { registry: { catalog: "index", recordPulls: "before the answer" } });
  const world = new World(driver);
  const rule = { repositories: ["**"], tags: ["**"], except: [], keep: { last: 1 }, expireUntaggedMs: 1000 };
  const collect = async () => {
    await age();
    const summary = await world.collector({ retention: retentionByRules([rule]) }).run();
    expect(summary).toMatchObject({ outcome: "done" });
    return summary;
  };
  for (const content of [CONFIG, "old", "new"]) await pushBlob(send, name, content);
  const [old, young] = [imageOf(["old"]), imageOf(["new"])];
  expect((await putManifest(send, name, OLD, old)).status).toBe(201);
  await age();
  expect((await putManifest(send, name, NEW, young)).status).toBe(201);
  expect((await send("GET", `/v2/${name}/manifests/${NEW}`)).status).toBe(200);
  expect((await send("GET", "/v2/_catalog")).json()).toEqual({ repositories: [name] });
  expect((await send("GET", `/v2/_catalog?last=${name.slice(0, -1)}`)).json()).toEqual({ repositories: [name] });
  expect((await send("GET", `/v2/_catalog?last=${name}`)).json()).toEqual({ repositories: [] });

  expect(await collect()).toMatchObject({ condemned: 1 });
  // There is a mark now, which a push of the same tag clears.
  expect((await putManifest(send, name, OLD, old)).status).toBe(201);
  const runs = [];
  for (let i = 0; i < 6; i++) runs.push(await collect());
  for (const deleted of [{ deletedTags: 1 }, { deletedManifests: 1 }, { deleted: 2 }]) {
    expect(runs).toContainEqual(expect.objectContaining(deleted));
  }
  for (const { run } of runs.reverse()) expect(await undo(driver, run, TIMES)).toMatchObject({ missing: [] });
  expect((await send("GET", `/v2/${name}/manifests/${OLD}`)).bytes.equals(old.bytes)).toBe(true);
  expect((await send("GET", `/v2/${name}/tags/list`)).json()).toEqual({ name, tags: [NEW, OLD] });
  expect((await driver.list(layout.pulls)).objects).toHaveLength(3);
  expect(faults).toEqual([]);
});
