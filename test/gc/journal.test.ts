/** The journal of a run that several processes had a part in: what all of them deleted comes back, and is counted. */
import { describe, expect, it } from "vitest";
import type { Collector, CollectorOptions } from "../../shared/gc/collector.ts";
import { journalName, readJournal, writeJournal } from "../../shared/gc/journal.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { readSummary } from "../../shared/gc/summary.ts";
import { undo } from "../../shared/gc/undo.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { withFaults, type PlannedCall, type Verdict } from "../support/faults.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "library/a";
/** Batches of 15. */
const OPTIONS = { concurrency: 1, retention: deleteUntagged };
const GARBAGE = 60;
const UNTAGGED = 20;
const LEASE_MS = 300_000;

/** A run that is left just before it sweeps: 60 blobs and 20 untagged manifests may go, none of which shares anything. */
async function leftBeforeSweep(): Promise<{ world: World; run: string }> {
  const world = new World();
  await world.image(A, ["kept"], { tag: "v1" });
  for (let i = 0; i < GARBAGE; i++) await world.blob(A, `garbage ${i}`);
  for (let i = 0; i < UNTAGGED; i++) await world.image(A, ["kept"], { annotations: { number: `${i}` } });
  world.age();
  await world.collect(OPTIONS);
  for (;;) {
    const left = await world.collector(OPTIONS).step({ ms: 0 });
    if (left.state !== "more") throw new Error(`the run is ${left.state}`);
    if (left.phase === "manifests") return { world, run: left.run };
  }
}

/** A driver that stands still at a call until it is let go. */
function standingStill(driver: StorageDriver, at: (call: PlannedCall) => boolean) {
  let goOn: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const going = new Promise<void>((resolve) => (goOn = resolve));
  const isReached = new Promise<void>((resolve) => (reached = resolve));
  let stands = false;
  const still = withFaults(driver, async (call): Promise<Verdict> => {
    stands ||= at(call);
    if (stands) {
      reached();
      await going;
    }
    return "pass";
  });
  return { driver: still, isReached, goOn };
}

async function ended(collector: Collector) {
  const outcome = await collector.step({ ms: Infinity });
  if (outcome.state !== "done") throw new Error(`the run is ${outcome.state}`);
  return outcome.summary;
}

/** What of this is gone, as a summary has it. */
async function goneOf(world: World, before: readonly string[]) {
  const there = new Set(await world.keys());
  const gone = before.filter((key) => !there.has(key));
  const deleted = gone.filter((key) => key.startsWith(layout.blobs)).length;
  return { deleted, deletedManifests: gone.filter((key) => key.includes("/revisions/")).length };
}

function nth(operation: PlannedCall["operation"], part: string, count: number): (call: PlannedCall) => boolean {
  let seen = 0;
  return (call) => call.operation === operation && call.key.includes(part) && ++seen === count;
}

/** Between batches and within them, where some of one is gone and some is not. */
const MOMENTS = [
  ["put", "/journal/", 2],
  ["fenced delete", "/revisions/", 17],
  ["fenced delete", "/_layers/", 35],
  ["fenced delete", layout.blobs, 35],
  ["put", "/journal/", 5],
  ["revoke", "", 6],
] as const;

describe("a run that goes on", () => {
  it.each(MOMENTS)("after its process was killed at %s %s number %i", async (operation, part, count) => {
    const { world, run } = await leftBeforeSweep();
    const before = await world.keys();
    const killed = standingStill(world.driver, nth(operation, part, count));
    void world.collector(OPTIONS, killed.driver).step({ ms: Infinity });
    await killed.isReached;

    world.time += LEASE_MS + 60_000;
    const summary = await ended(world.collector(OPTIONS));
    expect(summary).toMatchObject({ run, outcome: "done" });
    const gone = await goneOf(world, before);
    expect(gone.deleted + gone.deletedManifests).toBeGreaterThan(60);
    expect(summary).toMatchObject(gone);
    expect(summary.deleted + summary.deletedManifests + summary.lost).toBe(GARBAGE + UNTAGGED);
    expect((await undo(world.driver, run, TIMES)).missing).toEqual([]);
    expect(await world.keys()).toEqual(before);
  });

  it.each(MOMENTS)("beside its process that stood still at %s %s number %i", async (operation, part, count) => {
    const { world, run } = await leftBeforeSweep();
    const before = await world.keys();
    const first = standingStill(world.driver, nth(operation, part, count));
    const firstStep = world.collector(OPTIONS, first.driver).step({ ms: Infinity });
    await first.isReached;

    world.time += LEASE_MS + 60_000;
    const second = standingStill(world.driver, nth("open permit", "", 2));
    const secondStep = ended(world.collector(OPTIONS, second.driver));
    await second.isReached;
    first.goOn();
    await firstStep;
    second.goOn();
    await secondStep;
    expect(await readSummary(world.driver, run)).toMatchObject(await goneOf(world, before));
    expect((await undo(world.driver, run, TIMES)).missing).toEqual([]);
    expect(await world.keys()).toEqual(before);
  });
});

