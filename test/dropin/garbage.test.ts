/** Their garbage collection and their purge of uploads, over a folder with everything in it that only we write. */
import { randomBytes } from "node:crypto";
import { access, mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { sha256, sha512, withQuery, type Api } from "../support/api.ts";
import { until } from "../support/process.ts";
import { collectGarbage, PEERS, startPeer } from "../support/peers.ts";
import { beside } from "./beside.ts";
import { expectServed, fill, makeManifest, pushMade } from "./content.ts";

const CHUNK = randomBytes(20_000);
const headers = { "Content-Type": "application/octet-stream", "Content-Length": String(CHUNK.byteLength) };

/** Opens an upload that holds bytes; gives where it goes on. */
async function openUpload(api: Api): Promise<string> {
  const location = await api.startUpload("ours/a");
  return (await api.expect(202, "PATCH", location, { headers, body: CHUNK })).headers.location ?? "";
}

/** The session goes on with all that it held. */
async function finishUpload(api: Api, location: string): Promise<void> {
  const next = (await api.expect(202, "PATCH", location, { headers, body: CHUNK })).headers.location ?? "";
  const whole = Buffer.concat([CHUNK, CHUNK]);
  await api.expect(201, "PUT", withQuery(next, "digest", sha256(whole)), { headers: { "Content-Length": "0" } });
  expect(await api.hashBlob("ours/a", sha256(whole))).toEqual({ digest: sha256(whole), size: whole.byteLength });
}

describe.each(PEERS)("$name", (kind) => {
  const place = beside(kind);

  /** Our content, sha512 too, an open upload, and what a killed process of ours leaves. Our server has ended then. */
  const prepare = async () => {
    const ours = await place.startOurs();
    const content = await fill(ours.api, "ours");
    const modern = makeManifest({ algorithm: "sha512" });
    await pushMade(ours.api, "ours/a", modern, modern.digest);
    const location = await openUpload(ours.api);
    for (const folder of ["tmp", "claims"]) {
      await mkdir(path.join(place.root, ".lading", folder), { recursive: true });
      await writeFile(path.join(place.root, ".lading", folder, "left-behind"), "x");
    }
    // The index of the catalog, which a registry on object storage writes; the last one has no repository any more.
    const catalog = path.join(place.root, "docker/registry/v2/_catalog");
    for (const name of [...(await ours.api.catalog()), "ours/gone"]) {
      const file = path.join(catalog, "repositories", `${name}!`);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, "");
    }
    await writeFile(path.join(catalog, "complete"), "2026-01-02T03:04:05.000Z");
    const entries = (await readdir(catalog, { recursive: true })).sort();
    const found = await readdir(place.root, { recursive: true });
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
      expect((await readdir(catalog, { recursive: true })).sort()).toEqual(entries);
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
    for (const digest of [made.digest, ...made.blobs.map(sha256)]) {
      const hex = digest.slice("sha256:".length);
      const file = path.join(place.root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
      await expect(access(file)).rejects.toThrow("ENOENT");
    }
    await expectAll();
  });

  test("its purge of uploads leaves a young session of ours as it is, and takes an old one whole", async () => {
    const { ours, expectAll } = await prepare();
    const old = await openUpload(ours.api);
    const folder = path.join(place.root, "docker/registry/v2/repositories/ours/a/_uploads", path.basename(old));
    await writeFile(path.join(folder, "startedat"), "2020-01-02T03:04:05Z");
    const past = new Date("2020-01-02T03:04:05Z");
    for (const name of await readdir(folder)) await utimes(path.join(folder, name), past, past);
    // It waits for a random number of minutes first, of 60: some run has to draw none.
    const { root, folder: own } = place.peerOptions();
    const purged = async (): Promise<boolean> =>
      await access(folder).then(
        () => false,
        () => true,
      );
    await until(
      "a run purges",
      async () => {
        const peer = await startPeer(kind, { root, folder: own, purgeOlderThan: "1h" });
        try {
          if (!peer.lines.some((line) => line.includes("Starting upload purge in 0s"))) return false;
          await until("the old upload is gone", purged);
          return true;
        } finally {
          await peer.stop();
        }
      },
      200_000,
    );
    await ours.api.expect(404, "GET", old);
    await expectAll();
  });
});
