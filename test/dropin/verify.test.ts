/**
 * `lading verify` over what another registry stored by real pushes: no false word about it, each damage by its name and
 * nothing else, and after a repair the other serves all that is whole, and the rest as before.
 */
import { describe, expect, test } from "vitest";
import type { Digest } from "../../shared/oci/digest.ts";
import { parseRepositoryName, parseTag, type RepositoryName } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Finding, FindingKind } from "../../shared/verify/finding.ts";
import type { Verified } from "../../shared/verify/verify.ts";
import { sha256, type Api } from "../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../support/images.ts";
import { collectGarbage } from "../support/peers.ts";
import { BUCKET, FOLDER, type Storage } from "../support/storage.ts";
import { beside, PAIRS } from "./beside.ts";
import { expectServed, fill, makeManifest, openUpload, pushMade, tagsOf, type Made } from "./content.ts";

/** An image that something becomes of, in a repository of its own, with the tag v1. */
interface Victim {
  readonly name: RepositoryName;
  readonly image: Made;
  readonly storage: Storage;
  readonly api: Api;
  /** Keys: of the layer's bytes and its link, of the manifest's bytes and its revision, of the tag and its history. */
  readonly layer: string;
  readonly layerLink: string;
  readonly manifest: string;
  readonly revision: string;
  readonly tag: string;
  readonly history: string;
}

interface Damage {
  readonly name: string;
  readonly make: (victim: Victim) => Promise<unknown>;
  readonly found: (victim: Victim) => readonly (readonly [kind: FindingKind, key: string])[];
}

const V1 = parseTag("v1");

function victimOf(repository: string, image: Made, storage: Storage, api: Api): Victim {
  const name = parseRepositoryName(repository);
  const layer = sha256(image.blobs[1] ?? "") as Digest;
  const manifest = image.digest as Digest;
  return {
    ...{ name, image, storage, api },
    layer: layout.blob(layer),
    layerLink: layout.layerLink(name, layer),
    manifest: layout.blob(manifest),
    revision: layout.revisionLink(name, manifest),
    tag: layout.tagLink(name, V1),
    history: layout.tagHistoryLink(name, V1, manifest),
  };
}

/** What can be nothing else, and is written again. */
const CERTAIN: readonly Damage[] = [
  {
    name: "layer-link-content",
    make: async ({ storage, layerLink }) => await storage.write(layerLink, "sha256:"),
    found: ({ layerLink }) => [["link malformed", layerLink]],
  },
  {
    name: "layer-link-of-another",
    make: async ({ storage, layerLink, image }) => await storage.write(layerLink, image.digest),
    found: ({ layerLink }) => [["link malformed", layerLink]],
  },
  {
    name: "layer-link-missing",
    make: async ({ storage, layerLink }) => await storage.remove(layerLink),
    found: ({ layerLink }) => [["link missing", layerLink]],
  },
  {
    name: "revision-content",
    make: async ({ storage, revision }) => await storage.write(revision, ""),
    found: ({ revision }) => [["link malformed", revision]],
  },
  {
    name: "history-content",
    make: async ({ storage, history }) => await storage.write(history, "?"),
    found: ({ history }) => [["link malformed", history]],
  },
];

