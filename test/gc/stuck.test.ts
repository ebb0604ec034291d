/** What the store does not delete, or copy aside, is no reason to leave all else undone. */
import { expect, it } from "vitest";
import { NIGHT } from "../../functions/gc/nightly.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { undo } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listKeys, OverloadedError, type StorageDriver } from "../../shared/storage/driver.ts";
import { withFaults, type PlannedCall } from "../support/faults.ts";
import { nameOf, TIMES, withoutTrash, World } from "./support.ts";

const A = "library/a";
const DAY_MS = 24 * 60 * 60 * 1000;
const ARCHIVED = "S3 CopyObject: InvalidObjectState: The operation is not valid for the object's storage class";
const OPTIONS = { concurrency: 1, retention: deleteUntagged };

it("is what cannot be deleted: the rest goes, the run says so at its end, and a later one takes it", async () => {
  const world = new World();
  const blobs = [];
  for (let i = 0; i < 60; i++) blobs.push(await world.blob(A, `garbage ${i}`));
  await world.image(A, ["kept"], { tag: "v1" });
  const untagged = [];
  for (let i = 0; i < 2; i++)
    untagged.push((await world.image(A, ["kept"], { annotations: { number: `${i}` } })).digest);
  world.age();
  const blob = layout.blob(blobs[7] as Digest);
  const link = layout.layerLink(nameOf(A), blobs[8] as Digest);
  const revision = layout.revisionLink(nameOf(A), untagged[0] as Digest);
  const stuck = new Set([blob, link, revision]);
  const driver = withFaults(
    world.driver,
    ({ operation, key }) => (operation === "fenced delete" && stuck.has(key) ? "before" : "pass"),
    () => new Error("EACCES: permission denied"),
  );
  let refreshed = 0;
  const options = { ...OPTIONS, refreshCatalog: async () => await Promise.resolve(refreshed++) };
  await world.collect(options);
  const before = await world.keys();
  const first = await world.collect(options, driver);
  expect(first).toMatchObject({ outcome: "failed", deleted: 58, deletedManifests: 1, refused: 3, lost: 0 });
  expect(first.reason).toBe(
    `3 of what was to be deleted could not be; the first: ${revision}: EACCES: permission denied`,
  );
  expect(refreshed).toBe(2);
  const left = new Set(await world.keys());
  for (const key of [...stuck, layout.blob(blobs[8] as Digest)]) expect(left).toContain(key);
  expect(await undo(world.driver, first.run, TIMES)).toMatchObject({ missing: [] });
  expect(await world.keys()).toEqual(before);

  const other = new World();
  const garbage = await other.blob(A, "garbage");
  await other.image(A, ["kept"], { tag: "v1" });
  other.age();
  stuck.add(layout.blob(garbage));
  const denied = withFaults(other.driver, ({ operation, key }) =>
    operation === "fenced delete" && stuck.has(key) ? "before" : "pass",
  );
  await other.collect();
  for (let i = 0; i < 3; i++)
    expect(await other.collect({}, denied)).toMatchObject({ outcome: "failed", deleted: 0, refused: 1 });
  expect(await other.collect()).toMatchObject({ outcome: "done", deleted: 1, refused: 0 });
  expect(await other.has(garbage)).toBe(false);
});

it("is over where a thousand things could not be deleted and not one was: the rest keeps its marks", async () => {
  const world = new World();
  for (let i = 0; i < 1100; i++) await world.blob(A, `garbage ${i}`);
  await world.image(A, ["kept"], { tag: "v1" });
  world.age();
  const denied = withFaults(world.driver, ({ operation }) => (operation === "fenced delete" ? "before" : "pass"));
  let refreshed = 0;
  const options = { refreshCatalog: async () => await Promise.resolve(refreshed++) };
  await world.collect(options);
  const keys = await world.keys();
  const summary = await world.collect(options, denied);
  expect(summary).toMatchObject({ outcome: "failed", deleted: 0, refused: 1000 });
  expect(summary.reason).toContain("1000 of what was to be deleted could not be");
  expect(refreshed).toBe(1);
  expect(await world.keys()).toEqual(keys);
}, 60_000);

/** A store whose calls fail for which `failureOf` gives an error. */
function failing(driver: StorageDriver, failureOf: (call: PlannedCall) => Error | undefined): StorageDriver {
  return withFaults(driver, (call) => {
    const failure = failureOf(call);
    if (failure !== undefined) throw failure;
    return "pass";
  });
}

/** All keys, the collector's own too. */
async function keysOf(world: World): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listKeys(world.driver, "")) keys.push(key);
  return keys;
}

/** A world of old garbage beside an image that stays. */
async function withGarbage(count: number): Promise<{ world: World; blobs: Digest[] }> {
  const world = new World();
  const blobs: Digest[] = [];
  for (let i = 0; i < count; i++) blobs.push(await world.blob(A, `garbage ${i}`));
  await world.image(A, ["kept"], { tag: "v1" });
  world.age();
  return { world, blobs };
}

