/** What `lading verify` finds: each kind of damage, made by hand, and nothing else; and what it repairs. */
import { ReadableStream } from "node:stream/web";
import { afterEach, describe, expect, it } from "vitest";
import { Collector } from "../../shared/gc/collector.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { parseReference, type Tag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { Marks } from "../../shared/registry/marks.ts";
import { PullLog } from "../../shared/registry/pull-log.ts";
import { Registry } from "../../shared/registry/registry.ts";
import type { Finding, FindingKind } from "../../shared/verify/finding.ts";
import { verify } from "../../shared/verify/verify.ts";
import { listKeys, type StorageDriver } from "../../shared/storage/driver.ts";
import { observed } from "../../shared/storage/observed.ts";
import { nameOf, TIMES, World, DEFAULTS } from "../gc/support.ts";
import { STORES, type TestStore } from "../support/stores.ts";

const A = "library/a";
const SIGNATURE_OF = (digest: Digest) => ({ subject: { mediaType: OCI_MANIFEST, digest, size: 2 } });

/** What a registry has: images, an index, a signature, a blob that nobody needs, and content named by sha512. */
async function fill(driver: StorageDriver) {
  const world = new World(driver);
  const one = await world.image(A, ["one", "shared"], { tag: "one" });
  const child = await world.image(A, ["child"]);
  const index = await world.index(A, [child.digest], "multi");
  const signature = await world.image(A, ["signature"], SIGNATURE_OF(one.digest));
  await writeLink(driver, layout.referrerLink(nameOf(A), one.digest, signature.digest), signature.digest);
  const other = await world.image("library/a/below", ["shared"], { tag: "v1" });
  const loose = await world.blob("z", "loose");
  return { world, one, child, index, signature, other, loose };
}

type Filled = Awaited<ReturnType<typeof fill>>;

const look = async (driver: StorageDriver, repair = false) => {
  const findings: Finding[] = [];
  const options = { times: TIMES, repair, reads: 4, allowSparse: false, allowSparseIndexes: false };
  const registry = new Registry({
    driver,
    policy: { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true },
    now: () => new Date(),
    catalog: "index",
  });
  const verified = await verify(driver, {
    ...options,
    report: (finding) => findings.push(finding),
    reconcileCatalog: async (names) => await registry.reconcileCatalog(names),
  });
  return { findings, verified, found: findings.map(({ kind, key }) => `${kind} ${key}`).sort() };
};

interface Damage {
  readonly name: string;
  readonly make: (filled: Filled, driver: StorageDriver) => Promise<unknown>;
  /** What is found, in any order. */
  readonly found: (filled: Filled) => readonly (readonly [kind: FindingKind, key: string])[];
  /** All of it is repaired. */
  readonly repaired: boolean;
}

const name = nameOf(A);
const layer = (digest: Digest | undefined) => layout.layerLink(name, digest as Digest);
const revision = (digest: Digest) => layout.revisionLink(name, digest);

