import { describe, expect, it } from "vitest";
import type { GcEvent } from "../../shared/gc/events.ts";
import { retentionByRules, type RetentionRule } from "../../shared/gc/retention-rules.ts";
import { deleteUntagged, either } from "../../shared/gc/retention.ts";
import { undo } from "../../shared/gc/undo.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import type { Tag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { PullLog } from "../../shared/registry/pull-log.ts";
import { readLink, writeLink } from "../../shared/registry/link.ts";
import { createTestApp } from "../support/app.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { nameOf, TIMES, World } from "./support.ts";

const A = "ci/app";
const LAST_ONE: RetentionRule = { repositories: ["ci/**"], tags: ["*"], except: [], keep: { last: 1 } };
const retention = retentionByRules([{ ...LAST_ONE, expireUntaggedMs: 1000 }]);

const emptyDigest = digestOf("sha256", Buffer.from("{}"));
const link = (tag: string): string => layout.tagLink(nameOf(A), tag as Tag);
const folder = async (world: World, tag: string): Promise<string[]> =>
  (await world.keys()).filter((key) => key.startsWith(layout.tag(nameOf(A), tag as Tag)));

/** Two images, of which the first has one tag that goes and a history. */
async function twoTags(world: World) {
  const first = await world.image(A, ["first"], { tag: "old" });
  world.time += 60_000;
  const second = await world.image(A, ["second"], { tag: "new" });
  await writeLink(world.driver, layout.tagHistoryLink(nameOf(A), "old" as Tag, second.digest), second.digest);
  return { first, second };
}