it("is what cannot be copied aside: it stays whole, and all else goes and comes back", async () => {
  const { world, blobs } = await withGarbage(40);
  const stuck = new Set(blobs.slice(3, 6));
  const bytes = new Set([...stuck].map((digest) => layout.blob(digest)));
  const store = withoutTrash(world.driver);
  const archived = failing(store, ({ operation, key }) =>
    operation === "copy" && bytes.has(key) ? new Error(`${ARCHIVED} ${key}`) : undefined,
  );
  const options = { ...OPTIONS, setAside: true };
  await world.collect(options, store);
  const before = await world.keys();
  const first = await world.collect(options, archived);
  expect(first).toMatchObject({ outcome: "failed", undoable: true, deleted: 37, refused: 3, lost: 0 });
  expect(first.reason).toContain("3 of what was to be deleted could not be; the first: ");
  expect(first.reason).toContain(ARCHIVED);
  const left = new Set(await world.keys());
  for (const digest of blobs) {
    for (const key of [layout.blob(digest), layout.layerLink(nameOf(A), digest)]) {
      expect(left.has(key)).toBe(stuck.has(digest));
    }
  }
  expect((await undo(store, first.run, TIMES)).missing).toEqual([]);
  expect(await world.keys()).toEqual(before);

  for (let i = 0; i < 2; i++) {
    expect(await world.collect(options, archived)).toMatchObject({ outcome: "failed", deleted: 0, refused: 3 });
  }
  const last = await world.collect(options, store);
  expect(last).toMatchObject({ outcome: "done", deleted: 3, refused: 0 });
  expect((await undo(store, last.run, TIMES)).missing).toEqual([]);
  expect(await world.keys()).toEqual(before);
});

it("is what a throttled store does not copy: it is asked no more in this batch, and the next one goes", async () => {
  const { world, blobs } = await withGarbage(60);
  const store = withoutTrash(world.driver);
  let asked = 0;
  const throttled = failing(store, ({ operation }) =>
    operation === "copy" && ++asked === 1 ? new OverloadedError("S3 CopyObject: SlowDown", 1) : undefined,
  );
  const options = { concurrency: 2, setAside: true };
  await world.collect(options, store);
  const summary = await world.collect(options, throttled);
  const batch = summary.refused;
  expect(batch).toBeGreaterThan(1);
  expect(summary).toMatchObject({ outcome: "failed", deleted: blobs.length - batch });
  expect(summary.reason).toMatch(new RegExp(`^${batch} of what was to be deleted could not be; .*SlowDown$`));
  expect(asked).toBe(1 + blobs.length - batch);
});

it("are an upload, copies of long ago and what is kept of old runs: each other one goes, and so does what comes after", async () => {
  const { world } = await withGarbage(2);
  const store = withoutTrash(world.driver);
  const sessions = ["aaa", "bbb"].map((id) => `${layout.uploads(A)}${id}/startedat`);
  for (const key of sessions) await world.driver.put(key, Buffer.from("2026-01-01T00:00:00Z"));
  world.age();
  const options = { setAside: true, refreshCatalog: async () => await Promise.resolve(refreshed++) };
  let refreshed = 0;
  await world.collect(options, store);
  await world.collect(options, store);
  world.time += 40 * DAY_MS;
  const trash = (await world.driver.list(layout.gcTrash)).objects.map(({ key }) => key);
  expect(trash).toHaveLength(2);
  const stuck = new Set([
    sessions[0],
    trash[0],
    ...(await world.driver.list(layout.gcRuns)).objects.map(({ key }) => key).slice(0, 1),
  ]);
  const denied = failing(store, ({ operation, key }) =>
    operation === "delete" && stuck.has(key) ? new Error(`${key}: denied`) : undefined,
  );
  refreshed = 0;
  const step = async (driver: StorageDriver) => await world.collector(options, driver).step({ ms: Infinity, ...NIGHT });
  const failed = (await step(denied)) as { readonly summary: Summary };
  expect(failed.summary).toMatchObject({ outcome: "failed", uploads: 1 });
  expect(failed.summary.reason).toBe(`2 of what was to be deleted could not be; the first: ${sessions[0]}: denied`);
  expect(refreshed).toBe(1);
  const left = await keysOf(world);
  for (const key of stuck) expect(left).toContain(key);
  expect(left).not.toContain(sessions[1]);
  expect(left).not.toContain(trash[1]);
  expect(await step(denied)).toEqual({ state: "idle" });
  world.time += DAY_MS;
  expect(await step(store)).toMatchObject({ state: "done", summary: { outcome: "done", uploads: 1 } });
  for (const key of await keysOf(world)) expect([...stuck]).not.toContain(key);
});
