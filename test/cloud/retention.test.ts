/** Retention, recorded pulls and immutable tags in the stack as it is synthesized, each function with its own role alone. */
import { utimes } from "node:fs/promises";
import path from "node:path";
import { DeleteObjectCommand, ListObjectsV2Command, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDigest } from "../../shared/oci/digest.ts";
import { parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { makeManifest, pushMade, tagsOf, type Made } from "../dropin/content.ts";
import { Api } from "../support/api.ts";
import { s3Client, sharedVersitygw, type S3Server } from "../support/s3-servers.ts";
import { startDeployed, type DeployedCloud } from "./deployed.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** As a deployment's functions are told: variables, whose values are YAML. */
const RULES = [
  { repositories: ["ci/**"], tags: ["pr-*"], keep: { last: 2 } },
  {
    repositories: ["ci/**"],
    keep: { matching: ["v*"], youngerthan: "168h", pulledwithin: "720h" },
    expireuntagged: "48h",
  },
];
const env = {
  REGISTRY_STORAGE_MAINTENANCE_GC_RETENTION: JSON.stringify(RULES),
  REGISTRY_STORAGE_MAINTENANCE_GC_RECORDPULLS: "true",
  REGISTRY_STORAGE_TAG_IMMUTABLE: JSON.stringify([{ repositories: ["prod/**"] }]),
};

let server: S3Server;
let owner: S3Client;
let cloud: DeployedCloud;
let api: Api;
beforeAll(async () => {
  server = await sharedVersitygw();
  owner = s3Client(server);
  cloud = await startDeployed({ store: server, users: undefined, env });
  api = new Api({ url: `http://${cloud.api}` });
}, 180_000);
afterAll(async () => {
  await cloud.close();
  owner.destroy();
});

async function keys(prefix: string): Promise<string[]> {
  const { Contents = [] } = await owner.send(
    new ListObjectsV2Command({ Bucket: cloud.buckets.storage, Prefix: prefix }),
  );
  return Contents.map(({ Key = "" }) => Key);
}

/** Says of an object that it was written so long ago: versitygw has the times of its files. */
async function age(key: string, ms: number): Promise<void> {
  const time = new Date(Date.now() - ms);
  await utimes(path.join(server.folder, "data", cloud.buckets.storage, key), time, time);
}

/** One call of the function that works at night, the one before long ago. */
async function night(): Promise<string> {
  await owner.send(new DeleteObjectCommand({ Bucket: cloud.buckets.storage, Key: layout.gcLease }));
  for (const key of await keys(`${layout.root}_gc/marks/`)) await age(key, HOUR);
  return await cloud.collect();
}

const push = async (repository: string, tag?: string): Promise<Made> => {
  const made = makeManifest();
  await pushMade(api, repository, made, tag ?? made.digest);
  return made;
};

describe("at night", () => {
  it("tags and manifests go that no rule keeps, and all others stay", { timeout: 180_000 }, async () => {
    const pushed: Record<string, Made> = {};
    for (const tag of ["pr-1", "pr-2", "pr-3", "v1", "fresh", "pulled", "stale"])
      pushed[tag] = await push("ci/app", tag);
    const [untagged, young] = [await push("ci/app"), await push("ci/app")];
    const [other, otherUntagged] = [await push("other/app", "stale"), await push("other/app")];
    const monthNow = (): string => new Date().toISOString().slice(0, 7);
    const before = monthNow();
    await api.manifest("ci/app", "pulled");
    const pulls = await keys(layout.pulls);
    // A month may have ended meanwhile.
    const month = pulls.some((key) => key.includes(monthNow())) ? monthNow() : before;
    const digestOf = (made: Made | undefined) => parseDigest(made?.digest ?? "");
    const [ci, elsewhere] = [parseRepositoryName("ci/app"), parseRepositoryName("other/app")];
    expect(pulls).toEqual([layout.pull(month, ci, digestOf(pushed["pulled"])), layout.pullsSince]);
    // What was recorded in a month that no rule asks for any more.
    const forgotten = layout.pull("2020-01", ci, digestOf(pushed["stale"]));
    await owner.send(new PutObjectCommand({ Bucket: cloud.buckets.storage, Key: forgotten, Body: "x" }));

    for (const key of await keys(layout.root)) if (!key.startsWith(layout.pulls)) await age(key, 60 * DAY);
    const tagged = (tag: string): string => layout.tagLink(ci, parseTag(tag));
    await age(tagged("pr-2"), 59 * DAY);
    await age(tagged("pr-3"), 58 * DAY);
    await age(tagged("fresh"), 6 * DAY);
    await age(layout.revisionLink(ci, digestOf(young)), 1.8 * DAY);
    await age(layout.pullsSince, 20 * DAY);
    const all = ["fresh", "pr-1", "pr-2", "pr-3", "pulled", "stale", "v1"];

    // Pulls are not recorded for as long as the rule asks: all count as pulled, but where it does not ask.
    await night();
    expect(await keys(forgotten)).toEqual([]);
    await night();
    expect((await tagsOf(api, "ci/app")).sort()).toEqual(all.filter((tag) => tag !== "pr-1"));

    await age(layout.pullsSince, 31 * DAY);
    for (let nights = 0; nights < 2; nights++) await night();
    expect((await tagsOf(api, "ci/app")).sort()).toEqual(["fresh", "pr-2", "pr-3", "pulled", "v1"]);
    // Their manifests are untagged since then.
    for (let nights = 0; nights < 2; nights++) await night();
    for (const [name, made, isThere] of [
      [ci, pushed["pr-1"], false],
      [ci, pushed["stale"], false],
      [ci, untagged, false],
      [ci, young, true],
      [elsewhere, other, true],
      [elsewhere, otherUntagged, true],
      ...["pr-2", "pr-3", "v1", "fresh", "pulled"].map((tag) => [ci, pushed[tag], true] as const),
    ] as const) {
      const { status } = await api.call("GET", `/v2/${name}/manifests/${digestOf(made)}`);
      expect([digestOf(made), status]).toEqual([digestOf(made), isThere ? 200 : 404]);
    }
  });
});

describe("of two pushes of an immutable tag at one moment, through both functions", () => {
  it("one wins, and nobody can move or delete it", { timeout: 120_000 }, async () => {
    const uploads = new Api({ url: `http://${cloud.uploads}` });
    const [one, two] = [await push("prod/app"), await push("prod/app")];
    for (let round = 0; round < 8; round++) {
      const tag = `v${round}`;
      const replies = await Promise.all([
        api.putManifest("prod/app", tag, one.bytes),
        uploads.putManifest("prod/app", tag, two.bytes),
      ]);
      expect(replies.map(({ status }) => status).toSorted()).toEqual([201, 400]);
      const winner = replies[0].status === 201 ? one : two;
      for (const registry of [api, uploads]) {
        expect((await registry.manifest("prod/app", tag)).digest).toBe(winner.digest);
        await registry.expect(403, "DELETE", `/v2/prod/app/manifests/${tag}`);
      }
    }
  });
});

describe("the roles", () => {
  it("had each right that this took", () => {
    const { registry, uploads, collector } = cloud.policies;
    expect([registry.denied, uploads.denied, collector.denied]).toEqual([[], [], []]);
  });
});