describe("a tag that no rule keeps", () => {
  it("goes after two runs with its history, its manifest after two more, and its layers after that", async () => {
    const world = new World();
    const { first, second } = await twoTags(world);
    world.age();
    const events: GcEvent[] = [];
    const dry = await world.collect({ retention, dryRun: true, report: (event) => events.push(event) });
    expect(dry).toMatchObject({ eligibleTags: 1, eligibleManifests: 0, eligible: 0 });
    expect(events.filter(({ kind }) => kind !== "marked")).toEqual([
      {
        kind: "eligible",
        due: "once condemned",
        repository: A,
        tag: "old",
        digest: first.digest,
        reason: "retention.0: not of the last 1",
      },
    ]);
    expect(await folder(world, "old")).toHaveLength(3);
    const [one, two] = await world.collectTwice({ retention });
    expect(one).toMatchObject({ eligibleTags: 1, deletedTags: 0, condemned: 1 });
    expect(two).toMatchObject({ eligibleTags: 1, deletedTags: 1, deletedManifests: 0 });
    expect(await folder(world, "old")).toEqual([]);
    expect(await folder(world, "new")).toHaveLength(2);
    expect(await world.hasRevision(A, first.digest)).toBe(true);
    await world.collectTwice({ retention });
    expect(await world.hasRevision(A, first.digest)).toBe(false);
    await world.collectTwice({ retention });
    expect(await world.has(first.digest)).toBe(false);
    expect([await world.has(second.digest), await world.hasRevision(A, second.digest)]).toEqual([true, true]);
  });

  it("stays until it is older than the horizon", async () => {
    const world = new World();
    await twoTags(world);
    world.time += TIMES.horizonMs - 60_000;
    expect((await world.collect({ retention })).eligibleTags).toBe(0);
    world.time += 120_000;
    expect((await world.collect({ retention })).eligibleTags).toBe(1);
  });

  it("stays in a repository that no rule is about, and where tags are kept", async () => {
    const world = new World();
    await twoTags(world);
    world.age();
    const before = await world.keys();
    for (const rules of [[{ ...LAST_ONE, repositories: ["prod/**"] }], [{ ...LAST_ONE, keep: undefined }, LAST_ONE]]) {
      const of = retentionByRules(rules.map(({ keep, ...rule }) => (keep === undefined ? rule : { ...rule, keep })));
      expect((await world.collectTwice({ retention: of }))[1]).toMatchObject({ outcome: "done", eligibleTags: 0 });
    }
    expect(await world.keys()).toEqual(before);
  });

  it("is read only where a rule is about its repository, by which nothing of the others goes or stays that did not", async () => {
    const others = ["prod/app", "cicd", "dev/ci/app"];
    const world = new World();
    await twoTags(world);
    for (const name of others) {
      for (const tag of ["old", "new"]) await world.image(name, [`${name} ${tag}`], { tag });
      await world.index(name, [(await world.image(name, [`${name} child`])).digest]);
      await world.image(name, [`${name} untagged`]);
    }
    world.age();
    const before = await world.keys();
    for (const [run, deletes] of [
      ["condemns", {}],
      ["deletes", { deletedTags: 1 }],
    ] as const) {
      const read: string[] = [];
      const watched = withFaults(world.driver, ({ operation, key }) => {
        if (operation === "read" && key.includes("/_manifests/tags/")) read.push(key);
        return "pass";
      });
      expect(await world.collect({ retention }, watched), run).toMatchObject({ eligibleTags: 1, ...deletes });
      expect(new Set(read), run).toEqual(new Set([link("new"), link("old")]));
    }
    const gone = before.filter((key) => key.startsWith(layout.tag(nameOf(A), "old" as Tag)));
    expect(gone).toHaveLength(3);
    expect(await world.keys()).toEqual(before.filter((key) => !gone.includes(key)));
    // Asked for everywhere, the same goes, and in the others what is untagged: there too only by their tags.
    await world.collectTwice({ retention: either(retention, deleteUntagged) });
    for (const name of others) {
      const left = (await world.keys()).filter((key) =>
        key.startsWith(`${layout.repositories}${name}/_manifests/revisions/`),
      );
      expect(left, name).toHaveLength(2);
    }
  });

  it("ends a run, where it is malformed, only if that reads the tags of its repository", async () => {
    const world = new World();
    await twoTags(world);
    await world.blob("prod/app", "garbage");
    const { digest } = await world.image("prod/app", ["prod"], { tag: "broken" });
    world.age();
    for (const bytes of ["sha256:short", `sha512:${digest.slice(7)}`]) {
      await world.driver.put(layout.tagLink(nameOf("prod/app"), "broken" as Tag), Buffer.from(bytes));
      world.age();
      for (const options of [{}, { retention }]) {
        expect(await world.collect({ ...options, dryRun: true })).toMatchObject({ outcome: "done", eligible: 1 });
      }
      expect(await world.collect({ retention: deleteUntagged })).toMatchObject({
        outcome: "failed",
        reason: expect.stringContaining("malformed") as string,
      });
    }
  });

  it("stays if another registry sets it again between its listing and its sweep", async () => {
    const world = new World();
    const { second } = await twoTags(world);
    world.age();
    await world.collect({ retention });
    const collector = world.collector({ retention });
    let outcome = await collector.step({ ms: 0 });
    while (outcome.state === "more" && outcome.phase !== "manifests") outcome = await collector.step({ ms: 0 });
    expect(outcome).toMatchObject({ state: "more", phase: "manifests" });
    await writeLink(world.driver, link("old"), second.digest);
    const summary = await collector.run();
    expect(summary).toMatchObject({ outcome: "done", deletedTags: 0 });
    expect(await readLink(world.driver, link("old"))).toBe(second.digest);
  });

  it("stays if another registry sets it as late as when the permit to delete it is opened", async () => {
    const world = new World();
    const { second } = await twoTags(world);
    world.age();
    await world.collect({ retention });
    let isSweeping = false;
    const watched = withFaults(world.driver, async ({ operation }): Promise<Verdict> => {
      if (isSweeping && operation === "open permit") {
        isSweeping = false;
        await writeLink(world.driver, link("old"), second.digest);
      }
      return "pass";
    });
    const collector = world.collector({ retention }, watched);
    let outcome = await collector.step({ ms: 0 });
    while (outcome.state === "more" && outcome.phase !== "manifests") outcome = await collector.step({ ms: 0 });
    isSweeping = true;
    expect(await collector.run()).toMatchObject({ outcome: "done", eligibleTags: 1, deletedTags: 0, lost: 0 });
    expect(isSweeping).toBe(false);
    expect(await readLink(world.driver, link("old"))).toBe(second.digest);
  });

  it("comes back with its history when the run is undone, unless it names something again", async () => {
    const world = new World();
    const { first, second } = await twoTags(world);
    world.age();
    const before = await world.keys();
    const [, { run }] = await world.collectTwice({ retention });
    expect(await undo(world.driver, run, TIMES)).toMatchObject({
      blobs: 0,
      manifests: 0,
      tags: 1,
      bytes: 0,
      missing: [],
    });
    expect(await world.keys()).toEqual(before);
    expect(await readLink(world.driver, link("old"))).toBe(first.digest);
    const history = layout.tagHistoryLink(nameOf(A), "old" as Tag, second.digest);
    expect(await readLink(world.driver, history)).toBe(second.digest);
    await writeLink(world.driver, link("old"), second.digest);
    await undo(world.driver, run, TIMES);
    expect(await readLink(world.driver, link("old"))).toBe(second.digest);
    await world.deleteManifest(A, first.digest);
    expect((await undo(world.driver, run, TIMES)).missing).toMatchObject([{ tag: "old", repository: A }]);
  });
});

