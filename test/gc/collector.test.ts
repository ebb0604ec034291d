import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { undo } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { withEach } from "../../shared/storage/around.ts";
import { listKeys, type FencedDeletes } from "../../shared/storage/driver.ts";
import { observed } from "../../shared/storage/observed.ts";
import { withFaults } from "../support/faults.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "library/a";
const B = "library/b";

describe("what nothing references", () => {
  it("goes with its links after two runs, and nothing else does", async () => {
    const world = new World();
    const image = await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "garbage");
    await world.blob(B, "garbage");
    world.age();
    const before = await world.keys();
    const [first, second] = await world.collectTwice();
    expect(first).toMatchObject({
      outcome: "done",
      eligible: 1,
      eligibleBytes: 7,
      condemned: 1,
      deleted: 0,
      blobs: 4,
      marked: 3,
    });
    expect(second).toMatchObject({
      outcome: "done",
      eligible: 1,
      condemned: 0,
      deleted: 1,
      deletedBytes: 7,
      lost: 0,
      refused: 0,
    });
    const links = [A, B].map((name) => layout.layerLink(nameOf(name), garbage));
    expect(await world.keys()).toEqual(before.filter((key) => ![layout.blob(garbage), ...links].includes(key)));
    expect(await world.has(image.digest)).toBe(true);
  });

  it("stays until the horizon, whichever of its objects is young", async () => {
    for (const young of ["data", "link", "neither"]) {
      const world = new World();
      await world.image(A, ["layer"], { tag: "latest" });
      const garbage = await world.blob(A, "garbage");
      world.time += TIMES.horizonMs;
      if (young === "data") await world.driver.put(layout.blob(garbage), Buffer.from("garbage"));
      if (young === "link") await writeLink(world.driver, layout.layerLink(nameOf(A), garbage), garbage);
      expect((await world.collect()).eligible, young).toBe(0); // of exactly that age it is not older
      world.time += 1000;
      expect((await world.collect()).eligible, young).toBe(young === "neither" ? 1 : 0);
    }
  });

  it("stays as long as its mark was not condemned for SETTLE before the run began", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "garbage");
    world.age();
    await world.collector().run();
    world.time += TIMES.settleMs - 1;
    await world.collector().run();
    expect(await world.has(garbage)).toBe(true);
    world.time += 1001;
    await world.collector().run();
    expect(await world.has(garbage)).toBe(false);
  });

  it("is not taken when it is referenced before the second run; its mark is cleared and goes", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const garbage = await world.blob(A, "wanted again");
    world.age();
    await world.collect();
    await world.image(A, ["wanted again"], { tag: "again" });
    expect((await world.collect()).deleted).toBe(0);
    expect(await world.has(garbage)).toBe(true);
    expect(await world.marks()).toEqual(["cleared"]);
    await world.collect();
    expect(await world.marks()).toEqual([]);
  });

  it("includes the bytes and layers of a manifest that was deleted", async () => {
    const world = new World();
    await world.image(A, ["base", "one"], { tag: "one" });
    const two = await world.image(A, ["base", "two"]);
    await world.deleteManifest(A, two.digest);
    world.age();
    await world.collectTwice();
    expect(await world.has(two.digest)).toBe(false);
    expect(await Promise.all(two.blobs.map(async (blob) => await world.has(blob)))).toEqual([true, true, false]);
  });

  it("includes entries of referrers that are gone", async () => {
    const world = new World();
    const { digest: subject } = await world.image(A, ["layer"], { tag: "latest" });
    const [gone, there] = [await world.referrer(A, subject, "gone"), await world.referrer(A, subject, "there")];
    await world.deleteManifest(A, gone);
    world.age();
    await world.collectTwice();
    const entries = (await world.keys()).filter((key) => key.includes("/_referrers/"));
    expect(entries).toEqual([layout.referrerLink(nameOf(A), subject, there)]);
  });

  it("includes abandoned uploads", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const session = `${layout.uploads(A)}0b5e6a1c-7a44-8d5e-9c5e-0f6a4b2f3c11/`;
    await world.driver.put(`${session}startedat`, Buffer.from("2026-01-01T00:00:00Z"));
    await world.driver.put(`${session}state`, Buffer.from("{}"));
    world.age();
    expect((await world.collect()).uploads).toBe(0);
    world.time += 8 * 24 * 60 * 60 * 1000;
    expect(await world.collect()).toMatchObject({ uploads: 1, uploadBytes: 22 });
    expect((await world.keys()).filter((key) => key.startsWith(session))).toEqual([]);
  });
});

