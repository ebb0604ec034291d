/** Links that lead nowhere: of pushes that were too late for a run and died, or of registries that delete bytes alone. */
import { describe, expect, it } from "vitest";
import { undo } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { listKeys } from "../../shared/storage/driver.ts";
import { createTestApp } from "../support/app.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { nameOf, TIMES, withoutTrash, World } from "./support.ts";

const A = "library/a";
const B = "library/b";

/** As a push leaves it that was too late for a run, and died. */
async function linkAlone(world: World, ...repositories: readonly string[]): Promise<Digest> {
  const digest = digestOf("sha256", Buffer.from("alone"));
  for (const name of repositories) await writeLink(world.driver, layout.layerLink(nameOf(name), digest), digest);
  return digest;
}
const isLinked = async (world: World, repository: string, digest: Digest): Promise<boolean> =>
  (await world.driver.head(layout.layerLink(nameOf(repository), digest))) !== undefined;

describe("a link without bytes", () => {
  it("goes as a blob does, in all repositories, and nothing else does", async () => {
    const world = new World();
    const image = await world.image(A, ["layer"], { tag: "latest" });
    const before = await world.keys();
    const digest = await linkAlone(world, A, "only/links", B);
    world.age();
    const events: object[] = [];
    const report = (event: { kind: string }) => event.kind !== "marked" && events.push(event);
    const [first, second] = await world.collectTwice({ report });
    const reason = "nothing refers to it, and its links lead nowhere";
    const none = { blobs: 1, bytes: 0, manifests: 0, tags: 0 };
    expect(first).toMatchObject({ outcome: "done", eligible: 1, eligibleBytes: 0, condemned: 1, blobs: 3, marked: 3 });
    expect(first).toMatchObject({ fresh: none, young: { blobs: 0, bytes: 0 }, incomplete: 0 });
    expect(second).toMatchObject({ outcome: "done", deleted: 1, deletedBytes: 0, lost: 0, refused: 0 });
    expect(events).toEqual([
      { kind: "eligible", digest, size: 0, due: "once condemned", reason },
      { kind: "eligible", digest, size: 0, due: "now", reason },
      { kind: "deleted", digest, size: 0, reason },
    ]);
    expect(await world.keys()).toEqual(before);
    expect(await world.has(image.digest)).toBe(true);
    expect(await world.marks()).toEqual(["swept"]);
    expect(await world.collect()).toMatchObject({ eligible: 0 });
    expect(await world.marks()).toEqual([]);
  });

  it("stays until the horizon, wherever one of the same digest is young", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    await linkAlone(world, A);
    world.time += TIMES.horizonMs;
    const digest = await linkAlone(world, B);
    world.time += 2000;
    expect(await world.collect()).toMatchObject({ eligible: 0, young: { blobs: 0, bytes: 0 } });
    world.age();
    await world.collectTwice();
    for (const name of [A, B]) expect(await isLinked(world, name, digest)).toBe(false);
  });

  it("stays where a manifest of any repository refers to it, which is counted as incomplete", async () => {
    const world = new World();
    const { digest: manifest, blobs } = await world.image(A, ["lost"], { tag: "latest" });
    const lost = blobs[1] as Digest;
    await writeLink(world.driver, layout.layerLink(nameOf(B), lost), lost);
    await world.driver.delete(layout.blob(lost));
    world.age();
    for (let night = 0; night < 3; night++) {
      expect(await world.collect()).toMatchObject({ outcome: "done", eligible: 0, incomplete: 1, blobs: 2, marked: 2 });
    }
    for (const name of [A, B]) expect(await isLinked(world, name, lost)).toBe(true);
    await world.deleteManifest(A, manifest);
    await world.collectTwice();
    for (const name of [A, B]) expect(await isLinked(world, name, lost)).toBe(false);
  });

  it("stays where a manifest refers to it that came after the blobs were listed", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const digest = await linkAlone(world, A);
    world.age();
    let isPushed = false;
    const pushing = withFaults(world.driver, async ({ operation, key }): Promise<Verdict> => {
      if (operation === "list" && key === layout.repositories && !isPushed) {
        isPushed = true;
        const layers = [{ mediaType: "application/octet-stream", digest, size: 5 }];
        await world.manifest(B, { schemaVersion: 2, mediaType: OCI_MANIFEST, layers }, "young");
      }
      return "pass";
    });
    expect(await world.collect({}, pushing)).toMatchObject({ outcome: "done", eligible: 0 });
    expect(isPushed).toBe(true);
  });

  it("stays where somebody brings its bytes, whenever that is in the second run, and so do they", async () => {
    const statuses: number[] = [];
    for (let at = 1; statuses.length === at - 1; at++) {
      const world = new World();
      await world.image(A, ["layer"], { tag: "latest" });
      const digest = await linkAlone(world, A, B);
      world.age();
      await world.collect();
      const { send } = createTestApp(world.driver, {
        registry: { times: TIMES, now: () => new Date(world.time), pause: async () => await Promise.resolve() },
      });
      const pushing = withFaults(world.driver, async ({ index }): Promise<Verdict> => {
        if (index === at) {
          const reply = await send("POST", `/v2/${A}/blobs/uploads/?digest=${digest}`, { body: "alone" });
          statuses.push(reply.status);
        }
        return "pass";
      });
      expect((await world.collect({}, pushing)).outcome, `at call ${at}`).toBe("done");
      const status = statuses[at - 1];
      if (status === undefined) break; // the run has fewer calls
      // Refused it is while the run deletes the links: then nothing was written.
      const isThere = [await isLinked(world, A, digest), await world.has(digest)];
      expect({ at, status, isThere }).toEqual(
        status === 201 ? { at, status, isThere: [true, true] } : { at, status: 429, isThere: [false, false] },
      );
    }
    expect(statuses.length).toBeGreaterThan(20);
    expect([...new Set(statuses)].sort()).toEqual([201, 429]);
  });

  it("leaves alone bytes that came after the blobs were listed: they go by themselves", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const digest = await linkAlone(world, A);
    world.age();
    await world.collect();
    // Somebody who read the mark long ago, and dies before the link.
    const writing = withFaults(world.driver, async ({ operation, key }): Promise<Verdict> => {
      if (operation === "list" && key === layout.repositories) {
        await world.driver.put(layout.blob(digest), Buffer.from("alone"));
      }
      return "pass";
    });
    expect(await world.collect({}, writing)).toMatchObject({ deleted: 1, deletedBytes: 0 });
    expect([await isLinked(world, A, digest), await world.has(digest)]).toEqual([false, true]);
    world.age();
    await world.collectTwice();
    expect(await world.has(digest)).toBe(false);
  });

  it("goes when the run that began to delete it died, at whichever call", async () => {
    let calls = 0;
    for (let at = 1; calls >= at - 1; at++) {
      const world = new World();
      await world.image(A, ["layer"], { tag: "latest" });
      const before = await world.keys();
      await linkAlone(world, A, B, "c");
      world.age();
      await world.collect();
      const dying = withFaults(world.driver, ({ index }) => {
        calls = Math.max(calls, Math.min(index, at));
        return index < at ? "pass" : index % 2 === 0 ? "before" : "after";
      });
      await world.collect({}, dying).catch(() => undefined);
      world.time += TIMES.settleMs;
      for (let run = 0; run < 3; run++) await world.collect();
      expect(await world.keys(), `at call ${at}`).toEqual(before);
      expect(await world.marks(), `at call ${at}`).toEqual([]);
    }
    expect(calls).toBeGreaterThan(20);
  });

  it("is not brought back, nor missed, when its run is undone, and nothing of it is set aside", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    await world.blob(A, "garbage");
    const before = await world.keys();
    await linkAlone(world, A, B);
    world.age();
    const driver = withoutTrash(world.driver);
    await world.collect({ setAside: true }, driver);
    const { run, deleted } = await world.collect({ setAside: true }, driver);
    expect(deleted).toBe(2);
    const aside: string[] = [];
    for await (const { key } of listKeys(world.driver, layout.gcTrash)) aside.push(key);
    expect(aside).toEqual([expect.stringContaining(layout.blob(digestOf("sha256", Buffer.from("garbage"))))]);
    const told: string[] = [];
    const undone = await undo(driver, run, TIMES, ({ entry }) => told.push(entry.digest));
    expect(undone).toMatchObject({ blobs: 1, manifests: 0, bytes: 7, there: 0, missing: [] });
    expect(told).toEqual([digestOf("sha256", Buffer.from("garbage"))]);
    expect(await world.keys()).toEqual(before);
  });

  it("stays where older registries stored its content under another digest that has none", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const digest = await linkAlone(world, A);
    const alias = digestOf("sha512", Buffer.from("alone"));
    await writeLink(world.driver, layout.layerLink(nameOf(A), alias), digest);
    world.age();
    const before = await world.keys();
    await world.collectTwice();
    expect(await world.keys()).toEqual(before);
  });

  it("goes by sha512 as well", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const before = await world.keys();
    const digests = ["alone", "too"].map((text) => digestOf("sha512", Buffer.from(text)));
    await linkAlone(world, A);
    for (const digest of digests) await writeLink(world.driver, layout.layerLink(nameOf(B), digest), digest);
    world.age();
    expect((await world.collectTwice())[1]).toMatchObject({ eligible: 3, deleted: 3 });
    expect(await world.keys()).toEqual(before);
  });
});
