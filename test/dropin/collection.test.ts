/** Our garbage collection, over a storage that another registry filled, and we did: it agrees with theirs, and all is served. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { keepAll } from "../../shared/gc/retention.ts";
import { sha256, sha512, type Api } from "../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../support/images.ts";
import { collectGarbage } from "../support/peers.ts";
import { beside, PAIRS } from "./beside.ts";
import { collect } from "./collecting.ts";
import { expectServed, fill, makeManifest, pushMade, type Content, type StoredManifest } from "./content.ts";

const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
/** What a registry of the distribution would take, as it says. */
const ELIGIBLE = /^(?:.*: )?(?:blob|manifest) eligible for deletion: (\S+)/gm;

interface Filled {
  /** All that is to stay. */
  readonly content: Content;
  /** Digests of all that is to go. */
  readonly garbage: readonly string[];
  /** What a manifest names by its sha512 alone, by its sha256. */
  readonly aliases: readonly string[];
}

/** Content of every kind, and garbage: deleted manifests, an index and its child among them, and a blob that nobody named. */
async function fillAll(api: Api, prefix: string, emptyBlob: boolean): Promise<Filled> {
  const content = await fill(api, prefix, { emptyBlob });
  const repository = `${prefix}/a`;
  const put = async (tag: string, bytes: Buffer, type: string): Promise<StoredManifest> => {
    expect((await api.putManifest(repository, tag, bytes, type)).status).toBe(201);
    return { repository, digest: sha256(bytes), type, bytes };
  };

  const [bySha512, old] = [makeManifest({ algorithm: "sha512" }), makeManifest()];
  for (const blob of bySha512.blobs) await api.pushBlob(repository, blob, "sha512");
  for (const blob of old.blobs) await api.pushBlob(repository, blob);
  const schema2 = json({ ...(JSON.parse(old.bytes.toString()) as object), mediaType: DOCKER_MANIFEST });
  const more = [await put("sha512", bySha512.bytes, OCI_MANIFEST), await put("schema2", schema2, DOCKER_MANIFEST)];
  const blobs = [
    ...bySha512.blobs.map((bytes) => ({ repository, digest: sha512(bytes), bytes })),
    ...old.blobs.map((bytes) => ({ repository, digest: sha256(bytes), bytes })),
  ];

  const [gone, child] = [makeManifest(), makeManifest()];
  await pushMade(api, repository, gone, "gone");
  await pushMade(api, repository, child, child.digest);
  const manifests = [{ mediaType: OCI_MANIFEST, digest: child.digest, size: child.bytes.byteLength }];
  const index = await put("gone-index", json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), OCI_INDEX);
  const lone = randomBytes(2000);
  await api.pushBlob(repository, lone);
  return {
    content: {
      subject: content.subject,
      tags: new Map([
        ...content.tags,
        [`${repository}:sha512`, sha256(bySha512.bytes)],
        [`${repository}:schema2`, sha256(schema2)],
      ]),
      manifests: [...content.manifests.slice(0, -1), ...more, ...content.manifests.slice(-1)],
      blobs: [...content.blobs, ...blobs],
    },
    garbage: [index.digest, gone.digest, child.digest, ...[...gone.blobs, ...child.blobs, lone].map(sha256)],
    aliases: bySha512.blobs.map(sha256),
  };
}

/** Deletes what was pushed to be deleted, through one of the two. */
async function deleteDoomed(
  api: Api,
  prefix: string,
  [index = "", gone = "", child = ""]: readonly string[],
): Promise<void> {
  for (const digest of [index, gone, child]) await api.expect(202, "DELETE", `/v2/${prefix}/a/manifests/${digest}`);
}

describe.each(PAIRS)("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  /** A storage that both filled and only we still serve. */
  const prepare = async () => {
    const [ours, peer] = await place.start();
    const [here, there] = [
      await fillAll(ours.api, "ours", true),
      await fillAll(peer.api, "theirs", pair.storesEmptyBlobs),
    ];
    const modern = makeManifest({ algorithm: "sha512" });
    await pushMade(ours.api, "ours/a", modern, modern.digest);
    // Each deletes what the other pushed.
    await deleteDoomed(peer.api, "ours", here.garbage);
    await deleteDoomed(ours.api, "theirs", there.garbage);
    await peer.stop();
    const garbage = [...here.garbage, ...there.garbage];
    expect(await storedOf(garbage)).toHaveLength(garbage.length);
    return { contents: [here.content, there.content], garbage, aliases: there.aliases, modern };
  };

  const storedOf = async (digests: readonly string[]): Promise<string[]> => {
    const keys = await place.storage.keys("docker/registry/v2/blobs/");
    return digests.filter((digest) => keys.some((key) => key.includes(`/${digest.split(":")[1] ?? ""}/data`)));
  };

  /** What it says it would take. */
  const eligible = async (...flags: string[]): Promise<string[]> => {
    const { code, stdout } = await collectGarbage(kind, place.peerOptions(), "--dry-run", ...flags);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\b[1-9]\d* blobs marked, \d+ blobs and \d+ manifests eligible for deletion/);
    const named = [...stdout.matchAll(ELIGIBLE)].map(([, digest = ""]) => digest);
    const [, blobs, manifests] = /(\d+) blobs and (\d+) manifests eligible/.exec(stdout) ?? [];
    expect(named).toHaveLength(Number(blobs) + Number(manifests));
    return named;
  };

  test("two runs take all garbage, theirs finds no more, and both serve all that was pushed and not deleted", async () => {
    const { contents, garbage, aliases, modern } = await prepare();
    const before = await eligible();
    expect(before).toEqual(expect.arrayContaining(garbage));
    const [first, second] = await collect(place.storage, keepAll, 2);
    expect(first).toMatchObject({ eligible: garbage.length, condemned: garbage.length, deleted: 0 });
    expect(second).toMatchObject({ eligible: garbage.length, deleted: garbage.length, lost: 0, refused: 0 });
    expect(await storedOf(garbage)).toEqual([]);
    // What was pushed to it by sha512 it stores by sha256, and takes though a manifest names it. We keep it.
    expect((await eligible()).sort()).toEqual([...aliases].sort());
    const [ours, peer] = await place.start();
    for (const { api } of [ours, peer]) {
      for (const content of contents) await expectServed(api, content);
      expect((await api.manifest("ours/a", modern.digest)).body.equals(modern.bytes)).toBe(true);
      for (const bytes of modern.blobs) {
        expect((await api.hashBlob("ours/a", sha512(bytes))).digest).toBe(sha512(bytes));
      }
    }
  });
});
