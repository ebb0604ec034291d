/** What is left of an undo: its record, what the commands print of it, what it costs, and when it goes. */
import { expect, it } from "vitest";
import { listRuns, showRun, undoRun } from "../../bin/gc.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { momentOf } from "../../shared/gc/times.ts";
import { readUndoRecord } from "../../shared/gc/undo-record.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listKeys } from "../../shared/storage/driver.ts";
import { withFaults } from "../support/faults.ts";
import { keptConsole } from "./console.ts";
import { TIMES, World } from "./support.ts";

const A = "library/a";
const DAY_MS = 24 * 60 * 60 * 1000;
const NOTHING = { blobs: 0, bytes: 0, manifests: 0, tags: 0 };
const MANIFEST = { ...NOTHING, manifests: 1 };
/** What `collected` takes last. */
const BLOBS = { ...NOTHING, blobs: 2 };

/** A world in which an image without a tag was collected: by one run its manifest, by a later one its bytes. */
async function collected(): Promise<{ world: World; manifests: Summary; blobs: Summary }> {
  const world = new World();
  await world.image(A, ["layer"], { tag: "latest" });
  await world.image(A, ["untagged"]);
  world.age();
  const runs: Summary[] = [];
  for (let i = 0; i < 4; i++) runs.push(await world.collect({ retention: deleteUntagged }));
  const [, manifests, , blobs] = runs;
  expect([manifests?.deletedManifests, blobs?.deleted]).toEqual([1, 2]);
  return { world, manifests: manifests as Summary, blobs: blobs as Summary };
}

/** A command's lines and exit code, and its calls of the store. */
async function told(world: World, work: (work: Parameters<typeof listRuns>[0]) => Promise<number>) {
  const console = keptConsole();
  const calls: string[] = [];
  const driver = withFaults(world.driver, ({ operation, key }) => {
    calls.push(`${operation} ${key}`);
    return "pass";
  });
  const code = await work({ driver, place: "./data", times: TIMES, console });
  return { code, calls, ...console };
}

const undone = async (world: World, { run }: Summary) =>
  await told(world, async (work) => await undoRun(work, run, { yes: true }));
const shown = async (world: World, { run }: Summary): Promise<string | undefined> =>
  (await told(world, async (work) => await showRun(work, run))).lines.find((line) => line.startsWith("undone"));
const table = async (world: World) => {
  const { lines, calls } = await told(world, listRuns);
  return { last: lines.map((line) => line.split(/ {2,}/).at(-1)), calls };
};

/** With the bytes aside, which a manifest's size decides. */
async function recordOf(world: World, { run }: Summary) {
  const record = await readUndoRecord(world.driver, run);
  if (record === undefined) return undefined;
  const { restored, there, missing } = record;
  return { restored: { ...restored, bytes: 0 }, there: { ...there, bytes: 0 }, missing: { ...missing, bytes: 0 } };
}

it("is told by the table of runs and by what is shown of one, for one write and no further listing", async () => {
  const { world, manifests, blobs } = await collected();
  const before = await table(world);
  expect(before.last).toEqual(["undone", "-", "-", "-", "-"]);
  expect(await shown(world, blobs)).toBeUndefined();

  const { calls, code } = await undone(world, blobs);
  expect(code).toBe(0);
  expect(calls.filter((call) => /^(?:put|write) .*\/_gc\/(?!marks)/.test(call))).toEqual([
    `put ${layout.gcUndone(blobs.run)}`,
  ]);
  expect(calls.at(-1)).toBe(`put ${layout.gcUndone(blobs.run)}`);
  const first = momentOf(new Date(world.time));
  world.time += 60_000;
  await undone(world, manifests);
  const second = momentOf(new Date(world.time));

  const after = await table(world);
  expect(after.last).toEqual(["undone", "-", second, "-", first]);
  const reads = [manifests, blobs].map(({ run }) => `read ${layout.gcUndone(run)}`);
  expect(after.calls.filter((call) => !reads.includes(call))).toEqual(before.calls);
  expect(before.calls).toHaveLength(1 + 4);
  expect(after.calls).toHaveLength(before.calls.length + 2);
  expect(await shown(world, blobs)).toMatch(
    new RegExp(`^undone ${first}: 2 blobs \\(\\d+ B\\), 0 manifests and 0 tags brought back$`),
  );
  expect(await shown(world, manifests)).toBe(`undone ${second}: 0 blobs (0 B), 1 manifest and 0 tags brought back`);
});

