/** A fault while marking: nothing is deleted, and the run says why. */
import { describe, expect, it } from "vitest";
import { readSummary } from "../../shared/gc/summary.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listKeys } from "../../shared/storage/driver.ts";
import { withFaults } from "../support/faults.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "library/a";
const B = "library/b";

describe("a fault while marking", () => {
  async function garbageWorld(): Promise<World> {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    await world.blob(A, "garbage");
    world.age();
    await world.collect();
    return world;
  }

  const broken: Record<string, (world: World) => Promise<unknown>> = {
    "a manifest that is no JSON": async (world) => await world.manifestBytes(A, Buffer.from("{not json")),
    "a manifest that is a list": async (world) => await world.manifestBytes(A, Buffer.from("[]")),
    "a manifest without bytes": async (world) =>
      await world.driver.delete(layout.blob(await world.manifest(A, { a: 1 }))),
    "a manifest that is too large": async (world) => await world.manifestBytes(A, Buffer.alloc(5_000_000, " ")),
    "an empty layer link": async (world) =>
      await world.driver.put(layout.layerLink(nameOf(A), await world.blob(A, "x")), new Uint8Array()),
    "an empty revision": async (world) =>
      await world.driver.put(layout.revisionLink(nameOf(A), await world.manifest(A, { a: 1 })), new Uint8Array()),
    "an upload of another registry": async (world) =>
      await world.driver.put(`${layout.uploads(A)}0b5e6a1c-7a44-4d5e-9c5e-0f6a4b2f3c11/startedat`, Buffer.from("x")),
    "no repositories": async (world) => {
      for await (const { key } of listKeys(world.driver, layout.repositories)) await world.driver.delete(key);
    },
  };

  it.each(Object.entries(broken))("%s: ends the run with its reason, and nothing is deleted", async (_, breakIt) => {
    const world = await garbageWorld();
    await breakIt(world);
    const before = await world.keys();
    const summary = await world.collect();
    expect(summary).toMatchObject({ outcome: "failed", deleted: 0, condemned: 0 });
    expect(summary.reason).toMatch(/\w+ .*\w+/);
    expect(await world.keys()).toEqual(before);
    expect(await readSummary(world.driver, summary.run)).toEqual(summary);
  });

  it("a manifest whose bytes are another's: nothing is deleted, nor remembered of it", async () => {
    const world = await garbageWorld();
    const { digest } = await world.image(B, ["needed"], { tag: "latest" });
    const bytes = Buffer.from((await world.driver.read(layout.blob(digest), Infinity)) ?? []);
    const damaged = Buffer.from(
      bytes.toString().replace(/sha256:(.)/g, (_, hex: string) => `sha256:${hex === "0" ? "1" : "0"}`),
    );
    await world.driver.put(layout.blob(digest), damaged);
    world.age();
    const needed = digestOf("sha256", Buffer.from("needed"));
    for (const dryRun of [true, false]) {
      const { outcome, reason, condemned } = await world.collect({ dryRun });
      expect({ outcome, condemned }).toEqual({ outcome: "failed", condemned: 0 });
      expect(reason).toContain(`manifest ${digest} cannot be read: its bytes are not its digest`);
    }
    await world.driver.put(layout.blob(digest), bytes);
    world.age();
    await world.collectTwice();
    expect([await world.has(needed), await world.has(digest)]).toEqual([true, true]);
  });

  it("is each failing call of the storage, and the next run does the work", async () => {
    for (let failing = 1; ; failing++) {
      const world = await garbageWorld();
      const before = await world.keys();
      let calls = 0;
      const marked: string[] = [];
      const faulty = withFaults(world.driver, ({ index, operation, key }) => {
        calls = index;
        if (operation === "put" && key.includes("/_gc/marks/")) marked.push(key);
        return index === failing ? "before" : "pass";
      });
      const outcome = await world
        .collector({}, faulty)
        .run()
        .catch((error: unknown) => error as Error);
      if (calls < failing) {
        expect(failing).toBeGreaterThan(20);
        break;
      }
      if (marked.length === 0) expect(await world.keys()).toEqual(before);
      expect(outcome).toSatisfy((it: object) => it instanceof Error || "run" in it);
      world.time += TIMES.settleMs + TIMES.takeoverMs;
      await world.collect();
      await world.collect();
      expect((await world.keys()).length, `failing ${failing}`).toBe(before.length - 2);
    }
  });

  it("of a push that relied on an old link without saying so: another registry writes here", async () => {
    const world = await garbageWorld();
    const { blobs } = await world.image(B, ["old layer"]);
    world.age();
    const [config, layer] = blobs.map((digest) => ({ mediaType: "application/octet-stream", digest, size: 2 }));
    await world.manifest(B, {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config,
      layers: [layer],
    });
    const refused = await world.collect();
    expect(refused).toMatchObject({ outcome: "failed", deleted: 0 });
    expect(refused.reason).toContain("another registry");
    expect((await world.collect({ force: true })).outcome).toBe("done");
    world.age();
    expect((await world.collect()).outcome).toBe("done");
  });
});
