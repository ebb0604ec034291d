/** A run in steps of a bounded time, by one process or several after each other. */
import { describe, expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { listKeys } from "../../shared/storage/driver.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "library/a";

describe("a run in steps", () => {
  it("goes on from what was kept, at every step, and ends as one in one go", async () => {
    const fill = async (): Promise<World> => {
      const world = new World();
      for (let i = 0; i < 30; i++)
        await world.image(`r/${i % 5}`, ["base", `layer ${i}`], i % 3 === 0 ? {} : { tag: `t${i}` });
      for (let i = 0; i < 40; i++) await world.blob(`r/${i % 5}`, `garbage ${i}`);
      for (let i = 0; i < 40; i++) {
        const alone = digestOf("sha256", Buffer.from(`alone ${i}`));
        for (const r of [i % 5, (i + 1) % 5]) {
          await writeLink(world.driver, layout.layerLink(nameOf(`r/${r}`), alone), alone);
        }
      }
      world.age();
      return world;
    };
    const [whole, stepped] = [await fill(), await fill()];
    await whole.collectTwice({ retention: deleteUntagged });
    let steps = 0;
    for (let run = 0; run < 2; run++) {
      // A clock on which each look is a millisecond: a step ends after a few of them.
      let ticks = 0;
      for (;;) {
        const outcome = await stepped.collector({ retention: deleteUntagged, elapsed: () => ticks++ }).step({ ms: 3 });
        steps++;
        if (outcome.state === "done") break;
        expect(outcome.state).toBe("more");
      }
      stepped.time += TIMES.settleMs + 60_000;
    }
    expect(steps).toBeGreaterThan(10);
    expect(await stepped.keys()).toEqual(await whole.keys());
    const all = (await whole.keys()).filter((key) => key.includes("/_layers/"));
    expect(all.length).toBeGreaterThan(0);
    for (const link of all) {
      const [algorithm, hex] = link.split("/").slice(-3);
      expect(await whole.has(`${algorithm}:${hex}` as Digest), link).toBe(true);
    }
    const left: string[] = [];
    for await (const { key } of listKeys(stepped.driver, layout.gcRuns)) left.push(key.replace(/.*runs\/[^/]*\//, ""));
    const batch = (number: number): unknown =>
      expect.stringMatching(`^journal/\\d{8}T\\d{9}Z-00000${number}-[-0-9a-f]{36}$`);
    expect(left.sort()).toEqual([batch(0), batch(1), "summary", "summary"]);
  });

  it("is not begun while another has the lease", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    let ticks = 0;
    const first = await world.collector({ elapsed: () => ticks++ }).step({ ms: 4 });
    expect(first.state).toBe("more");
    const lease = JSON.parse(Buffer.from((await world.driver.read(layout.gcLease, 1e6)) ?? []).toString()) as object;
    const until = world.time + 60_000;
    await world.driver.put(layout.gcLease, Buffer.from(JSON.stringify({ ...lease, holder: "another", until })));
    expect(await world.collector().step({ ms: 1000 })).toEqual({ state: "busy", until: new Date(until) });
    world.time = until;
    expect((await world.collector().step({ ms: 1000 })).state).toBe("done");
  });

  it("of a dry run changes nothing and says what would go", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "garbage");
    world.age();
    const all = async () => {
      const keys = [];
      for await (const { key } of listKeys(world.driver, "")) keys.push(key);
      return keys.filter((key) => !key.includes("/_gc/references/"));
    };
    const before = await all();
    const events: object[] = [];
    const summary = await world.collect({
      dryRun: true,
      report: (event) => event.kind !== "marked" && events.push(event),
    });
    expect(summary).toMatchObject({ dryRun: true, eligible: 1, condemned: 0, deleted: 0 });
    expect(events).toEqual([
      { kind: "eligible", digest: garbage, size: 7, due: "once condemned", reason: "nothing refers to it" },
    ]);
    expect(await all()).toEqual(before);
  });
});