/** What only a push, a backup or its owner can set right. */
const LOST: readonly Damage[] = [
  {
    name: "layer-bytes",
    make: async ({ storage, layer }) => await storage.write(layer, "other bytes"),
    found: ({ layer, revision }) => [
      ["blob damaged", layer],
      ["image damaged", revision],
    ],
  },
  {
    name: "layer-cut-off",
    make: async ({ storage, layer }) => await storage.write(layer, (await storage.read(layer)).subarray(0, 1000)),
    found: ({ layer, revision }) => [
      ["blob damaged", layer],
      ["image damaged", revision],
    ],
  },
  {
    name: "layer-missing",
    make: async ({ storage, layer }) => await storage.remove(layer),
    found: ({ layerLink, revision }) => [
      ["link leads nowhere", layerLink],
      ["manifest incomplete", revision],
    ],
  },
  {
    name: "manifest-missing",
    make: async ({ storage, manifest }) => await storage.remove(manifest),
    found: ({ revision }) => [["manifest missing", revision]],
  },
  {
    name: "manifest-bytes",
    make: async ({ storage, manifest }) => await storage.write(manifest, "{"),
    found: ({ manifest, revision }) => [
      ["blob damaged", manifest],
      ["manifest unreadable", revision],
    ],
  },
  {
    name: "child-deleted",
    make: async ({ api, name, image }) => {
      const manifests = [{ mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.byteLength }];
      const index = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
      expect((await api.putManifest(name, "v2", index, OCI_INDEX)).status).toBe(201);
      await api.expect(202, "DELETE", `/v2/${name}/manifests/${image.digest}`);
    },
    found: ({ name, image }) => {
      const manifests = [{ mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.byteLength }];
      const index = sha256(json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })) as Digest;
      return [["manifest incomplete", layout.revisionLink(name, index)]];
    },
  },
  {
    name: "tag-content",
    make: async ({ storage, tag }) => await storage.write(tag, "v1"),
    found: ({ tag }) => [["tag malformed", tag]],
  },
  {
    name: "tag-to-nowhere",
    make: async ({ storage, revision }) => await storage.remove(revision),
    found: ({ tag }) => [["tag leads nowhere", tag]],
  },
  {
    name: "tag-with-history-only",
    make: async ({ storage, tag }) => await storage.remove(tag),
    found: ({ tag }) => [["tag leads nowhere", tag]],
  },
  {
    name: "key-of-nobody",
    make: async ({ storage, name }) => await storage.write(`${layout.manifests(name)}tags/v1/note`, "x"),
    found: ({ name }) => [["unknown key", `${layout.manifests(name)}tags/v1/note`]],
  },
];

/** What a registry answers to everything that can be asked of an image. */
async function answers({ api, name, image }: Victim): Promise<Readonly<Record<string, string>>> {
  const seen: Record<string, string> = { tags: (await tagsOf(api, name)).join() };
  const paths = [
    ...["v1", image.digest].map((reference) => `manifests/${reference}`),
    ...image.blobs.map((bytes) => `blobs/${sha256(bytes)}`),
  ];
  for (const path of paths) {
    const { status, body } = await api.call("GET", `/v2/${name}/${path}`, { headers: { Accept: OCI_MANIFEST } });
    seen[path] = `${status} ${status === 200 ? sha256(body) : ""}`;
  }
  return seen;
}

