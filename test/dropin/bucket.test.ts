/** What is so in a bucket alone, where a listing and an upload are not what they are in a folder. */
import { randomBytes } from "node:crypto";
import { ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { afterEach, describe, expect, test } from "vitest";
import { Registry } from "../../shared/registry/registry.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { sha256, withQuery, type Api } from "../support/api.ts";
import { collectGarbage, PEERS } from "../support/peers.ts";
import { s3Client } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { BUCKET, type Storage } from "../support/storage.ts";
import { beside } from "./beside.ts";
import { finishUpload, makeManifest, openUpload, pushMade } from "./content.ts";

const MIB = 1024 * 1024;
const HOUR = 3_600_000;
const ROOT = "docker/registry/v2/";
const opened: S3Driver[] = [];
afterEach(() => {
  for (const driver of opened.splice(0)) driver.close();
});

/** A registry of ours over the bucket, in this process, whose clock is ahead. */
function registryOver({ location }: Storage, aheadMs = 0): Registry {
  const { bucket } = location;
  if (bucket === undefined) throw new Error("no bucket");
  const driver = new S3Driver(s3Settings(bucket.access, bucket.name), new MemoryBudget(16 * MIB, 5000));
  opened.push(driver);
  const policy = { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true };
  return new Registry({ driver, policy, now: () => new Date(Date.now() + aheadMs), catalog: "index" });
}

/** Every page of `n` tags, as long as a Link leads on. */
async function everyTag(api: Api, repository: string, n: number): Promise<string[]> {
  const tags: string[] = [];
  let next: string | undefined = `/v2/${repository}/tags/list?n=${n}`;
  while (next !== undefined) {
    const { headers, body } = await api.expect(200, "GET", next);
    tags.push(...((JSON.parse(body.toString()) as { tags: string[] | null }).tags ?? []));
    next = /^<([^>]+)>/.exec(String(headers["link"] ?? ""))?.[1];
  }
  return tags;
}

/** Keys of multipart uploads that are open. */
async function multipartUploads({ location }: Storage): Promise<string[]> {
  if (location.bucket === undefined) throw new Error("no bucket");
  const client = s3Client(location.bucket.access);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: location.bucket.name }));
  client.destroy();
  return Uploads.map(({ Key = "" }) => Key);
}