describe("what is kept", () => {
  it("are children of indexes at any depth, and what schema 1 and unknown manifests name", async () => {
    const world = new World();
    const child = await world.image(A, ["child"]);
    const inner = await world.index(A, [child.digest]);
    const outer = await world.index(A, [inner], "multi");
    const old = await world.blob(A, "schema 1 layer");
    await world.manifest(A, { schemaVersion: 1, fsLayers: [{ blobSum: old }], signatures: [] }, "old");
    const artifact = await world.blob(A, "artifact");
    await world.manifest(
      A,
      { mediaType: "application/vnd.example+json", things: { deep: [`x@${artifact}`] } },
      "other",
    );
    world.age();
    const before = await world.keys();
    const [first] = await world.collectTwice({ retention: deleteUntagged });
    expect(first).toMatchObject({ outcome: "done", eligible: 0, eligibleManifests: 0 });
    expect(await world.keys()).toEqual(before);
    expect(await world.hasRevision(A, outer)).toBe(true);
  });

  it("is content that older registries stored under its sha256 though it is named by sha512", async () => {
    const world = new World();
    const bytes = Buffer.from("by another name");
    const [stored, alias] = [digestOf("sha256", bytes), digestOf("sha512", bytes)];
    await world.driver.put(layout.blob(stored), bytes);
    await writeLink(world.driver, layout.layerLink(nameOf(A), stored), stored);
    await writeLink(world.driver, layout.layerLink(nameOf(A), alias), stored);
    const config = await world.blob(A, "{}");
    const descriptor = (digest: Digest) => ({ mediaType: "application/octet-stream", digest, size: 2 });
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor(config),
      layers: [descriptor(alias)],
    };
    const digest = await world.manifest(A, manifest, "latest");
    await world.image(A, ["other"], { tag: "other" });
    // The signature of a schema 1 manifest, which is gone, is read before that link.
    const signature = digestOf("sha256", Buffer.from("signature"));
    const revision = layout.revisionLink(nameOf("a"), config).replace(/link$/, "");
    await writeLink(world.driver, `${revision}signatures/${signature.replace(":", "/")}/link`, signature);
    world.age();
    await world.collectTwice();
    expect(await world.has(stored)).toBe(true);
    await world.deleteManifest(A, digest);
    await world.collectTwice();
    expect(await world.has(stored)).toBe(false);
    expect((await world.keys()).filter((key) => key.includes("sha512"))).toEqual([]);
  });
});

