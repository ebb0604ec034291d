/** The keys that each operation leaves: exactly those of the other registry, and those of ours that are documented. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { sha256, type Api } from "../support/api.ts";
import type { Storage } from "../support/storage.ts";
import { beside, PAIRS } from "./beside.ts";
import { makeManifest, pushMade } from "./content.ts";

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const REPOSITORY = "docker/registry/v2/repositories/team/app";

/** Every key with what it holds: of a link its digest, of a blob its hash, of times and states nothing. */
async function keysIn(storage: Storage): Promise<string[]> {
  const keys = await Promise.all(
    (await storage.keys()).map(async (key) => {
      const bytes = await storage.read(key);
      const name = key.replace(UUID, "<uuid>");
      if (name.endsWith("/link")) return `${name} = ${bytes.toString("latin1")}`;
      if (name.includes("/blobs/")) return `${name} = ${createHash("sha256").update(bytes).digest("hex")}`;
      if (name.endsWith("/startedat")) return `${name} = ${bytes.toString("latin1").replaceAll(/\d/g, "0")}`;
      return name;
    }),
  );
  return keys.sort();
}

const made = makeManifest();
const other = makeManifest();
const blob = made.blobs[1] ?? Buffer.of();
const referrer = makeManifest({ subject: made.digest });
const pathOf = (digest: string): string => digest.replace(":", "/");

interface Operation {
  readonly name: string;
  readonly run: (api: Api) => Promise<unknown>;
  /** Keys that only we write, and keys that only the other does. */
  readonly onlyOurs?: readonly string[];
  readonly onlyTheirs?: readonly string[];
}

/** Bytes of an open upload. In a bucket they are parts of a multipart upload; our few of a test lie in the state. */
const UPLOADED = [`${REPOSITORY}/_uploads/<uuid>/data`, `${REPOSITORY}/_uploads/<uuid>/<uuid>`];
const CATALOGUED = "docker/registry/v2/_catalog/repositories/team/app!";
const STARTED = `${REPOSITORY}/_uploads/<uuid>/startedat = 0000-00-00T00:00:00Z`;

const OPERATIONS: readonly Operation[] = [
  { name: "push of a blob", run: async (api) => await api.pushBlob("team/app", blob) },
  { name: "push of a blob in chunks", run: async (api) => await api.pushBlob("team/app", blob, "sha256", 3) },
  { name: "push of an image by tag", run: async (api) => await pushMade(api, "team/app", made, "v1") },
  { name: "push of an image by digest", run: async (api) => await pushMade(api, "team/app", made, made.digest) },
  {
    name: "push of an image under three tags",
    run: async (api) => {
      await pushMade(api, "team/app", made, made.digest);
      for (const tag of ["v1", "v2", "latest"]) await api.putManifest("team/app", tag, made.bytes);
    },
  },
  {
    name: "a tag that moves, and moves back",
    run: async (api) => {
      for (const next of [made, other, made]) await pushMade(api, "team/app", next, "v1");
    },
  },
  {
    name: "mount of a blob",
    run: async (api) => {
      await api.pushBlob("team/base", blob);
      await api.expect(201, "POST", `/v2/team/app/blobs/uploads/?mount=${sha256(blob)}&from=team/base`);
    },
  },
  {
    name: "delete of a manifest with two tags, beside another",
    run: async (api) => {
      await pushMade(api, "team/app", made, "v1");
      await api.putManifest("team/app", "v2", made.bytes);
      await pushMade(api, "team/app", other, "other");
      await api.expect(202, "DELETE", `/v2/team/app/manifests/${made.digest}`);
    },
  },
  {
    name: "delete of a blob",
    run: async (api) => {
      await api.pushBlob("team/app", blob);
      await api.expect(202, "DELETE", `/v2/team/app/blobs/${sha256(blob)}`);
    },
  },
  {
    name: "an upload that is open",
    run: async (api) => await api.startUpload("team/app"),
    onlyTheirs: [`${REPOSITORY}/_uploads/<uuid>/data`, `${REPOSITORY}/_uploads/<uuid>/hashstates/sha256/0`],
  },
  {
    name: "an upload that is open and holds bytes",
    run: async (api) => {
      const location = await api.startUpload("team/app");
      const headers = { "Content-Type": "application/octet-stream", "Content-Length": String(blob.byteLength) };
      await api.expect(202, "PATCH", location, { headers, body: blob });
    },
    onlyOurs: [`${REPOSITORY}/_uploads/<uuid>/<uuid>`, `${REPOSITORY}/_uploads/<uuid>/state`],
    onlyTheirs: [
      `${REPOSITORY}/_uploads/<uuid>/data`,
      `${REPOSITORY}/_uploads/<uuid>/hashstates/sha256/0`,
      `${REPOSITORY}/_uploads/<uuid>/hashstates/sha256/${blob.byteLength}`,
    ],
  },
  {
    name: "an upload that is cancelled",
    run: async (api) => await api.expect(204, "DELETE", await api.startUpload("team/app")),
    // Forgotten by them; nothing reads it.
    onlyTheirs: [`${REPOSITORY}/_uploads/<uuid>/hashstates/sha256/0`],
  },
  {
    name: "push of a referrer",
    run: async (api) => {
      await pushMade(api, "team/app", made, "v1");
      await pushMade(api, "team/app", referrer, referrer.digest);
    },
    onlyOurs: [`${REPOSITORY}/_referrers/${pathOf(made.digest)}/${pathOf(referrer.digest)}/link = ${referrer.digest}`],
  },
  {
    name: "delete of a referrer",
    run: async (api) => {
      await pushMade(api, "team/app", made, "v1");
      await pushMade(api, "team/app", referrer, referrer.digest);
      await api.expect(202, "DELETE", `/v2/team/app/manifests/${referrer.digest}`);
    },
  },
];

