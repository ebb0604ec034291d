/** What runs keep for one another: damaged, of another version, or written while a clock was wrong. */
import { describe, expect, it } from "vitest";
import { Lease } from "../../shared/gc/lease.ts";
import { readSnapshot, type SnapshotParts } from "../../shared/gc/snapshot.ts";
import { layout } from "../../shared/registry/layout.ts";
import { World } from "./support.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** A world in which a run was left when it had marked, and what it kept. */
async function leftWorld(): Promise<{ world: World; stateKey: string; kept: Kept }> {
  const world = new World();
  await world.image("r", ["layer"], { tag: "v1" });
  await world.blob("r", "garbage");
  world.age();
  let run = "";
  for (let phase = "marks"; phase === "marks" || phase === "marking";) {
    const outcome = await world.collector().step({ ms: 0 });
    if (outcome.state !== "more") throw new Error(`the run is ${outcome.state}`);
    ({ run, phase } = outcome);
  }
  const stateKey = `${layout.gcRun(run)}state`;
  const bytes = (await world.driver.read(stateKey, 1e6)) ?? [];
  return { world, stateKey, kept: JSON.parse(Buffer.from(bytes).toString()) as Kept };
}

interface Kept {
  readonly format: number;
  readonly state: { readonly id: string };
  readonly snapshot: SnapshotParts;
}

describe("a run that was left", () => {
  it("is gone on with", async () => {
    const { world, kept } = await leftWorld();
    expect(await world.collect()).toMatchObject({ run: kept.state.id, outcome: "done", condemned: 1 });
  });

  it.each([
    ["empty", () => ""],
    ["torn", (kept: Kept) => JSON.stringify(kept).slice(0, 100)],
    ["of an older version", (kept: Kept) => JSON.stringify({ ...kept, format: undefined })],
    ["of a newer version", (kept: Kept) => JSON.stringify({ ...kept, format: kept.format + 1 })],
  ])("and of which what it kept is %s gives way to a new one", async (_, spoilt) => {
    const { world, stateKey, kept } = await leftWorld();
    await world.driver.put(stateKey, Buffer.from(spoilt(kept)));
    const summary = await world.collect();
    expect(summary).toMatchObject({ outcome: "done", condemned: 1 });
    expect(summary.run).not.toBe(kept.state.id);
  });

  it("and began while the clock was ten years ahead gives way to a new one, to which young is young", async () => {
    const world = new World();
    await world.image("r", ["layer"], { tag: "v1" });
    await world.blob("r", "garbage");
    const right = world.time;
    world.time += 3650 * DAY_MS;
    expect((await world.collector().step({ ms: 0 })).state).toBe("more");
    world.time = right;
    expect(await world.collect()).toMatchObject({ outcome: "done", eligible: 0 });
  });

  it("keeps what its format has: who changes this gives it another number", async () => {
    const { world, kept } = await leftWorld();
    const snapshot = await readSnapshot(world.driver, kept.snapshot);
    const columns = Object.entries(snapshot?.arrays ?? {}).map(
      ([name, array]) => `${name}: ${array instanceof Uint32Array ? "u32" : "u8"}`,
    );
    expect({ format: kept.format, state: Object.keys(kept.state), meta: snapshot?.meta, columns }).toMatchSnapshot();
  });
});

describe("a lease", () => {
  it("that was given back is free by any clock", async () => {
    const world = new World();
    await world.image("r", ["layer"], { tag: "v1" });
    await world.collector().step({ ms: Infinity });
    world.time -= 1800_000;
    expect((await world.collector().step({ ms: Infinity })).state).toBe("done");
  });
});

describe("a lease that was written while a clock was ten years ahead", () => {
  it("does not stop the next run, and its last run does not keep the next night's from beginning", async () => {
    const world = new World();
    await world.image("r", ["layer"], { tag: "v1" });
    const right = world.time;
    world.time += 3650 * DAY_MS;
    expect((await world.collector().step({ ms: Infinity })).state).toBe("done");
    const lease = new Lease(world.driver);
    expect(await lease.look()).toBeUndefined();
    const last = lease.content.last;
    if (last === undefined) throw new Error("nothing is said of the run");
    expect(await lease.take(300_000, last)).toBe(true);
    world.time = right + DAY_MS;
    expect((await world.collector().step({ ms: Infinity, everyMs: DAY_MS })).state).toBe("done");
    expect((await world.collector().step({ ms: Infinity, everyMs: DAY_MS })).state).toBe("idle");
  });
});