describe("untagged manifests", () => {
  it("stay unless asked", async () => {
    const world = new World();
    const { digest } = await world.image(A, ["layer"]);
    world.age();
    expect((await world.collectTwice())[1].eligibleManifests).toBe(0);
    expect(await world.hasRevision(A, digest)).toBe(true);
  });

  it("go where asked, with their blobs two runs later; tagged ones, children and signatures of what lives stay", async () => {
    const world = new World();
    const tagged = await world.image(A, ["tagged"], { tag: "latest" });
    const child = await world.image(A, ["child"]);
    await world.index(A, [child.digest], "multi");
    const signature = await world.referrer(A, child.digest, "signature of a child");
    const untagged = await world.image(A, ["untagged"]);
    world.age();
    const runs = await world.collectTwice({ retention: deleteUntagged });
    expect(runs[0]).toMatchObject({ eligibleManifests: 1, deletedManifests: 0 });
    expect(runs[1]).toMatchObject({ eligibleManifests: 1, deletedManifests: 1, deleted: 0 });
    expect(await world.hasRevision(A, untagged.digest)).toBe(false);
    for (const digest of [tagged.digest, child.digest, signature])
      expect(await world.hasRevision(A, digest)).toBe(true);
    await world.collectTwice({ retention: deleteUntagged });
    expect(await world.has(untagged.blobs[1] as Digest)).toBe(false);
    expect(await world.has(untagged.digest)).toBe(false);
  });

  it("go parents first: a child and a signature only once theirs is gone", async () => {
    const world = new World();
    await world.image(A, ["tagged"], { tag: "latest" });
    const child = await world.image(A, ["child"]);
    const index = await world.index(A, [child.digest]);
    const signature = await world.referrer(A, index, "signature");
    world.age();
    await world.collect({ retention: deleteUntagged });
    // Somebody wants the index: its mark is cleared before the sweep.
    await world.driver.put(
      layout.revisionMark(nameOf(A), index),
      Buffer.from(JSON.stringify({ state: "cleared", nonce: "00000000-0000-0000-0000-000000000000" })),
    );
    const kept = await world.collect({ retention: deleteUntagged });
    expect(kept.deletedManifests).toBe(0);
    for (const digest of [child.digest, index, signature]) expect(await world.hasRevision(A, digest)).toBe(true);
    expect((await world.collect({ retention: deleteUntagged })).deletedManifests).toBe(3);
    expect((await world.keys()).filter((key) => key.includes("/_referrers/"))).toEqual([]);
  });
});

describe("permits", () => {
  it("of those that nobody ends are ended after the last mark was listed; the one to delete marks is opened before", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const calls: string[] = [];
    const watched = withFaults(world.driver, ({ operation, key }) => {
      if (operation !== "revoke" || key === "") calls.push(`${operation} ${key.replace("docker/registry/v2/", "")}`);
      return "pass";
    });
    await world.collector({}, watched).run();
    const first = calls.findIndex((call) => call.startsWith("open permit "));
    expect(calls.slice(first, first + 7).map((call) => call.replace(/permit .*/, "permit"))).toEqual([
      "open permit",
      "list _gc/marks/blobs/",
      "open permit",
      "list _gc/marks/revisions/",
      "open permit",
      "list _gc/marks/tags/",
      "revoke ",
    ]);
    expect(calls.filter((call) => call === "revoke ")).toHaveLength(1);
  });
});

describe("requests under way at once", () => {
  const manyThings = async (): Promise<World> => {
    const world = new World();
    for (let i = 0; i < 60; i++) {
      await world.image(A, [`layer ${i}`], i % 2 === 0 ? { tag: `t${i}` } : {});
      await world.blob(A, `garbage ${i}`);
    }
    world.age();
    return world;
  };

  it.each([
    [1, 1],
    [3, 3],
    [undefined, 32],
    [1000, 32],
  ])("are with a concurrency of %s never more than %i, and all is done", async (concurrency, most) => {
    const world = await manyThings();
    let underWay = 0;
    let seen = 0;
    const counting = withEach(world.driver, async (_, work) => {
      seen = Math.max(seen, ++underWay);
      await setImmediate();
      try {
        return await work();
      } finally {
        underWay--;
      }
    });
    const options = { retention: deleteUntagged, concurrency };
    for (let run = 0; run < 4; run++) expect((await world.collect(options, counting)).outcome).toBe("done");
    expect(seen).toBe(most);
    const whole = await manyThings();
    for (let run = 0; run < 4; run++) await whole.collect({ retention: deleteUntagged });
    expect(await world.keys()).toEqual(await whole.keys());
  });

  it.each([
    ["being few", { concurrency: 2 }, [31, 29]],
    ["with rests between", { share: 0.25 }, [31, 29]],
  ])("%s, a permit is for fewer deletes, so that they are done in its time", async (_, options, batches) => {
    const world = await manyThings();
    const deletes: number[] = [];
    const watched = observed(world.driver, () => undefined);
    const fenced: FencedDeletes = {
      ...watched.fenced,
      delete: async (items) => {
        if (items.some(({ key }) => key.startsWith(layout.blobs))) deletes.push(items.length);
        return await watched.fenced.delete(items);
      },
    };
    for (let run = 0; run < 2; run++) await world.collect(options, { ...watched, fenced });
    expect(deletes).toEqual(batches);
  });
});