describe.each(PAIRS.filter(({ storage }) => storage === FOLDER || storage === BUCKET))("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  const look = async (code: number, ...flags: readonly string[]) => {
    const finished = await place.run("verify", "--json", ...flags);
    expect(finished.code, finished.stderr).toBe(code);
    const lines = finished.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Finding | { summary: Verified });
    const findings = lines.filter((line) => "kind" in line);
    const last = lines.at(-1);
    if (last === undefined || !("summary" in last)) throw new Error(`no summary: ${finished.stdout}`);
    expect(lines).toHaveLength(findings.length + 1);
    return {
      summary: last.summary,
      found: findings.map(({ kind, key }) => `${kind} ${key}`).sort(),
      repairs: new Map(findings.map(({ kind, key, repair }) => [`${kind} ${key}`, repair])),
    };
  };

  /** Content of every kind, pushed through the other registry, with what it leaves behind of a working day. */
  const prepare = async () => {
    const peer = await place.startPeer();
    const content = await fill(peer.api, "theirs", { emptyBlob: pair.storesEmptyBlobs });
    const gone = makeManifest();
    await pushMade(peer.api, "theirs/gone", gone, "v1");
    await peer.api.expect(202, "DELETE", `/v2/theirs/gone/manifests/${gone.digest}`);
    for (let move = 0; move < 2; move++) await pushMade(peer.api, "theirs/moved", makeManifest(), "v1");
    const modern = makeManifest({ algorithm: "sha512" });
    for (const blob of modern.blobs) await peer.api.pushBlob("theirs/sha512", blob, "sha512");
    const { status, headers } = await peer.api.putManifest("theirs/sha512", "v1", modern.bytes);
    expect(status).toBe(201);
    await openUpload(peer.api, "theirs/a");
    await peer.api.startUpload("theirs/never-pushed");
    const referrer = content.manifests.at(-1)?.digest as Digest;
    const entry = layout.referrerLink(parseRepositoryName("theirs/a"), content.subject as Digest, referrer);
    return { peer, content, referrer, entry, modern: headers["docker-content-digest"] as Digest };
  };

  /** Every key, with its bytes. */
  const everything = async (): Promise<Readonly<Record<string, string>>> => {
    const keys = await place.storage.keys("docker/");
    const sums = keys.map(async (key): Promise<[string, string]> => [key, sha256(await place.storage.read(key))]);
    return Object.fromEntries(await Promise.all(sums));
  };

  test("nothing is wrong with what it stored; each damage is found, and what is certain is repaired", async () => {
    const { peer, content, referrer, entry } = await prepare();
    const whole = await look(0);
    expect(whole.found).toEqual([`referrer missing ${entry}`]);
    expect(whole.summary).toMatchObject({ damages: 0, notes: 1, repairable: 1, repositories: 7 });

    const victims = async (damages: readonly Damage[]) =>
      await Promise.all(
        damages.map(async (damage) => {
          const image = makeManifest();
          await pushMade(peer.api, `damaged/${damage.name}`, image, "v1");
          return { damage, victim: victimOf(`damaged/${damage.name}`, image, place.storage, peer.api) };
        }),
      );
    const all = async <T>(of: readonly { readonly victim: Victim }[], ask: (victim: Victim) => Promise<T>) =>
      await Promise.all(of.map(async ({ victim }) => await ask(victim)));
    const keysOf = (of: Awaited<ReturnType<typeof victims>>): string[] =>
      of.flatMap(({ damage, victim }) => damage.found(victim).map(([kind, key]) => `${kind} ${key}`)).sort();

    const [certain, lost] = [await victims(CERTAIN), await victims(LOST)];
    const asPushed = await all(certain, answers);
    for (const { damage, victim } of certain) await damage.make(victim);
    const repairable = [...keysOf(certain), `referrer missing ${entry}`].sort();
    for (const [flags, code, repair] of [
      [[], 1, "possible"],
      [["--repair"], 0, "done"],
    ] as const) {
      const seen = await look(code, ...flags);
      expect(seen.found).toEqual(repairable);
      expect(new Set(seen.repairs.values())).toEqual(new Set([repair]));
    }
    expect(await look(0)).toMatchObject({ found: [], summary: { damages: 0, notes: 0 } });
    expect(await all(certain, answers)).toEqual(asPushed);

    for (const { damage, victim } of lost) await damage.make(victim);
    await peer.api.expect(202, "DELETE", `/v2/theirs/a/manifests/${referrer}`);
    const found = [...keysOf(lost), `referrer leads nowhere ${entry}`].sort();
    const [before, asDamaged] = [await everything(), await all(lost, answers)];
    for (const flags of [[], ["--repair"]]) {
      const seen = await look(1, ...flags);
      expect(seen.found).toEqual(found);
      expect(new Set(seen.repairs.values())).toEqual(new Set([undefined]));
    }
    expect(await everything()).toEqual(before);
    expect(await all(lost, answers)).toEqual(asDamaged);
    expect(await all(certain, answers)).toEqual(asPushed);
    const manifests = content.manifests.filter(({ digest }) => digest !== referrer);
    for (const { api } of [peer, await place.startOurs()]) await expectServed(api, { ...content, manifests });
  });

  test("what its own collection leaves is known: links to nothing, and images by sha512 that it broke", async () => {
    const { peer, modern, entry } = await prepare();
    await peer.stop();
    // 3.1 ends with an error where it takes one link twice; it has deleted by then.
    await collectGarbage(kind, place.peerOptions());
    const { found } = await look(1);
    const broken = `manifest incomplete ${layout.revisionLink(parseRepositoryName("theirs/sha512"), modern)}`;
    const nowhere = found.filter((line) => line.startsWith("link leads nowhere "));
    expect(nowhere.length).toBeGreaterThan(0);
    for (const line of nowhere) expect(line).toMatch(/repositories\/theirs\/(?:gone|sha512)\/_layers\//);
    expect(found).toEqual([...nowhere, broken, broken, `referrer missing ${entry}`]);
  });
});
