/**
 * `--delete-untagged`, ours and theirs, each on a copy of what was pushed: what is left is the same, but for what an index
 * with a tag or a signature needs. What they do differently is held here too, so that a new version of theirs is noticed.
 */
import { describe, expect, test } from "vitest";
import { parseDigest } from "../../shared/oci/digest.ts";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { sha256, type Api } from "../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../support/images.ts";
import { collectGarbage } from "../support/peers.ts";
import { BUCKET, FOLDER, type Storage } from "../support/storage.ts";
import { beside, PAIRS } from "./beside.ts";
import { collect } from "./collecting.ts";
import { makeManifest, pushMade, type Made } from "./content.ts";

const REPOSITORY = "team/app";
const OTHER = "team/other";

/** What was pushed: a word for each manifest, and what it is made of. */
interface Pushed {
  readonly repository: string;
  readonly word: string;
  readonly digest: string;
  readonly type: string;
  readonly blobs: readonly Buffer[];
}

async function pushAll(api: Api): Promise<Pushed[]> {
  const pushed: Pushed[] = [];
  const image = async (word: string, tag?: string, subject?: string, repository = REPOSITORY): Promise<Made> => {
    const made = makeManifest(subject === undefined ? {} : { subject });
    await put(word, made, tag, repository);
    return made;
  };
  const put = async (word: string, made: Made, tag: string | undefined, repository: string): Promise<void> => {
    await pushMade(api, repository, made, tag ?? made.digest);
    pushed.push({ repository, word, digest: made.digest, type: OCI_MANIFEST, blobs: made.blobs });
  };
  const index = async (word: string, children: readonly { digest: string; bytes: Buffer }[], tag?: string) => {
    const manifests = children.map(({ digest, bytes }) => ({
      mediaType: word.includes("of indexes") ? OCI_INDEX : OCI_MANIFEST,
      digest,
      size: bytes.byteLength,
    }));
    const bytes = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, annotations: { word } });
    const digest = sha256(bytes);
    expect((await api.putManifest(REPOSITORY, tag ?? digest, bytes, OCI_INDEX)).status).toBe(201);
    pushed.push({ repository: REPOSITORY, word, digest, type: OCI_INDEX, blobs: [] });
    return { digest, bytes };
  };

  const tagged = await image("tagged", "v1");
  await image("signature of tagged", undefined, tagged.digest);
  await image("cosign's tag", `sha256-${tagged.digest.slice(7)}.sig`);
  const untagged = await image("untagged");
  await image("signature of untagged", undefined, untagged.digest);

  const children = [await image("child 1"), await image("child 2")];
  const [first] = children;
  await index("index", children, "multi");
  await image("signature of child 1", undefined, first?.digest);
  await index("index of indexes", [await index("inner index", [await image("grandchild")])], "nested");
  await index("untagged index", [await image("its child"), await image("its tagged child", "v2")]);

  await image("moved away from", "moving");
  await image("moved to", "moving");
  const twice = makeManifest();
  await put("in two repositories", twice, "v1", OTHER);
  await put("in two repositories, here untagged", twice, undefined, REPOSITORY);
  return pushed;
}

/** The words of all manifests that are in their repository, and of those of which every byte is stored, or none. */
async function leftIn(storage: Storage, pushed: readonly Pushed[]) {
  const keys = new Set(await storage.keys(layout.root));
  const blobsOf = ({ digest, blobs }: Pushed): boolean[] =>
    [digest, ...blobs.map(sha256)].map((each) => keys.has(layout.blob(parseDigest(each))));
  const words = (holds: (one: Pushed) => boolean): string[] => pushed.filter(holds).map(({ word }) => word);
  return {
    manifests: words(({ repository, digest }) =>
      keys.has(layout.revisionLink(parseRepositoryName(repository), parseDigest(digest))),
    ),
    stored: words((one) => !blobsOf(one).includes(false)),
    gone: words((one) => !blobsOf(one).includes(true)),
    tags: [...keys].filter((key) => key.endsWith("/current/link")),
  };
}