it("is of the last one that brought anything back", async () => {
  const { world, manifests, blobs } = await collected();
  expect((await undone(world, manifests)).code).toBe(1);
  expect(await recordOf(world, manifests)).toEqual({ restored: NOTHING, there: NOTHING, missing: MANIFEST });
  const failed = momentOf(new Date(world.time));
  expect((await table(world)).last[2]).toBe(`${failed}, 1 missing`);
  expect(await shown(world, manifests)).toBe(
    `undone ${failed}: 0 blobs (0 B), 0 manifests and 0 tags brought back; ` +
      "0 blobs (0 B), 1 manifest and 0 tags could not be brought back",
  );
  world.time += 60_000;
  await undone(world, blobs);
  await undone(world, manifests);
  const good = { restored: MANIFEST, there: NOTHING, missing: NOTHING };
  expect(await recordOf(world, manifests)).toEqual(good);
  const { last } = await table(world);
  expect(last[2]).toBe(momentOf(new Date(world.time)));

  world.time += 60_000;
  await undone(world, manifests);
  expect(await recordOf(world, manifests)).toEqual(good);
  expect((await table(world)).last).toEqual(last);
});

it("is written when all is done: one that breaks off leaves none, and the next says the same of what is there", async () => {
  const restored = new Set<number>();
  for (let at = 1; ; at++) {
    const { world, blobs } = await collected();
    const content = await world.keys();
    const driver = withFaults(world.driver, ({ index }) => (index >= at ? "before" : "pass"));
    const work = { driver, place: "./data", times: TIMES, console: keptConsole() };
    const first = await undoRun(work, blobs.run, { yes: true }).catch(() => undefined);
    if (first !== undefined) break;
    expect(await recordOf(world, blobs), `broken off at call ${at}`).toBeUndefined();
    expect((await undone(world, blobs)).code).toBe(0);
    const record = await recordOf(world, blobs);
    expect(record?.missing, `broken off at call ${at}`).toEqual(NOTHING);
    expect([record?.restored.blobs, record?.there.blobs].reduce((sum = 0, more = 0) => sum + more)).toBe(BLOBS.blobs);
    restored.add(record?.restored.blobs ?? -1);
    expect((await world.keys()).length).toBeGreaterThan(content.length);
  }
  expect([...restored].sort()).toEqual([0, 1, 2]);
});

it("goes with what is kept of its run", async () => {
  const { world, blobs } = await collected();
  await undone(world, blobs);
  const kept = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of listKeys(world.driver, layout.gcRuns)) if (key.includes(blobs.run)) keys.push(key);
    return keys;
  };
  const before = await kept();
  expect(before).toContain(layout.gcUndone(blobs.run));
  world.time = Date.parse(blobs.begun) + 30 * DAY_MS;
  await world.collect();
  expect(await kept()).toEqual(before);
  world.time = Date.parse(blobs.begun) + 30 * DAY_MS + 60_000;
  await world.collect();
  expect(await kept()).toEqual([]);

  await world.driver.put(layout.gcUndone(blobs.run), Buffer.from("{}"));
  await world.collect();
  expect(await kept()).toEqual([]);
});

it("is told of a run that is not at its end, too", async () => {
  const { world, blobs } = await collected();
  await world.driver.delete(`${layout.gcRun(blobs.run)}summary`);
  await undone(world, blobs);
  const { last } = await table(world);
  expect(last[4]).toBe(momentOf(new Date(world.time)));
  expect(await shown(world, blobs)).toContain("2 blobs");
});
