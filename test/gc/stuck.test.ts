/** What the store does not delete is no reason to leave all else undone. */
import { expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { undo } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { withFaults } from "../support/faults.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "library/a";
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