describe("what one run began to delete and another ended", () => {
  /** A run that takes the links of a blob, or the referrer entry or history, and not what goes last; and one that takes the rest. */
  async function takenOver(world: World, last: string, options: Partial<CollectorOptions> = {}) {
    world.age();
    const before = await world.keys();
    await world.collect(options);
    const dying = withFaults(world.driver, ({ operation, key }) =>
      operation === "fenced delete" && key === last ? "before" : "pass",
    );
    const first = await world.collect(options, dying);
    expect(first.outcome).toBe("failed");
    expect(await world.keys()).not.toEqual(before);
    const second = await world.collect(options);
    expect(second).toMatchObject({ outcome: "done", refused: 0 });
    return { before, first, second };
  }

  it("comes back with the latter, links too", async () => {
    const world = new World();
    await world.image(A, ["kept"], { tag: "v1" });
    const digest = await world.blob(A, "garbage");
    await world.blob("library/b", "garbage");
    const { before, second } = await takenOver(world, layout.blob(digest));
    expect(second.deleted).toBe(1);
    expect(await undo(world.driver, second.run, TIMES)).toMatchObject({ blobs: 1, there: 0, missing: [] });
    expect(await world.keys()).toEqual(before);
  });

  it("of a signature comes back with the entry that tells of it", async () => {
    const world = new World();
    const { digest } = await world.image(A, ["kept"], { tag: "v1" });
    const untagged = await world.image(A, ["kept"], { annotations: { number: "1" } });
    const signature = await world.referrer(A, untagged.digest, "kept");
    world.age();
    await world.deleteManifest(A, untagged.digest);
    const { before, second } = await takenOver(world, layout.revisionLink(nameOf(A), signature), OPTIONS);
    expect(digest).not.toBe(signature);
    expect(await undo(world.driver, second.run, TIMES)).toMatchObject({ missing: [] });
    // Bytes of the subject, whose manifest was deleted before, the former run took.
    expect(await world.keys()).toEqual(before.filter((key) => key !== layout.blob(untagged.digest)));
  });

  it("is asked for of the former in vain, which names the latter", async () => {
    const world = new World();
    await world.image(A, ["kept"], { tag: "v1" });
    const digest = await world.blob(A, "garbage");
    const { before, first, second } = await takenOver(world, layout.blob(digest));
    expect((await undo(world.driver, first.run, TIMES)).missing).toEqual([
      { digest, reason: `its bytes are not kept any more: undo the later run ${second.run} that took them` },
    ]);
    await undo(world.driver, second.run, TIMES);
    expect(await undo(world.driver, first.run, TIMES)).toMatchObject({ blobs: 1, there: 1, missing: [] });
    expect(await world.keys()).toEqual(before);
  });
});

describe("a manifest that one run took, and its layers a later one", () => {
  it("comes back after them, also where another repository has them by then", async () => {
    const world = new World();
    await world.image(A, ["kept"], { tag: "v1" });
    const { digest } = await world.image(A, ["untagged"]);
    world.age();
    const before = await world.keys();
    await world.collect(OPTIONS);
    const manifests = await world.collect(OPTIONS);
    await world.collect(OPTIONS);
    const blobs = await world.collect(OPTIONS);
    expect([manifests.deletedManifests, blobs.deleted]).toEqual([1, 2]);

    await world.image("library/b", ["untagged"], { tag: "v1" });
    const reason = `what it refers to is gone: undo the later run ${blobs.run} that took it first`;
    expect((await undo(world.driver, manifests.run, TIMES)).missing).toEqual([{ digest, repository: A, reason }]);
    expect(await world.hasRevision(A, digest)).toBe(false);
    await undo(world.driver, blobs.run, TIMES);
    expect((await undo(world.driver, manifests.run, TIMES)).missing).toEqual([]);
    expect((await world.keys()).filter((key) => !key.includes("/library/b/"))).toEqual(before);
  });
});

describe("a journal", () => {
  it("of an older version is read, and what came after it behind it", async () => {
    const { driver } = new World();
    const names = [
      ...["000000", "000001", "000002"],
      journalName({ id: "run/b", since: new Date("2026-01-01T00:00:00.000Z") }, 7),
      journalName({ id: "run/a", since: new Date("2026-01-01T00:00:00.000Z") }, 10),
      journalName({ id: "run/c", since: new Date("2026-01-01T00:00:01.000Z") }, 0),
    ];
    for (const name of names.toReversed()) await writeJournal(driver, "run", name, { permit: name, entries: [] });
    const read: string[] = [];
    for await (const { permit } of readJournal(driver, "run")) read.push(permit);
    expect(read).toEqual(names);
  });
});
