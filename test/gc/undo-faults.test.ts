/** An undo beside what else goes on, and where the store does not give everything back. */
import { expect, it } from "vitest";
import { undoRun } from "../../bin/gc.ts";
import { readJournal } from "../../shared/gc/journal.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { readUndoRecord } from "../../shared/gc/undo-record.ts";
import { undo } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { OverloadedError } from "../../shared/storage/driver.ts";
import { withFaults } from "../support/faults.ts";
import { keptConsole } from "./console.ts";
import { nameOf, TIMES, withoutTrash, World } from "./support.ts";

const A = "library/a";
const UNTAGGED = { retention: deleteUntagged };

it("brings back all but what fails, names that with the reason, and brings it back later", async () => {
  const world = new World();
  const store = withoutTrash(world.driver);
  const blobs: Digest[] = [];
  for (let i = 0; i < 12; i++) blobs.push(await world.blob(A, `garbage ${i}`));
  await world.image(A, ["kept"], { tag: "v1" });
  world.age();
  const before = await world.keys();
  await world.collect({ setAside: true }, store);
  const { run } = await world.collect({ setAside: true }, store);
  const locked = blobs[5] as Digest;
  const reason = "S3 CopyObject: InvalidObjectState: archived";
  const archived = withFaults(
    store,
    ({ operation, key }) => (operation === "copy" && key.endsWith(layout.blob(locked)) ? "before" : "pass"),
    () => new Error(reason),
  );
  const console = keptConsole();
  const work = { driver: archived, place: "here", times: TIMES, console };
  expect(await undoRun(work, run, { yes: true })).toBe(1);
  expect(console.lines).toContain(`blob cannot be brought back: ${locked}  9 B  ${reason}`);
  const left = [layout.blob(locked), layout.layerLink(nameOf(A), locked)];
  expect(await world.keys()).toEqual(before.filter((key) => !left.includes(key)));
  expect(await readUndoRecord(store, run)).toMatchObject({ restored: { blobs: 11 }, missing: { blobs: 1 } });

  expect(await undoRun({ ...work, driver: store }, run, { yes: true })).toBe(0);
  expect(await world.keys()).toEqual(before);
  expect(await readUndoRecord(store, run)).toMatchObject({ restored: { blobs: 1 }, missing: { blobs: 0 } });
});

it("breaks off where the store is in trouble, and leaves no record", async () => {
  const world = new World();
  await world.blob(A, "garbage");
  await world.image(A, ["kept"], { tag: "v1" });
  world.age();
  const [, { run }] = await world.collectTwice();
  const throttled = withFaults(
    world.driver,
    ({ operation, key }) => (operation === "put" && key.includes("/_layers/") ? "before" : "pass"),
    () => new OverloadedError("S3 PutObject: SlowDown", 1),
  );
  await expect(undo(throttled, run, TIMES)).rejects.toThrow("SlowDown");
  expect(await readUndoRecord(world.driver, run)).toBeUndefined();
});

it("brings no manifest back whose layers a collection takes while it is at work", async () => {
  const world = new World();
  await world.image(A, ["kept"], { tag: "v1" });
  const images = [await world.image(A, ["one"]), await world.image(A, ["two"])];
  world.age();
  await world.collect(UNTAGGED);
  const { run, deletedManifests } = await world.collect(UNTAGGED);
  expect(deletedManifests).toBe(2);
  const batches = [];
  for await (const batch of readJournal(world.driver, run)) batches.push(batch);
  const [order] = batches;
  const digests = (order?.entries ?? []).map(({ digest }) => digest).toReversed();
  const [first, second] = digests.map((digest) => images.find((image) => image.digest === digest));
  if (first === undefined || second === undefined) throw new Error("not in the journal");
  // What was never there is no matter; it has the undo look into the journals.
  const lost = first.blobs[1] as Digest;
  for (const key of [layout.blob(lost), layout.layerLink(nameOf(A), lost)]) await world.driver.delete(key);
  await world.collect();
  let isTaken = false;
  const beside = withFaults(world.driver, async ({ operation, key }) => {
    if (!isTaken && operation === "list" && key === layout.referrers(nameOf(A), second.digest)) {
      isTaken = true;
      await world.collect();
    }
    return "pass" as const;
  });
  const { missing } = await undo(beside, run, TIMES);
  expect(isTaken).toBe(true);
  expect(await world.has(second.blobs[1] as Digest)).toBe(false);
  expect(missing).toMatchObject([{ digest: second.digest, repository: A }]);
  expect(await world.hasRevision(A, second.digest)).toBe(false);
  expect(await world.hasRevision(A, first.digest)).toBe(true);
});

it("makes bytes without links young, also those that a try brought back which was killed then", async () => {
  const world = new World();
  await world.image(A, ["kept"], { tag: "v1" });
  const { digest } = await world.image(A, ["gone"]);
  const key = layout.blob(digest);
  const bytes = (await world.driver.read(key, 10_000)) ?? new Uint8Array();
  world.age();
  for (let i = 0; i < 3; i++) await world.collect(UNTAGGED);
  const { run } = await world.collect(UNTAGGED);
  expect(await world.has(digest)).toBe(false);
  // As a bucket gives it back from its versions: with the age that it had.
  const now = world.time;
  world.time -= TIMES.horizonMs * 2;
  await world.driver.put(key, bytes);
  world.time = now;
  expect(await undo(world.driver, run, TIMES)).toMatchObject({ missing: [], there: 1 });
  expect((await world.driver.head(key))?.lastModified).toEqual(new Date(now));
});
