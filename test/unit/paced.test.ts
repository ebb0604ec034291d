/** A driver whose caller rests, in a time that only passes by calls, by the caller's work, and by rests. */
import { describe, expect, it } from "vitest";
import { withEach } from "../../shared/storage/around.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { paced } from "../../shared/storage/paced.ts";

const CALL_MS = 5;

class World {
  readonly rests: number[] = [];
  now = 0;
  underWay = 0;
  isResting = false;

  /** Each call takes its time, others pass theirs meanwhile, and none may meet a rest. */
  driver(share: number, callMs = CALL_MS): StorageDriver {
    const store = withEach(new MemoryDriver(), async (_, work) => {
      expect(this.isResting).toBe(false);
      this.underWay++;
      await new Promise(setImmediate);
      this.now += callMs;
      this.underWay--;
      return await work();
    });
    const pause = async (ms: number): Promise<void> => {
      expect(this.underWay).toBe(0);
      this.isResting = true;
      await new Promise(setImmediate);
      this.rests.push(ms);
      this.now += ms;
      this.isResting = false;
    };
    return paced(store, share, { elapsed: () => this.now, pause });
  }

  get rested(): number {
    return this.rests.reduce((sum, ms) => sum + ms, 0);
  }
}

describe("a driver with a pace", () => {
  it.each([0.05, 0.1, 0.5, 0.99, 1])(
    "works for %f of the time, in which its caller's own work counts",
    async (share) => {
      const world = new World();
      const driver = world.driver(share);
      for (let call = 0; call < 20; call++) {
        await driver.head("key");
        world.now += 2 * CALL_MS;
      }
      const worked = world.now - world.rested;
      await driver.head("key"); // the last rest is before it
      expect(worked / (worked + world.rested)).toBeCloseTo(share, 5);
    },
  );

  it("begins no call in a rest, and rests when none is under way, whoever calls at once", async () => {
    const world = new World();
    const driver = world.driver(0.5);
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let call = 0; call < 10; call++) await driver.put("key", Buffer.from("x"));
      }),
    );
    expect(world.rests.length).toBeGreaterThan(1);
    const worked = world.now - world.rested;
    expect(worked).toBe(16 * 10 * CALL_MS);
  });

  it("rests no longer than five seconds, however long a call took", async () => {
    const world = new World();
    const driver = world.driver(0.01, 60_000);
    await driver.head("key");
    await driver.head("key");
    expect(world.rests).toEqual([5000]);
  });

  it("goes on after a call that failed", async () => {
    const world = new World();
    const driver = world.driver(0.5, 30);
    await driver.put("key", Buffer.from("x"));
    for (let call = 0; call < 3; call++) {
      await expect(driver.put("key", Buffer.from("x"), { ifNoneMatch: "*" })).rejects.toThrow("key");
    }
    expect(world.rests).toEqual([30, 30, 30]);
  });
});