const GARBAGE = ["untagged", "signature of untagged", "its child", "untagged index", "moved away from"];
const TWICE = "in two repositories, here untagged";
const SIGNATURES = ["signature of tagged", "signature of child 1"];
const CHILDREN = ["child 1", "child 2", "grandchild", "inner index"];

/** What theirs takes and ours keeps, and what it keeps and ours takes. */
const THEIRS: Readonly<Record<string, { takes: readonly string[]; keeps: readonly string[] }>> = {
  // Every manifest without a tag of its own: what is left of a multi-arch image is its index.
  "docker-registry 2.8": { takes: [...SIGNATURES, ...CHILDREN], keeps: [] },
  // It follows indexes, and no subjects. A manifest stays untagged wherever it is tagged anywhere.
  "registry 3.1": { takes: SIGNATURES, keeps: [TWICE] },
};

describe.each(PAIRS.filter(({ storage }) => storage === FOLDER || storage === BUCKET))("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  test("of what has no tag ours keeps what something tagged needs, and theirs does not", async () => {
    const first = await place.startPeer();
    const pushed = await pushAll(first.api);
    await first.stop();
    const theirs = await pair.storage.make();
    for (const key of await place.storage.keys()) await theirs.write(key, await place.storage.read(key));
    const all = await leftIn(theirs, pushed);
    expect(all.manifests).toHaveLength(pushed.length);

    const flags = "--delete-untagged";
    expect(await collectGarbage(kind, { ...place.peerOptions(), ...theirs.location }, flags)).toMatchObject({
      code: 0,
    });
    // Manifests are condemned and taken, and then what they referred to.
    const counts = (await collect(place.storage, deleteUntagged, 4)).map(({ deletedManifests, deleted }) => [
      deletedManifests,
      deleted,
    ]);
    const garbage = pushed.filter(({ word }) => GARBAGE.includes(word)).flatMap(({ blobs }) => [...blobs, "itself"]);
    expect(counts).toEqual([
      [0, 0],
      [GARBAGE.length + 1, 0],
      [0, 0],
      [0, garbage.length],
    ]);

    const kept = all.manifests.filter((word) => ![...GARBAGE, TWICE].includes(word));
    const left = await leftIn(place.storage, pushed);
    expect(left).toEqual({
      manifests: kept,
      stored: all.stored.filter((word) => !GARBAGE.includes(word)),
      gone: GARBAGE,
      tags: all.tags,
    });
    const { takes = [], keeps = [] } = THEIRS[kind.name] ?? {};
    const leftByTheirs = await leftIn(theirs, pushed);
    expect(leftByTheirs.manifests).toEqual(
      all.manifests.filter((word) => keeps.includes(word) || (kept.includes(word) && !takes.includes(word))),
    );
    expect(leftByTheirs.tags).toEqual(all.tags);
    expect(leftByTheirs.gone).toEqual(expect.arrayContaining([...GARBAGE, ...SIGNATURES]));

    // What each left: ours is whole, by anybody's word.
    const [ours, peer] = await place.start();
    for (const { api } of [ours, peer]) {
      for (const { repository, word, digest, type, blobs } of pushed) {
        const path = `/v2/${repository}/manifests/${digest}`;
        await api.expect(kept.includes(word) ? 200 : 404, "GET", path, { headers: { Accept: type } });
        if (!kept.includes(word)) continue;
        for (const blob of blobs) {
          expect((await api.hashBlob(repository, sha256(blob))).digest).toBe(sha256(blob));
        }
      }
    }
    expect((await place.run("verify", "--json")).code).toBe(0);
    const copy = await place.startPeer(theirs.location);
    const childrenLeft = CHILDREN.filter((word) => !takes.includes(word));
    for (const { repository, digest, type } of pushed.filter(({ word }) => CHILDREN.includes(word))) {
      const path = `/v2/${repository}/manifests/${digest}`;
      await copy.api.expect(childrenLeft.length > 0 ? 200 : 404, "GET", path, { headers: { Accept: type } });
    }
    await theirs.close();
  });
});