describe.each(PEERS)("$name", (peerKind) => {
  const place = beside({ name: peerKind.name, peer: peerKind, storage: BUCKET, storesEmptyBlobs: false });

  describe("tags", () => {
    test(
      peerKind.losesTagsOnS3
        ? "that begin as another one are lost in its list, page by page, and not in ours"
        : "are the same in its list and in ours",
      async () => {
        const [ours, peer] = await place.start();
        const made = makeManifest();
        await pushMade(peer.api, "team/app", made, made.digest);
        const tags = ["1", "1-rc", "1.0", "10", "latest", "v1", "v1-rc", "v1.0", "v10", "v2"];
        for (const [i, tag] of tags.entries()) {
          const { api } = i % 2 === 0 ? peer : ours;
          expect((await api.putManifest("team/app", tag, made.bytes)).status).toBe(201);
        }
        for (const n of [1, 2, 3, 1000]) expect(await everyTag(ours.api, "team/app", n)).toEqual(tags);
        // It skips what begins with the text of a tag, for all that lies in its folder; and a store has `v1-rc/` before `v1/`.
        const lost = ["10", "v10"];
        const wrong = tags.filter((tag) => !lost.includes(tag)).sort();
        const listed = (await everyTag(peer.api, "team/app", 1000)).sort();
        expect(listed).toEqual(peerKind.losesTagsOnS3 ? wrong : tags);
        // All of them are there.
        for (const tag of tags) expect((await peer.api.manifest("team/app", tag)).digest).toBe(made.digest);
        // Asked for two at a time, it never goes back to what sorts before what it gave.
        if (peerKind.losesTagsOnS3) expect(await everyTag(peer.api, "team/app", 2)).not.toContain("v1");
      },
    );

    test("are all listed where there are more than a page of the store holds", async () => {
      const ours = await place.startOurs();
      const made = makeManifest();
      await pushMade(ours.api, "team/app", made, made.digest);
      const tags = Array.from({ length: 360 }, (_, i) => [`${i}`, `${i}-rc`, `${i}.x`]).flat();
      const folder = "docker/registry/v2/repositories/team/app/_manifests/tags";
      for (let i = 0; i < tags.length; i += 60) {
        const some = tags.slice(i, i + 60);
        await Promise.all(
          some.map(async (tag) => await place.storage.write(`${folder}/${tag}/current/link`, made.digest)),
        );
      }
      tags.sort();
      expect(tags.length).toBeGreaterThan(1000);
      for (const n of [100, 1000]) expect(await everyTag(ours.api, "team/app", n)).toEqual(tags);
    });
  });

  test("the catalog has what it pushed after a refresh, and has no more what it emptied", async () => {
    const [ours, peer] = await place.start();
    const made = makeManifest();
    const [first, second] = [makeManifest(), makeManifest()];
    await pushMade(ours.api, "ours/a", made, "v1");
    expect(await ours.api.catalog()).toEqual(["ours/a"]);
    await pushMade(peer.api, "theirs/emptied", made, "v1");
    await pushMade(peer.api, "theirs/kept", first, "v1");
    await pushMade(peer.api, "theirs/kept", second, "v1");
    expect(await ours.api.catalog()).toEqual(["ours/a"]);
    expect(await registryOver(place.storage).refreshCatalog({ ageMs: 0 })).toEqual({ added: 2, removed: 0 });
    expect(await ours.api.catalog()).toEqual(["ours/a", "theirs/emptied", "theirs/kept"]);

    await peer.api.expect(202, "DELETE", `/v2/theirs/emptied/manifests/${made.digest}`);
    await peer.stop();
    const { code } = await collectGarbage(peerKind, place.peerOptions(), "--delete-untagged");
    expect(code).toBe(0);
    await ours.api.expect(404, "GET", `/v2/theirs/kept/manifests/${first.digest}`);
    expect((await ours.api.manifest("theirs/kept", "v1")).digest).toBe(second.digest);
    // An entry that is young is left alone: a push may rely on it.
    expect(await registryOver(place.storage).refreshCatalog({ ageMs: 0 })).toEqual({ added: 0, removed: 0 });
    const later = registryOver(place.storage, 3 * HOUR);
    expect(await later.refreshCatalog({ ageMs: 0 })).toEqual({ added: 0, removed: 1 });
    expect(await ours.api.catalog()).toEqual(["ours/a", "theirs/kept"]);
  });

  describe("uploads", () => {
    test("of the one are none of the other", async () => {
      const [ours, peer] = await place.start();
      const [here, there] = [await openUpload(ours.api, "team/app"), await openUpload(peer.api, "team/app")];
      const pathOf = (location: string): string => new URL(location, "http://registry").pathname;
      for (const method of ["GET", "DELETE"]) {
        await ours.api.expect(404, method, pathOf(there));
        // It has a signed note of what it knows in the query of its own addresses; without one 3.1 answers 500.
        expect((await peer.api.call(method, pathOf(here))).status).toBeGreaterThanOrEqual(400);
      }
      await finishUpload(ours.api, here);
      await finishUpload(peer.api, there);
    });

    test("of its own go on after our purge while they are young, and are taken whole when they are old", async () => {
      const [ours, peer] = await place.start();
      const [young, old] = [await openUpload(peer.api, "team/app"), await openUpload(peer.api, "team/app")];
      const purge = { ageMs: 24 * HOUR, dryRun: false };
      expect((await registryOver(place.storage).purgeUploads(purge)).sessions).toEqual([]);
      await finishUpload(peer.api, young);

      const { sessions } = await registryOver(place.storage, 25 * HOUR).purgeUploads(purge);
      expect(sessions).toHaveLength(1);
      expect(old).toContain(sessions[0]?.split("/").at(-1));
      expect(await place.storage.keys("docker/registry/v2/repositories/team/app/_uploads/")).toEqual([]);
      // Its bytes are parts of a multipart upload, which its own purge leaves for ever, and ours takes by the same age.
      expect(await multipartUploads(place.storage)).toHaveLength(1);
      const [driver] = opened;
      await driver?.removeLeftovers(HOUR, ROOT);
      expect(await multipartUploads(place.storage)).toHaveLength(1);
      await driver?.removeLeftovers(-HOUR, ROOT);
      expect(await multipartUploads(place.storage)).toEqual([]);
      await pushMade(ours.api, "team/app", makeManifest(), "v1");
    });
  });

  test("blobs in several parts, and without bytes, are read by the other, redirected and streamed", async () => {
    const [ours, peer] = await place.start();
    const [oursStreams, peerStreams] = await Promise.all([
      place.startOurs({ streams: true }),
      place.startPeer({ streams: true }),
    ]);
    const bytes = randomBytes(23 * MIB);
    const [theirs, chunked, mine] = [bytes.subarray(1), bytes.subarray(2, 13 * MIB), bytes.subarray(3)];
    const empty = Buffer.alloc(0);
    await peer.api.pushBlob("team/app", theirs);
    await peer.api.pushBlob("team/app", chunked, "sha256", 2);
    await ours.api.pushBlob("team/app", mine);
    if (peerKind.storesEmptyBlobsOnS3) await peer.api.pushBlob("team/app", empty);
    else {
      // S3 completes no multipart upload without parts.
      const last = withQuery(await peer.api.startUpload("team/app"), "digest", sha256(empty));
      await peer.api.expect(500, "PUT", last, { headers: { "Content-Length": "0" } });
      await ours.api.pushBlob("team/app", empty);
    }
    for (const [{ api }, status] of [
      [ours, 307],
      [peer, 307],
      [oursStreams, 200],
      [peerStreams, 200],
    ] as const) {
      for (const blob of [theirs, chunked, mine, empty]) {
        const path = `/v2/team/app/blobs/${sha256(blob)}`;
        await api.expect(status, "GET", path, { stay: true, onChunk: () => undefined });
        expect(await api.hashBlob("team/app", sha256(blob))).toEqual({ digest: sha256(blob), size: blob.byteLength });
        const head = await api.expect(200, "HEAD", path);
        expect(head.headers["content-length"]).toBe(String(blob.byteLength));
        if (blob.byteLength === 0) continue;
        const [from, to] = [blob.byteLength - 6 * MIB, blob.byteLength - MIB];
        const part = await api.expect(206, "GET", path, { headers: { Range: `bytes=${from}-${to - 1}` } });
        expect(part.body.equals(blob.subarray(from, to))).toBe(true);
      }
    }
  });
});