const DAMAGES: readonly Damage[] = [
  {
    name: "bytes that are not their digest",
    make: async ({ loose }, driver) => await driver.put(layout.blob(loose), Buffer.from("Loose")),
    found: ({ loose }) => [["blob damaged", layout.blob(loose)]],
    repaired: false,
  },
  {
    name: "a blob that was cut off",
    make: async ({ loose }, driver) => await driver.put(layout.blob(loose), new Uint8Array()),
    found: ({ loose }) => [["blob damaged", layout.blob(loose)]],
    repaired: false,
  },
  {
    name: "a layer that two images need",
    make: async ({ one }, driver) => await driver.put(layout.blob(one.blobs[2] as Digest), Buffer.from("Shared")),
    found: ({ one, other }) => [
      ["blob damaged", layout.blob(one.blobs[2] as Digest)],
      ["image damaged", revision(one.digest)],
      ["image damaged", layout.revisionLink(nameOf("library/a/below"), other.digest)],
    ],
    repaired: false,
  },
  {
    name: "a manifest whose bytes are another's",
    make: async ({ one, child }, driver) => {
      await driver.put(layout.blob(one.digest), (await driver.read(layout.blob(child.digest), 1e6)) as Uint8Array);
    },
    found: ({ one }) => [
      ["blob damaged", layout.blob(one.digest)],
      ["image damaged", revision(one.digest)],
    ],
    repaired: false,
  },
  {
    name: "a layer of an image that is gone",
    make: async ({ one }, driver) => await driver.delete(layout.blob(one.blobs[1] as Digest)),
    found: ({ one }) => [
      ["link leads nowhere", layer(one.blobs[1])],
      ["manifest incomplete", revision(one.digest)],
    ],
    repaired: false,
  },
  {
    name: "a link to a layer that is missing",
    make: async ({ one }, driver) => await driver.delete(layer(one.blobs[1])),
    found: ({ one }) => [["link missing", layer(one.blobs[1])]],
    repaired: true,
  },
  {
    name: "a link that is empty",
    make: async ({ one }, driver) => await driver.put(layer(one.blobs[1]), new Uint8Array()),
    found: ({ one }) => [["link malformed", layer(one.blobs[1])]],
    repaired: true,
  },
  {
    name: "a link that is far too long",
    make: async ({ one }, driver) => await driver.put(layer(one.blobs[1]), Buffer.alloc(10_000, "x")),
    found: ({ one }) => [["link malformed", layer(one.blobs[1])]],
    repaired: true,
  },
  {
    name: "a link that holds another digest than its path",
    make: async ({ one }, driver) => await writeLink(driver, layer(one.blobs[1]), one.blobs[2] as Digest),
    found: ({ one }) => [["link malformed", layer(one.blobs[1])]],
    repaired: true,
  },
  {
    name: "a malformed link to a blob that is not stored",
    make: async (_, driver) => await driver.put(layer(digestOf("sha256", Buffer.from("never"))), Buffer.from("x")),
    found: () => [["link malformed", layer(digestOf("sha256", Buffer.from("never")))]],
    repaired: false,
  },
  {
    name: "a revision that is malformed",
    make: async ({ one }, driver) => await driver.put(revision(one.digest), Buffer.from("sha256:")),
    found: ({ one }) => [["link malformed", revision(one.digest)]],
    repaired: true,
  },
  {
    name: "a manifest whose bytes are gone",
    make: async ({ signature }, driver) => await driver.delete(layout.blob(signature.digest)),
    found: ({ signature }) => [["manifest missing", revision(signature.digest)]],
    repaired: false,
  },
  {
    name: "a manifest that is no JSON",
    make: async ({ world }) => await world.manifestBytes(A, Buffer.from("{")),
    found: () => [["manifest unreadable", revision(digestOf("sha256", Buffer.from("{")))]],
    repaired: false,
  },
  {
    name: "an index without its child",
    make: async ({ child }, driver) => await driver.delete(revision(child.digest)),
    found: ({ index }) => [["manifest incomplete", revision(index)]],
    repaired: false,
  },
  {
    name: "a tag that is malformed",
    make: async (_, driver) => await driver.put(layout.tagLink(name, "one" as Tag), Buffer.from("one")),
    found: () => [["tag malformed", layout.tagLink(name, "one" as Tag)]],
    repaired: false,
  },
  {
    name: "a tag that names no manifest",
    make: async ({ loose }, driver) => await writeLink(driver, layout.tagLink(name, "one" as Tag), loose),
    found: () => [["tag leads nowhere", layout.tagLink(name, "one" as Tag)]],
    repaired: false,
  },
  {
    name: "a tag that has only a history",
    make: async (_, driver) => await driver.delete(layout.tagLink(name, "one" as Tag)),
    found: () => [["tag leads nowhere", layout.tagLink(name, "one" as Tag)]],
    repaired: false,
  },
  {
    name: "a history that is malformed",
    make: async ({ one }, driver) =>
      await driver.put(layout.tagHistoryLink(name, "one" as Tag, one.digest), Buffer.from("?")),
    found: ({ one }) => [["link malformed", layout.tagHistoryLink(name, "one" as Tag, one.digest)]],
    repaired: true,
  },
  {
    name: "a referrer that is gone",
    make: async ({ signature }, driver) => await driver.delete(revision(signature.digest)),
    found: ({ one, signature }) => [
      ["referrer leads nowhere", layout.referrerLink(name, one.digest, signature.digest)],
    ],
    repaired: false,
  },
  {
    name: "a referrer that is not listed",
    make: async ({ one, signature }, driver) =>
      await driver.delete(layout.referrerLink(name, one.digest, signature.digest)),
    found: ({ one, signature }) => [["referrer missing", layout.referrerLink(name, one.digest, signature.digest)]],
    repaired: true,
  },
  {
    name: "a referrer's entry that is malformed",
    make: async ({ one, signature }, driver) =>
      await driver.put(layout.referrerLink(name, one.digest, signature.digest), Buffer.from("x")),
    found: ({ one, signature }) => [["link malformed", layout.referrerLink(name, one.digest, signature.digest)]],
    repaired: true,
  },
  {
    name: "repositories that the catalog does not have",
    make: async (_, driver) => await driver.put(layout.catalogComplete, Buffer.from("x")),
    found: () => [
      ["catalog entry missing", layout.catalogEntry(A)],
      ["catalog entry missing", layout.catalogEntry("library/a/below")],
    ],
    repaired: true,
  },
  {
    name: "a mark that cannot be understood",
    make: async ({ loose }, driver) => await driver.put(layout.blobMark(loose), Buffer.from("what?")),
    found: ({ loose }) => [["mark malformed", layout.blobMark(loose)]],
    repaired: false,
  },
  {
    name: "keys that belong to nothing",
    make: async (_, driver) => {
      for (const key of UNKNOWN) await driver.put(key, Buffer.from("x"));
    },
    found: () => UNKNOWN.map((key) => ["unknown key", key.replace(/(v2\/other\/).*/, "$1")] as const),
    repaired: false,
  },
];