describe.each(PAIRS)("$name", (pair) => {
  const [here, there] = [beside(pair), beside(pair)];
  const kind = pair.peer;

  const inBucket = pair.storage.on === "bucket";
  const stored = (keys: readonly string[]): readonly string[] =>
    inBucket ? keys.filter((key) => !UPLOADED.includes(key)) : keys;
  /** In a bucket the catalog is an index of ours. */
  const catalogued = (keys: readonly string[]): readonly string[] =>
    inBucket && keys.some((key) => key.includes("/team/app/_manifests/")) ? [CATALOGUED, ...keys] : keys;

  test.each(OPERATIONS)("$name", async ({ run, onlyOurs = [], onlyTheirs = [] }) => {
    const [ours, peer] = await Promise.all([here.startOurs(), there.startPeer()]);
    await run(peer.api);
    await run(ours.api);
    const theirs = await keysIn(there.storage);
    for (const key of stored(onlyTheirs)) expect(theirs).toContain(key);
    const common = theirs.filter((key) => !onlyTheirs.includes(key));
    expect(await keysIn(here.storage)).toEqual([...catalogued(common), ...stored(onlyOurs)].sort());
  });

  test("delete of a tag", async () => {
    const [ours, peer] = await Promise.all([here.startOurs(), there.startPeer()]);
    for (const { api } of [ours, peer]) {
      await pushMade(api, "team/app", made, "v1");
      await api.putManifest("team/app", "v2", made.bytes);
    }
    await ours.api.expect(202, "DELETE", "/v2/team/app/manifests/v1");
    if (kind.deletesTags) await peer.api.expect(202, "DELETE", "/v2/team/app/manifests/v1");
    const ofTag = `${REPOSITORY}/_manifests/tags/v1/`;
    const theirs = (await keysIn(there.storage)).filter((key) => kind.deletesTags || !key.startsWith(ofTag));
    expect(await keysIn(here.storage)).toEqual([...catalogued(theirs)].sort());
  });

  test("what an upload begins with is its start, in the same form", async () => {
    const ours = await here.startOurs();
    await ours.api.startUpload("team/app");
    expect(await keysIn(here.storage)).toEqual([STARTED]);
  });
});
