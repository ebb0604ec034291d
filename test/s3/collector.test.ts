/** Collections on real servers, by their clocks and with their own word on deletes that come too late. */
import { describe, expect, it } from "vitest";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { Marks } from "../../shared/registry/marks.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import type { S3Call } from "../../shared/storage/s3/client.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { nameOf } from "../gc/support.ts";
import { withFaults } from "../support/faults.ts";
import { startS3Proxy } from "../support/s3-proxy.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { bucketWorld, LONG_TIMES, SERVERS, TIMES, type BucketWorld } from "./gc-world.ts";

const A = "library/a";
const B = "library/b";
const SLOW = { timeout: 240_000 };

async function stateOf(world: BucketWorld, digest: Digest): Promise<string | undefined> {
  return (await new Marks(world.driver, TIMES).read(layout.blobMark(digest))).mark?.state;
}

describe.concurrent.each(SERVERS)("%s", (...server) => {
  it("condemns, then sweeps what nobody wants, clears what somebody does, and forgets its marks", SLOW, async () => {
    const world = await bucketWorld(server, { versioned: false });
    const image = await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "garbage");
    await world.blob(B, "garbage");
    const wanted = await world.blob(A, "wanted again");
    expect(await world.collect({ times: LONG_TIMES })).toMatchObject({ outcome: "done", eligible: 0 });
    await world.passed(TIMES.horizonMs);
    const before = await world.keys();

    expect(await world.collect()).toMatchObject({ eligible: 2, condemned: 2, deleted: 0 });
    const unsettled = { ...TIMES, settleMs: LONG_TIMES.settleMs };
    expect(await world.collect({ times: unsettled })).toMatchObject({ eligible: 2, condemned: 0, deleted: 0 });
    for (const digest of [garbage, wanted]) expect(await stateOf(world, digest)).toBe("condemned");
    await world.image(A, ["wanted again"], { tag: "again" });
    await world.passed(TIMES.settleMs);
    expect(await world.collect()).toMatchObject({ eligible: 1, deleted: 1, deletedBytes: 7, lost: 0, refused: 0 });
    expect([await stateOf(world, garbage), await stateOf(world, wanted)]).toEqual(["swept", "cleared"]);
    const gone = [layout.blob(garbage), ...[A, B].map((name) => layout.layerLink(nameOf(name), garbage))];
    for (const key of before) expect((await world.driver.head(key)) === undefined, key).toBe(gone.includes(key));
    expect(await world.has(image.digest)).toBe(true);

    await world.passed(TIMES.takeoverMs);
    expect(await world.collect()).toMatchObject({ outcome: "done", eligible: 0 });
    for (const digest of [garbage, wanted]) expect(await stateOf(world, digest)).toBeUndefined();
  });

  it("knows a permit as over in the very second in which it ended", async () => {
    const { driver } = await bucketWorld(server, { versioned: false });
    const key = `${layout.root}late`;
    const { asOf } = await driver.put(key, Buffer.from("late"));
    const since = new Date(asOf.getTime() - TIMES.permitMs + 999);
    expect(await driver.fenced.delete([{ key, permit: { id: "late", since } }])).toEqual([key]);
    expect(await driver.head(key)).toBeDefined();
  });

  it(
    "deletes nothing with a permit that is over: the store refuses, and a later run takes the mark over",
    SLOW,
    async () => {
      const world = await bucketWorld(server, { versioned: false });
      await world.image(A, ["layer"], { tag: "latest" });
      const garbage = await world.blob(A, "garbage");
      await world.passed(TIMES.horizonMs);
      await world.collect();
      await world.passed(TIMES.settleMs);
      let held = 0;
      const paused = withFaults(world.driver, async ({ operation, key }) => {
        if (operation === "fenced delete" && !key.includes("/_gc/") && held++ === 0) await world.passed(TIMES.permitMs);
        return "pass" as const;
      });
      expect(await world.collect({}, paused)).toMatchObject({ deleted: 0, refused: 1 });
      expect(held).toBe(1); // the bytes are not asked for after their link
      expect([await world.has(garbage), await stateOf(world, garbage)]).toEqual([true, "deleting"]);
      await world.passed(TIMES.takeoverMs);
      expect(await world.collect()).toMatchObject({ deleted: 1, refused: 0 });
      expect([await world.has(garbage), await stateOf(world, garbage)]).toEqual([false, "swept"]);
    },
  );

  it("does not begin while another has the lease, and goes on with a run that was left", SLOW, async () => {
    const world = await bucketWorld(server, { versioned: false });
    await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "garbage");
    await world.passed(TIMES.horizonMs);
    const body = { holder: "another", until: (await world.now()) + 60_000, cuts: [] };
    await world.driver.put(layout.gcLease, Buffer.from(JSON.stringify(body)));
    await expect(world.collect()).rejects.toThrow("another collection is under way");
    expect(await stateOf(world, garbage)).toBeUndefined();
    await world.driver.put(layout.gcLease, Buffer.from(JSON.stringify({ ...body, until: 0 })));
    const collector = world.collector({ times: TIMES, uploadAgeMs: undefined, elapsed: ticking() });
    const states: string[] = [];
    for (let outcome = await collector.step({ ms: 3 }); ; outcome = await collector.step({ ms: 3 })) {
      states.push(outcome.state);
      if (outcome.state === "done") break;
    }
    expect(states.length).toBeGreaterThan(1);
    expect(new Set(states.slice(0, -1))).toEqual(new Set(["more"]));
    expect(await stateOf(world, garbage)).toBe("condemned");
  });

  /** A clock of which each look is a millisecond. */
  function ticking(): () => number {
    let ticks = 0;
    return () => ticks++;
  }

  it("is asked again where what it was asked for came too late", SLOW, async () => {
    const world = await bucketWorld(server, { versioned: false });
    const budget = new MemoryBudget(16 * 1024 * 1024, 1000);
    const proxy = await startS3Proxy(world.access);
    const asked = new S3Driver(
      s3Settings(proxy, world.bucket, { patience: { callMs: 60_000 } }),
      budget,
      undefined,
      undefined,
      TIMES.permitMs,
    );
    // Each probe is refused one deletion, and then asks for one that is to be carried out: the first comes too late.
    const late = proxy.inject({
      operation: "DeleteObjects",
      nth: 2,
      kind: "slow",
      until: world.passed(TIMES.permitMs),
    });
    expect(await asked.fenced.isKept()).toBe(true);
    const deletions = proxy.requests.filter(({ operation }) => operation === "DeleteObjects");
    expect([late.hits, deletions.length]).toEqual([1, 4]);
    asked.close();
    await proxy.close();
  });

  it("is asked whether it refuses deletes that come too late, and Amazon is not", async () => {
    const world = await bucketWorld(server, { versioned: false });
    const calls: S3Call[] = [];
    const budget = new MemoryBudget(16 * 1024 * 1024, 1000);
    const settings = s3Settings(world.access, world.bucket);
    const asked = new S3Driver(settings, budget, undefined, (call) => calls.push(call));
    expect(await asked.fenced.isKept()).toBe(true);
    asked.close();
    expect(calls.filter(({ operation }) => operation === "DeleteObjects")).toHaveLength(2);
    const { endpoint, ...amazon } = settings;
    expect(endpoint).toBe(world.access.endpoint);
    const driver = new S3Driver(amazon, budget, undefined, () => {
      throw new Error("nothing is asked of Amazon");
    });
    expect(await driver.fenced.isKept()).toBe(true);
    driver.close();
  });
});