describe("tags of one second", () => {
  const facts = (sets: Readonly<Record<string, number>>) => ({
    ...{ name: A, asOf: new Date(1_000_000), revisions: [] },
    tags: Object.entries(sets).map(([tag, at]) => ({ tag, digest: emptyDigest, set: new Date(at) })),
  });
  const gone = (keep: RetentionRule["keep"] & object, sets: Readonly<Record<string, number>>): string[] =>
    retentionByRules([{ ...LAST_ONE, keep }])
      .expiredTags(facts(sets))
      .map(({ tag }) => tag);

  it("stay or go together: only what as many are newer than as the rule keeps goes", () => {
    const five = { "pr-1": 5000, "pr-2": 5000, "pr-3": 5000, "pr-4": 5000, "pr-5": 5000 };
    expect(gone({ last: 2 }, five)).toEqual([]);
    expect(gone({ last: 2 }, { ...five, old: 4000 })).toEqual(["old"]);
    expect(gone({ last: 2 }, { ...five, newer: 6000, old: 4000 })).toEqual(["old"]);
    expect(gone({ last: 2 }, { ...five, newer: 6000, newest: 7000 })).toEqual(Object.keys(five));
    expect(gone({ last: 7 }, five)).toEqual([]);
  });

  it("are looked at as late as the last moment of a time that keeps them", () => {
    expect(gone({ youngerThanMs: 100_000 }, { in: 900_000, out: 899_000 })).toEqual(["out"]);
  });

  it("all stay in a run, and all go in the next after as many newer ones", async () => {
    const world = new World();
    for (const tag of ["pr-1", "pr-2", "pr-3"]) await world.image(A, [tag], { tag });
    world.age();
    expect((await world.collect({ retention })).eligibleTags).toBe(0);
    await world.image(A, ["pr-4"], { tag: "pr-4" });
    expect((await world.collect({ retention })).eligibleTags).toBe(3);
  });
});

describe("reasons", () => {
  it("say times as people do", () => {
    const rules = (ms: number) =>
      retentionByRules([{ ...LAST_ONE, keep: { youngerThanMs: ms, pulledWithinMs: ms }, expireUntaggedMs: ms }]);
    const day = new Date(0);
    const facts = {
      ...{ name: A, asOf: new Date(Date.UTC(2026, 0, 1)), pullsRecordedSince: day },
      revisions: [{ digest: emptyDigest, pushed: day, size: 2, tags: [] }],
      tags: [{ tag: "old", digest: emptyDigest, set: day }],
    };
    for (const [ms, said] of [
      [120_000, "2 minutes"],
      [180_000, "3 minutes"],
      [90 * 24 * 3_600_000, "90 days"],
    ] as const) {
      expect(
        rules(ms)
          .expired(facts)
          .map(({ reason }) => reason),
      ).toEqual([`retention.0: untagged, pushed more than ${said} ago`]);
      expect(
        rules(ms)
          .expiredTags(facts)
          .map(({ reason }) => reason),
      ).toEqual([`retention.0: pushed more than ${said} ago, not pulled within ${said}`]);
    }
  });
});