const UNKNOWN = [
  `${layout.blobs}sha256/ab/readme`,
  `${layout.repositories}${A}/_manifests/tags/one/note`,
  `${layout.repositories}notes`,
  `${layout.root}other/deep/down`,
  `${layout.root}_gc/what`,
];

const stores: TestStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

describe.each(STORES.map(([store, make]) => [store, make] as const))("on %s", (_, make) => {
  const open = async () => {
    const store = await make();
    stores.push(store);
    return { driver: store.driver, filled: await fill(store.driver) };
  };

  it("finds nothing where nothing is wrong, and says what it read", async () => {
    const { driver } = await open();
    const { verified, findings } = await look(driver);
    expect(findings).toEqual([]);
    expect(verified).toMatchObject({ repositories: 3, damages: 0, notes: 0, repaired: 0 });
    expect(verified.blobs).toBeGreaterThan(8);
  });

  it("knows all that collections and pulls leave behind, and the marks that nobody understands", async () => {
    const { driver, filled } = await open();
    const { digest } = filled.one;
    const keys = [layout.blobMark(digest), layout.revisionMark(name, digest), layout.tagMark(name, "one" as Tag)];
    for (const key of keys) await new Marks(driver, TIMES).write(key, "condemned", undefined);
    await new PullLog(driver, () => new Date()).record(name, digest);
    expect(await new Collector(driver, DEFAULTS).run()).toMatchObject({ outcome: "done" });
    expect((await look(driver)).findings).toEqual([]);
    for (const key of keys) await driver.put(key, Buffer.from("what?"));
    expect((await look(driver)).found).toEqual(keys.map((key) => `mark malformed ${key}`));
  });

  it.each(DAMAGES)("finds $name, and nothing else", async ({ make: damage, found, repaired }) => {
    const { driver, filled } = await open();
    await damage(filled, driver);
    const expected = found(filled)
      .map(([kind, key]) => `${kind} ${key}`)
      .sort();
    const first = await look(driver);
    expect(first.found).toEqual(expected);
    expect(first.findings.map(({ repair }) => repair)).toEqual(expected.map(() => (repaired ? "possible" : undefined)));
    const before = await readable(driver);
    const second = await look(driver, true);
    expect(second.found).toEqual(expected);
    expect(second.verified.repaired).toBe(repaired ? expected.length : 0);
    expect((await look(driver)).found).toEqual(repaired ? [] : expected);
    const after = await readable(driver);
    for (const [key, text] of before) expect(after.get(key), key).toBe(text);
  });

  it("names the tags of what a damaged blob is part of", async () => {
    const { driver, filled } = await open();
    const { one } = filled;
    await writeLink(driver, layout.tagLink(name, "first" as Tag), one.digest);
    await driver.put(layout.blob(one.blobs[1] as Digest), Buffer.from("ONE"));
    const { findings } = await look(driver);
    expect(findings.find(({ kind }) => kind === "image damaged")).toMatchObject({
      ...{ repository: A, digest: one.digest },
      text: `it needs ${one.blobs[1]}, which is damaged; tagged first, one`,
    });
  });

  it("finds that all repositories are missing, where a collection refuses too", async () => {
    const { driver } = await open();
    const keys: string[] = [];
    for await (const { key } of listKeys(driver, layout.repositories)) keys.push(key);
    await driver.deleteMany(keys);
    const { found, verified } = await look(driver, true);
    expect(found).toEqual([`repositories missing ${layout.repositories}`]);
    expect(verified).toMatchObject({ damages: 1, repairable: 0 });
    const { reason } = await new Collector(driver, DEFAULTS).run();
    expect(reason).toContain("not one key of a repository");
  });

  it("never keeps what is whole from being served", async () => {
    const { driver, filled } = await open();
    for (const { make: damage } of DAMAGES) await damage(filled, driver).catch(() => undefined);
    const registry = new Registry({
      driver,
      policy: { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true },
      now: () => new Date(),
    });
    const below = registry.repository(nameOf("library/a/below"));
    const manifest = await below.manifests.get(parseReference("v1"));
    expect(manifest?.digest).toBe(filled.other.digest);
    expect((await look(driver, true)).verified.damages).toBeGreaterThan(5);
  });
});