describe("the references of manifests", () => {
  it("are remembered: a second night reads only manifests that are new", async () => {
    const world = new World();
    for (let i = 0; i < 20; i++) await world.image(A, [`layer ${i}`], { tag: `t${i}` });
    world.age();
    expect(await world.collect()).toMatchObject({ manifestsRead: 20, manifestsRemembered: 0 });
    await world.image(A, ["new"], { tag: "new" });
    expect(await world.collect()).toMatchObject({ manifestsRead: 1, manifestsRemembered: 20, eligible: 0 });
    for await (const { key } of listKeys(world.driver, layout.gcReferences)) {
      await world.driver.put(key, Buffer.from("damaged"));
    }
    expect(await world.collect()).toMatchObject({ manifestsRead: 21, manifestsRemembered: 0, eligible: 0 });
  });

  it("lie in few segments, in which what is gone is forgotten", async () => {
    const world = new World();
    for (let i = 0; i < 40; i++) {
      const { digest } = await world.image(A, [`layer ${i}`], { tag: `t${i}` });
      await world.collect();
      if (i % 2 === 0) await world.deleteManifest(A, digest);
    }
    const keys = [];
    for await (const { key } of listKeys(world.driver, layout.gcReferences)) keys.push(key);
    expect(keys.length).toBeLessThan(20);
    expect(await world.collect()).toMatchObject({ manifestsRead: 0, manifestsRemembered: 20 });
  });
});

describe("undo", () => {
  it("brings back what a run deleted, byte for byte, and the next runs leave it alone for the horizon", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const subject = await world.image(A, ["untagged"]);
    await world.referrer(A, subject.digest, "signature");
    await world.blob(A, "garbage");
    await world.blob(B, "garbage");
    world.age();
    const before = await world.keys();
    const [, second] = await world.collectTwice({ retention: deleteUntagged });
    expect(second).toMatchObject({ deleted: 1, deletedManifests: 2, undoable: true });
    expect(await world.keys()).not.toEqual(before);
    expect(await undo(world.driver, second.run, TIMES)).toMatchObject({
      blobs: 1,
      manifests: 2,
      bytes: 7,
      missing: [],
    });
    expect(await world.keys()).toEqual(before);
    for (const { outcome } of await world.collectTwice({ retention: deleteUntagged })) expect(outcome).toBe("done");
    expect(await world.keys()).toEqual(before);
  });

  it("says what is not kept any more, and which run has to be undone first", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    const untagged = await world.image(A, ["untagged"]);
    world.age();
    const before = await world.keys();
    const [, manifests] = await world.collectTwice({ retention: deleteUntagged });
    const [, blobs] = await world.collectTwice({ retention: deleteUntagged });
    expect(blobs.deleted).toBe(2);
    const { missing } = await undo(world.driver, manifests.run, TIMES);
    expect(missing).toEqual([
      {
        digest: untagged.digest,
        repository: A,
        reason: `its bytes are gone: undo the later run ${blobs.run} that took them first`,
      },
    ]);
    await undo(world.driver, blobs.run, TIMES);
    expect((await undo(world.driver, manifests.run, TIMES)).missing).toEqual([]);
    expect(await world.keys()).toEqual(before);
  });

  it("is over when what was deleted is older than it is kept", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    await world.blob(A, "garbage");
    world.age();
    const [, second] = await world.collectTwice({ trashMs: 60 * 60 * 1000 });
    world.time += 2 * 60 * 60 * 1000;
    await world.collect({ trashMs: 60 * 60 * 1000 });
    expect((await undo(world.driver, second.run, TIMES)).missing).toMatchObject([
      { reason: "its bytes are not kept any more" },
    ]);
  });
});