describe("a tag that is kept as long as it is pulled", () => {
  const DAY = 24 * 3_600_000;
  const pulled = retentionByRules([{ ...LAST_ONE, keep: { last: 1, pulledWithinMs: 10 * DAY } }]);

  it("stays until pulls were recorded for so long, and then for as long as it was pulled", async () => {
    const world = new World();
    const { first, second } = await twoTags(world);
    world.age();
    expect((await world.collect({ retention: pulled })).eligibleTags).toBe(0); // nothing is known
    const log = new PullLog(world.driver, () => new Date(world.time));
    await log.record(nameOf(A), second.digest);
    world.time += 9 * DAY;
    expect((await world.collect({ retention: pulled })).eligibleTags).toBe(0); // not for long enough
    await log.record(nameOf(A), first.digest);
    for (let days = 0; days < 10; days++) {
      expect((await world.collect({ retention: pulled })).eligibleTags, `${days} days later`).toBe(0);
      world.time += DAY;
    }
    world.time += DAY;
    expect((await world.collectTwice({ retention: pulled }))[1]).toMatchObject({ eligibleTags: 1, deletedTags: 1 });
    expect(await folder(world, "old")).toEqual([]);
  });

  it("goes on being known where a run is done in steps", async () => {
    const world = new World();
    const { first, second } = await twoTags(world);
    const log = new PullLog(world.driver, () => new Date(world.time));
    await log.record(nameOf(A), second.digest);
    world.time += 20 * DAY;
    await log.record(nameOf(A), first.digest);
    const collector = world.collector({ retention: pulled });
    let outcome = await collector.step({ ms: 0 });
    while (outcome.state === "more") outcome = await collector.step({ ms: 0 });
    expect(outcome).toMatchObject({ state: "done", summary: { outcome: "done", eligibleTags: 0 } });
  });

  it("is forgotten with its month once nothing asks for that any more", async () => {
    const world = new World();
    const { first } = await twoTags(world);
    await new PullLog(world.driver, () => new Date(world.time)).record(nameOf(A), first.digest);
    const records = async (): Promise<number> => (await world.driver.list(layout.pulls)).objects.length;
    world.time += 128 * DAY;
    await world.collect({ retention: retentionByRules([{ ...LAST_ONE, keep: { pulledWithinMs: 100 * DAY } }]) });
    expect(await records()).toBe(2);
    await world.collect();
    expect(await records()).toBe(1); // since when they are recorded
  });
});