describe("an entry of the catalog without a repository", () => {
  it.each([
    ["an hour", 1, undefined],
    ["three hours", 3, "done"],
  ] as const)(
    "that is %s old is found, and removed where no push can be about to need it",
    async (_, hours, repair) => {
      const world = new World();
      await fill(world.driver);
      const key = layout.catalogEntry("gone");
      world.time = Date.now() - hours * 3_600_000;
      for (const entry of [A, "library/a/below"].map((each) => layout.catalogEntry(each))) {
        await world.driver.put(entry, new Uint8Array());
      }
      await world.driver.put(key, new Uint8Array());
      await world.driver.put(layout.catalogComplete, Buffer.from("x"));
      expect((await look(world.driver)).findings).toMatchObject([{ kind: "catalog entry of nothing", key }]);
      const { findings } = await look(world.driver, true);
      expect(findings.map((finding) => finding.repair)).toEqual([repair]);
      expect((await world.driver.head(key)) === undefined).toBe(repair === "done");
    },
  );
});

it("does not take the first push of a registry for repositories that are missing", async () => {
  const world = new World();
  await world.driver.put(layout.blob(digestOf("sha256", Buffer.from("x"))), Buffer.from("x"));
  const listed: string[] = [];
  const driver: StorageDriver = {
    ...observed(world.driver, () => undefined),
    list: async (prefix, options) => {
      const page = await world.driver.list(prefix, options);
      if (prefix === layout.repositories && listed.push(prefix) === 1) await world.blob(A, "x");
      return page;
    },
  };
  expect((await look(driver)).found).toEqual([]);
  expect(listed).toHaveLength(2);
});

describe("a blob that the store has and cannot read", () => {
  it.each(["before", "in the middle"])("is reported where it fails %s, and the rest is looked at", async (when) => {
    const world = new World();
    const { loose, one } = await fill(world.driver);
    await world.driver.delete(layer(one.blobs[1]));
    const driver: StorageDriver = {
      ...observed(world.driver, () => undefined),
      get: async (key, range) => {
        if (key !== layout.blob(loose)) return await world.driver.get(key, range);
        if (when === "before") throw new Error("bad sector");
        const object = await world.driver.get(key, range);
        return object && { ...object, body: ReadableStream.from(brokenOff()) };
      },
    };
    const { findings, verified } = await look(driver);
    const unreadable = { kind: "blob unreadable", key: layout.blob(loose), digest: loose };
    expect(findings).toMatchObject([unreadable, { kind: "link missing", key: layer(one.blobs[1]) }]);
    expect(findings[0]?.text).toContain("bad sector");
    expect(verified.damages).toBe(2);
  });

  async function* brokenOff(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.from("lo"));
    throw new Error("bad sector");
  }
});

