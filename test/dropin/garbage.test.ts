/** Their garbage collection, over a storage with everything in it that only we write. */
import { describe, expect, test } from "vitest";
import { sha256, sha512 } from "../support/api.ts";
import { collectGarbage } from "../support/peers.ts";
import { beside, PAIRS } from "./beside.ts";
import { expectServed, fill, finishUpload, makeManifest, openUpload, pushMade } from "./content.ts";

const CATALOG = "docker/registry/v2/_catalog/";

describe.each(PAIRS)("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  /** Our content, sha512 too, an open upload, and what a killed process of ours leaves. Our server has ended then. */
  const prepare = async () => {
    const ours = await place.startOurs();
    const content = await fill(ours.api, "ours");
    const modern = makeManifest({ algorithm: "sha512" });
    await pushMade(ours.api, "ours/a", modern, modern.digest);
    const location = await openUpload(ours.api, "ours/a");
    if (pair.storage.on === "folder") {
      for (const folder of ["tmp", "claims"]) await place.storage.write(`.lading/${folder}/left-behind`, "x");
      // The index of the catalog, which a registry on object storage writes; the last one has no repository any more.
      for (const name of [...(await ours.api.catalog()), "ours/gone"]) {
        await place.storage.write(`${CATALOG}repositories/${name}!`, "");
      }
      await place.storage.write(`${CATALOG}complete`, "2026-01-02T03:04:05.000Z");
    }
    await ours.api.catalog();
    const entries = await place.storage.keys(CATALOG);
    expect(entries.length).toBeGreaterThan(4);
    const found = await place.storage.keys();
    expect(found.some((name) => name.includes("/_referrers/"))).toBe(true);
    expect(found.some((name) => /\/_uploads\/.*\/state$/.test(name))).toBe(true);
    const expectAll = async (): Promise<void> => {
      const again = await place.startOurs();
      await expectServed(again.api, content);
      expect((await again.api.manifest("ours/a", modern.digest)).body.equals(modern.bytes)).toBe(true);
      for (const bytes of modern.blobs) {
        expect((await again.api.hashBlob("ours/a", sha512(bytes))).digest).toBe(sha512(bytes));
      }
      const { manifests } = (await again.api.json(`/v2/ours/a/referrers/${content.subject}`)) as {
        manifests: unknown[];
      };
      expect(manifests).toHaveLength(1);
      await finishUpload(again.api, location);
      const peer = await place.startPeer();
      await expectServed(peer.api, content);
      expect((await peer.api.catalog()).sort()).toEqual((await again.api.catalog()).sort());
      expect(await place.storage.keys(CATALOG)).toEqual(expect.arrayContaining(entries));
    };
    return { expectAll, ours };
  };

  test("garbage-collect --dry-run finds nothing eligible", async () => {
    await prepare();
    const { code, stdout } = await collectGarbage(kind, place.peerOptions(), "--dry-run");
    expect(stdout).toMatch(/\b[1-9]\d* blobs marked, 0 blobs and 0 manifests eligible for deletion/);
    expect(stdout).not.toContain("eligible for deletion:");
    expect(code).toBe(0);
  });

  test("garbage-collect takes nothing of ours: images, referrers and the open upload go on", async () => {
    const { expectAll } = await prepare();
    const { code, stdout, stderr } = await collectGarbage(kind, place.peerOptions());
    expect(`${stdout}\n${stderr}`).not.toMatch(/Deleting blob/);
    expect(code).toBe(0);
    await expectAll();
  });

  test("garbage-collect takes what we deleted, and only that", async () => {
    const { expectAll, ours } = await prepare();
    const made = makeManifest();
    await pushMade(ours.api, "ours/doomed", made, "v1");
    await ours.api.expect(202, "DELETE", `/v2/ours/doomed/manifests/${made.digest}`);
    const other = makeManifest();
    await pushMade(ours.api, "ours/doomed", other, "v1");
    const { code } = await collectGarbage(kind, place.peerOptions());
    expect(code).toBe(0);
    const kept = await place.storage.keys("docker/registry/v2/blobs/");
    for (const digest of [made.digest, ...made.blobs.map(sha256)]) {
      expect(kept.filter((key) => key.includes(digest.slice("sha256:".length)))).toEqual([]);
    }
    await expectAll();
  });
});