describe("what belongs to a manifest", () => {
  it("by the name of its tag stays with it and goes with it, and is not counted", async () => {
    const world = new World();
    const { first, second } = await twoTags(world);
    const named = (digest: string): string => `${digest.replace(":", "-")}.sig`;
    for (const { digest } of [first, second]) await world.image(A, [`signs ${digest}`], { tag: named(digest) });
    await world.image(A, ["signs elsewhere"], { tag: `sha256-${"0".repeat(64)}.sig` });
    world.age();
    const tags = async (): Promise<string[]> =>
      (await world.keys()).filter((key) => key.endsWith("/current/link")).map((key) => key.split("/").at(-3) ?? "");
    await world.collectTwice({ retention });
    expect((await tags()).toSorted()).toEqual(
      ["new", named(first.digest), named(second.digest), `sha256-${"0".repeat(64)}.sig`].toSorted(),
    );
    const [, second_] = await world.collectTwice({ retention });
    expect(second_).toMatchObject({ deletedManifests: 1, deletedTags: 1 });
    expect((await tags()).toSorted()).toEqual(["new", named(second.digest), `sha256-${"0".repeat(64)}.sig`].toSorted());
  });

  it("by the name of its tag is not taken from who pushes the manifest again, at whatever call of a run", async () => {
    const came = { "goes with it before": 0, "is there": 0, "is just going": 0 };
    for (let call = 1, isOver = false; !isOver; call++) {
      const world = new World();
      const { send } = createTestApp(world.driver, {
        registry: { times: TIMES, now: () => new Date(world.time), pause: async () => undefined, tagsExpire: true },
      });
      for (const content of [CONFIG, "layer", "signature", "other"]) await pushBlob(send, A, content);
      const image = imageOf(["layer"]);
      await putManifest(send, A, image.digest, image);
      const tag = `${image.digest.replace(":", "-")}.sig`;
      await putManifest(send, A, tag, imageOf(["signature"]));
      await putManifest(send, A, "other", imageOf(["other"]));
      world.age();
      await world.collect({ retention });
      let [calls, isPromised] = [0, false];
      const pushes = async (): Promise<void> => {
        for (const content of [CONFIG, "layer"]) await pushBlob(send, A, content);
        const { status } = await putManifest(send, A, "new", image);
        const isThere = (await world.driver.head(link(tag))) !== undefined;
        came[status !== 201 ? "is just going" : isThere ? "is there" : "goes with it before"]++;
        isPromised = status === 201 && isThere;
      };
      const interrupted = withFaults(world.driver, async (): Promise<Verdict> => {
        if (++calls === call) await pushes();
        return "pass";
      });
      expect((await world.collect({ retention }, interrupted)).outcome).toBe("done");
      isOver = calls < call;
      for (let night = 0; isPromised && night < 3; night++) {
        expect((await send("GET", `/v2/${A}/manifests/${tag}`)).status, `call ${call}, night ${night}`).toBe(200);
        world.age();
        await world.collect({ retention });
      }
    }
    for (const count of Object.values(came)) expect(count).toBeGreaterThan(0);
  });

  it("by the name of its tag keeps it while it is young, and goes with it in the end", async () => {
    const world = new World();
    const { digest } = await world.image(A, ["signed"]);
    const tag = `${digest.replace(":", "-")}.sig`;
    await world.image(A, ["kept"], { tag: "new" });
    world.age();
    await world.image(A, ["signature"], { tag }); // it is signed again
    for (const { deletedManifests } of await world.collectTwice({ retention })) expect(deletedManifests).toBe(0);
    expect(await world.hasRevision(A, digest)).toBe(true);
    world.age();
    expect((await world.collectTwice({ retention }))[1]).toMatchObject({ deletedManifests: 1, deletedTags: 1 });
    expect([await world.hasRevision(A, digest), await folder(world, tag)]).toEqual([false, []]);
  });

  it("by the name of its tag keeps it where it is signed again while a run goes on", async () => {
    const world = new World();
    const { send } = createTestApp(world.driver, {
      registry: { times: TIMES, now: () => new Date(world.time), pause: async () => undefined, tagsExpire: true },
    });
    const { digest } = await world.image(A, ["signed"]);
    const tag = `${digest.replace(":", "-")}.sig`;
    for (const content of [CONFIG, "signature"]) await pushBlob(send, A, content);
    await putManifest(send, A, tag, imageOf(["signature"]));
    await world.image(A, ["kept"], { tag: "new" });
    world.age();
    await world.collect({ retention });
    const collector = world.collector({ retention });
    let outcome = await collector.step({ ms: 0 });
    while (outcome.state === "more" && outcome.phase !== "manifests") outcome = await collector.step({ ms: 0 });
    for (const content of [CONFIG, "signature"]) await pushBlob(send, A, content);
    expect((await putManifest(send, A, tag, imageOf(["signature"]))).status).toBe(201);
    expect(await collector.run()).toMatchObject({ outcome: "done", deletedManifests: 0, deletedTags: 0 });
    expect(await world.hasRevision(A, digest)).toBe(true);
    world.age();
    await world.collectTwice({ retention });
    expect([await world.hasRevision(A, digest), await folder(world, tag)]).toEqual([false, []]);
  });

  it("as child or referrer stays as long as a tag keeps it, though it is untagged and old", async () => {
    const world = new World();
    const child = await world.image(A, ["child"]);
    await world.index(A, [child.digest], "new");
    const signature = await world.referrer(A, child.digest, "signature of a child");
    world.age();
    await world.collectTwice({ retention });
    expect((await world.collectTwice({ retention }))[1]).toMatchObject({ eligibleManifests: 0, deletedManifests: 0 });
    for (const digest of [child.digest, signature]) expect(await world.hasRevision(A, digest)).toBe(true);
  });
});