describe("beside others", () => {
  it("writes no link for a blob that is being deleted", async () => {
    const world = new World();
    const { one } = await fill(world.driver);
    const blob = one.blobs[1] as Digest;
    await world.driver.delete(layer(blob));
    const mark = { state: "deleting", nonce: "00000000-0000-4000-8000-000000000000", permit: "run/1" };
    await world.driver.put(layout.blobMark(blob), Buffer.from(JSON.stringify(mark)));
    const { findings } = await look(world.driver, true);
    expect(findings).toMatchObject([{ kind: "link missing", repair: "not done" }]);
    expect(await world.driver.head(layer(blob))).toBeUndefined();
  });

  it("leaves a storage that is collected: a revision that it wrote again is as if pushed", async () => {
    const world = new World();
    const { one, index } = await fill(world.driver);
    const garbage = await world.blob(A, "garbage");
    await world.driver.put(revision(one.digest), new Uint8Array());
    await world.driver.put(revision(index), new Uint8Array());
    world.age();
    const { findings } = await look(world.driver, true);
    expect(findings.map(({ kind, repair }) => [kind, repair])).toEqual(Array(2).fill(["link malformed", "done"]));
    const [, summary] = await world.collectTwice();
    expect(summary.reason).toBeUndefined();
    expect(await world.has(garbage)).toBe(false);
    for (const blob of one.blobs) expect(await world.has(blob)).toBe(true);
  });

  it("does not report what was pushed or deleted while it looked", async () => {
    const world = new World();
    const { one } = await fill(world.driver);
    // Pages of one key each, between which somebody deletes an image and pushes another.
    let pages = 0;
    const driver: StorageDriver = {
      ...observed(world.driver, () => undefined),
      list: async (prefix, options) => {
        if (prefix === layout.repositories && ++pages === 8) {
          await world.deleteManifest(A, one.digest);
          await world.driver.delete(layout.tagLink(name, "one" as Tag));
          await world.driver.delete(layout.tagHistoryLink(name, "one" as Tag, one.digest));
          await world.image(A, ["0 new"], { tag: "new" });
        }
        return await world.driver.list(prefix, { limit: 1, ...options });
      },
    };
    expect(await look(driver)).toMatchObject({ found: [] });
    expect(pages).toBeGreaterThan(12);
  });

  it("what is damaged never widens what is collected", async () => {
    for (const { name: title, make } of DAMAGES) {
      const world = new World();
      const filled = await fill(world.driver);
      await world.blob(A, "garbage");
      await make(filled, world.driver).catch(() => undefined);
      world.age();
      const before = new Set(await world.keys());
      const allowed = new Set(
        [filled.loose, digestOf("sha256", Buffer.from("garbage"))].map((digest) => layout.blob(digest)),
      );
      for (let run = 0; run < 3; run++) {
        await new Collector(world.driver, DEFAULTS).run();
        world.time += TIMES.settleMs + 60_000;
      }
      const after = new Set(await world.keys());
      const gone = [...before].filter((key) => !after.has(key) && key.startsWith(layout.blobs) && !allowed.has(key));
      // Where what needs a blob was taken away as a client's delete does it, that is garbage.
      if (/gone|without its child|a tag that/.test(title)) continue;
      expect(gone, title).toEqual([]);
    }
  });
});

/** What can be read: every key but the collector's, with its bytes. */
async function readable(driver: StorageDriver): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for await (const { key } of listKeys(driver, "")) {
    // A link that is written again is another one than before.
    if (key.endsWith("/link") || key.includes("/_gc/") || key.includes("/_catalog/")) continue;
    all.set(key, Buffer.from((await driver.read(key, 1e6)) ?? []).toString("base64"));
  }
  return all;
}
