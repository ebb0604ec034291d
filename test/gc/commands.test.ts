/** `lading garbage-collect` and `lading gc`: what they print and how they end, over a store with a clock of its own. */
import { describe, expect, it } from "vitest";
import { collect, failureOf, type Collection } from "../../bin/garbage-collect.ts";
import { listRuns, showRun, undoRun } from "../../bin/gc.ts";
import { cutTo, sizeOf, tableOf } from "../../bin/console.ts";
import { sentencesOf } from "../../bin/storage.ts";
import { retentionByRules } from "../../shared/gc/retention-rules.ts";
import { deleteUntagged, either } from "../../shared/gc/retention.ts";
import { momentOf, spanOf } from "../../shared/gc/times.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import type { Tag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { listKeys, StorageFullError } from "../../shared/storage/driver.ts";
import { observed } from "../../shared/storage/observed.ts";
import { keptConsole } from "./console.ts";
import { DEFAULTS, nameOf, TIMES, withoutTrash, World } from "./support.ts";

const A = "library/a";

/** A run from the command line; while it waits, the store's clock goes on. */
async function command(world: World, given: Partial<Collection> = {}, options: Partial<Collection["options"]> = {}) {
  const console = keptConsole();
  const waits: number[] = [];
  const code = await collect({
    driver: world.driver,
    place: "./data",
    console,
    quiet: false,
    waits: false,
    signal: new AbortController().signal,
    pause: async (ms) => {
      waits.push(ms);
      world.time += ms;
    },
    ...given,
    options: { ...DEFAULTS, ...options },
  });
  return { code, waits, text: console.lines.join("\n"), ...console };
}

async function garbageWorld(): Promise<World> {
  const world = new World();
  await world.image(A, ["layer"], { tag: "latest" });
  await world.blob(A, "garbage");
  world.age();
  return world;
}

describe("garbage-collect", () => {
  it("says after the first run what the next one deletes and when, and after the next what it deleted", async () => {
    const world = await garbageWorld();
    const first = await command(world);
    expect(first.code).toBe(0);
    expect(first.text).toContain("3 blobs marked, 1 blobs and 0 manifests eligible for deletion\n");
    expect(first.text).toMatch(/^blob eligible for deletion: sha256:[0-9a-f]{64}/m);
    expect(first.text).toContain("nothing deleted");
    const from = momentOf(new Date(world.time + TIMES.settleMs));
    expect(first.text).toContain(`1 blob (7 B) condemned; a run from ${from} on deletes it (--wait stays for it)\n`);
    world.time += TIMES.settleMs;
    const second = await command(world);
    expect(second.text).toMatch(/^blob deleted: sha256:[0-9a-f]{64} {2}7 B$/m);
    expect(second.text).toContain("1 blob (7 B) deleted");
    expect(second.text).toMatch(/"lading gc undo \S+" brings back what it deleted/);
    expect(second.errors).toEqual([]);
  });

  it("with --dry-run tables what would go, why, and whether the run would delete it or condemn it", async () => {
    const world = await garbageWorld();
    await world.image(A, ["untagged"]);
    world.age();
    const untagged = { dryRun: true, retention: deleteUntagged };
    const before = await world.keys();
    const first = await command(world, {}, untagged);
    expect(first.text).toMatch(
      /^blob eligible for deletion: sha256:\S{64} {2} +7 B {2}nothing refers to it {2}would be condemned$/m,
    );
    expect(first.text).toMatch(
      /^manifest eligible for deletion: sha256:\S{64} {2}library\/a {2}untagged {2}would be condemned$/m,
    );
    expect(first.text).toContain("1 blob (7 B) and 1 manifest would go; nothing was changed");
    expect(await world.keys()).toEqual(before);
    await command(world, {}, { retention: deleteUntagged });
    world.time += TIMES.settleMs + 1000;
    const later = await command(world, {}, untagged);
    expect(later.text.match(/would be deleted$/gm)).toHaveLength(2);
    expect(await world.keys()).toEqual(before);
  });

  it("with --dry-run counts the uploads that the run deletes, and leaves them", async () => {
    const world = await garbageWorld();
    const session = `${layout.uploads(A)}0b5e6a1c-7a44-8d5e-9c5e-0f6a4b2f3c11/`;
    await world.driver.put(`${session}startedat`, Buffer.from("2026-01-01T00:00:00Z"));
    await world.driver.put(`${session}data`, Buffer.from("ab"));
    world.time += DEFAULTS.uploadAgeMs ?? 0;
    expect((await command(world, {}, { dryRun: true })).text).not.toContain("upload");
    world.time += 1000;
    expect((await command(world, {}, { dryRun: true, uploadAgeMs: undefined })).text).not.toContain("upload");
    const keys = await world.keys();
    expect((await command(world, {}, { dryRun: true })).text).toContain(
      "\n1 abandoned upload (22 B) would go at once\n",
    );
    expect(await world.keys()).toEqual(keys);
    expect((await command(world)).text).toContain("1 abandoned upload (22 B) deleted\n");
  });

  it("tells what an earlier run condemned from what it condemns itself, and when each may be deleted", async () => {
    const world = await garbageWorld();
    await command(world);
    const from = momentOf(new Date(world.time + TIMES.settleMs));
    world.time += 60_000;
    const late = { retention: deleteUntagged };
    await world.blob(A, "young");
    await world.image(A, ["untagged"]);
    const dry = async () => (await command(world, {}, { ...late, dryRun: true })).text;
    expect(await dry()).toMatch(new RegExp(`  nothing refers to it  condemned, may be deleted from ${from}$`, "m"));
    const again = (await command(world, {}, late)).text;
    expect(again).toContain(`1 blob (7 B) condemned by an earlier run; a run from ${from} on deletes it (--wait`);
    expect(again.match(/ condemned/g)).toHaveLength(1);
    expect(again).not.toContain("stay for now");
    await command(world, { quiet: true });
    world.time = Date.parse(from) - 1000;
    expect(await dry()).toContain("may be deleted from");
    world.time += 1000;
    expect(await dry()).not.toContain("may be deleted from");
    expect((await command(world, {}, late)).text).toContain("1 blob (7 B) deleted");
    world.age();
    const third = (await command(world, {}, late)).text;
    const next = momentOf(new Date(world.time + TIMES.settleMs));
    expect(third).toContain(`1 blob (5 B) and 1 manifest condemned; a run from ${next} on deletes them`);
  });

  it("counts what nothing refers to and is too young, in dry runs and others", async () => {
    const world = new World();
    await world.image(A, ["layer"], { tag: "latest" });
    expect((await command(world)).text).not.toContain("too young");
    await world.blob(A, "garbage");
    for (const dryRun of [true, false]) {
      const { text } = await command(world, {}, { dryRun });
      expect(text).toContain("\n1 blob (7 B) that nothing refers to is too young\n");
    }
    await world.blob(A, "more");
    expect((await command(world)).text).toContain("\n2 blobs (11 B) that nothing refers to are too young\n");
    world.age();
    expect((await command(world)).text).not.toContain("too young");
  });

  it("says of manifests that they refer to what is not stored, and of one that it does", async () => {
    const world = new World();
    for (const says of ["1 manifest refers to blobs", "2 manifests refer to blobs"]) {
      const { blobs } = await world.image(A, [says], { tag: says.slice(0, 1) });
      await world.driver.delete(layout.blob(blobs[1] as Digest));
      expect((await command(world)).text).toContain(`\n${says} that are not stored`);
    }
  });

  it("with --wait stays until nothing is left, for as long as the protocol asks", async () => {
    const world = await garbageWorld();
    const { waits, code, text } = await command(world, { waits: true });
    expect(code).toBe(0);
    expect(waits).toEqual([expect.toSatisfy((ms: number) => ms >= TIMES.settleMs)]);
    expect(text).toContain("1 blob (7 B) deleted");
  });

  it("with --wait and untagged manifests takes what only those referred to as well", async () => {
    const world = await garbageWorld();
    const { digest, blobs } = await world.image(A, ["untagged"]);
    world.age();
    const { waits } = await command(world, { waits: true }, { retention: deleteUntagged });
    expect(waits).toHaveLength(2);
    expect(await Promise.all([digest, ...blobs].map(async (blob) => await world.has(blob)))).toEqual([
      false,
      true, // the configuration is that of another image too
      false,
    ]);
  });

  it("prints nothing with --quiet, but for what goes wrong", async () => {
    const world = await garbageWorld();
    expect(await command(world, { quiet: true })).toMatchObject({ code: 0, lines: [], errors: [], bars: [] });
    await world.manifestBytes(A, Buffer.from("{"));
    const failed = await command(world, { quiet: true });
    expect(failed).toMatchObject({ code: 1, lines: [] });
    expect(failed.errors.join()).toContain("cannot be read");
  });

  it("says before it begins where nothing can be brought back, and not where copies are set aside", async () => {
    const world = await garbageWorld();
    const driver = withoutTrash(world.driver);
    expect((await command(world, { driver })).errors.join()).toContain("nothing can bring back what is deleted");
    expect((await command(world, { driver }, { setAside: true })).errors).toEqual([]);
    const dry = await command(world, { driver }, { dryRun: true });
    expect(dry.errors).toEqual([]);
    expect(dry.text).toContain(
      "\nnothing could bring it back: the bucket keeps no versions, or none that come back without MFA\n",
    );
    expect((await command(world, { driver }, { dryRun: true, setAside: true })).text).not.toContain("bring it back");
  });

  it("ends with 3 while another collects", async () => {
    const world = await garbageWorld();
    const until = world.time + 60_000;
    await world.driver.put(layout.gcLease, Buffer.from(JSON.stringify({ holder: "another", until, cuts: [] })));
    const { code, errors } = await command(world);
    expect(code).toBe(3);
    expect(errors).toEqual([
      `another collection is under way; its lease ends at ${momentOf(new Date(until))} unless it goes on`,
    ]);
  });

  it("ends after the present step when it is interrupted, at any of them, and the next run does the rest", async () => {
    const ends = new Set<number>();
    for (let at = 1; at < 60; at++) {
      const world = await garbageWorld();
      await command(world);
      world.time += TIMES.settleMs + 1000;
      const interrupted = new AbortController();
      let calls = 0;
      const driver = observed(world.driver, () => {
        if (++calls === at) interrupted.abort();
      });
      const { code } = await command(world, { driver, signal: interrupted.signal });
      ends.add(code);
      expect((await command(world)).code).toBe(0);
      expect(
        (await world.keys()).filter((key) => key.includes("/blobs/")),
        `at call ${at}`,
      ).toHaveLength(3);
    }
    expect([...ends].sort()).toEqual([0, 130]);
  });

  it("says that manifests without a tag go only where each run is asked for them, as they do", async () => {
    const world = await garbageWorld();
    await world.image(A, ["untagged"]);
    world.age();
    const asked = { retention: deleteUntagged };
    const between = "a run without --delete-untagged in between lets these manifests be";
    expect((await command(world, { untagged: true }, asked)).text).toContain(`\n${between}: they are condemned anew`);
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world);
    expect(text).toContain("1 blob (7 B) deleted");
    expect(text).not.toContain(between);
    expect((await command(world, { untagged: true }, asked)).text).toContain("1 manifest condemned;");
    const pause = async (ms: number): Promise<void> => void (world.time += ms);
    const waited = await command(world, { untagged: true, waits: true, pause }, asked);
    expect(waited.text).toContain("a later run deletes them that is called with --delete-untagged too\n");
    expect(waited.text).toMatch(/^manifest deleted: sha256:[0-9a-f]{64} {2}library\/a$/m);
  });

  it("says of a run that failed at any call that it deleted nothing only where that is so", async () => {
    const said = new Set<string>();
    for (let at = 1; at < 60; at++) {
      const world = await garbageWorld();
      await command(world);
      world.time += TIMES.settleMs + 1000;
      const before = (await world.keys()).filter((key) => key.includes("/blobs/"));
      let calls = 0;
      const driver = observed(world.driver, () => {
        if (++calls === at) throw new Error("the store is gone");
      });
      const { errors } = await command(world, { driver }).catch(() => ({ errors: [] }));
      const words = errors.join().replace(/:.*/s, "");
      said.add(words);
      if (words !== "the run failed and deleted nothing") continue;
      expect(await world.keys(), `at call ${at}`).toEqual(expect.arrayContaining(before));
    }
    expect([...said].sort()).toEqual([
      "",
      "the run failed and deleted nothing",
      "the run failed, and what it had not deleted yet stays",
    ]);
  });

  it("while it waits is ended by an interruption", async () => {
    const world = await garbageWorld();
    const interrupted = new AbortController();
    const pause = async (): Promise<void> => interrupted.abort();
    const { code, errors } = await command(world, { waits: true, signal: interrupted.signal, pause });
    expect(code).toBe(130);
    expect(errors.join()).toContain("the next run deletes what is condemned");
  });
});

it("says what to do where a file may not be written", () => {
  const denied = Object.assign(new Error("EACCES: permission denied, open '/data/.lading/tmp/x'"), { code: "EACCES" });
  expect(sentencesOf(denied)).toEqual([`${denied.message}; run it as the user that the registry runs as`]);
  const port = Object.assign(new Error("listen EACCES: permission denied"), { code: "EACCES", syscall: "listen" });
  expect(sentencesOf(port)).toEqual([port.message]);
});

it("says what makes room where there is none, and not where nothing may be written", () => {
  const fault = (text: string, code: string) =>
    new StorageFullError(text, { cause: Object.assign(new Error(), { code }) });
  expect(failureOf(fault("it is full", "ENOSPC"))).toEqual(["it is full", expect.stringContaining(".lading/trash")]);
  expect(failureOf(fault("it is read-only", "EROFS"))).toEqual(["it is read-only"]);
});

describe("gc", () => {
  it("lists runs, shows one, and brings back what it deleted; twice is the same as once", async () => {
    const world = await garbageWorld();
    const before = await world.keys();
    await command(world);
    world.time += TIMES.settleMs + 1000;
    await command(world);
    const console = keptConsole(["y", "n"]);
    const work = { driver: world.driver, place: "./data", times: TIMES, console };
    expect(await listRuns(work)).toBe(0);
    const runs = console.lines.splice(0).map((line) => line.split(/ {2,}/));
    expect(runs.map(([, ...cells]) => cells)).toEqual([
      ["outcome", "condemned", "blobs", "bytes", "manifests", "tags", "uploads", "undo", "undone"],
      ["done", "1", "0", "0 B", "0", "0", "0", "-", "-"],
      ["done", "0", "1", "7 B", "0", "0", "0", "yes", "-"],
    ]);
    const run = runs[2]?.[0] ?? "";
    expect(await showRun(work, run)).toBe(0);
    expect(console.lines.splice(0).join("\n")).toMatch(/^blob {6}sha256:[0-9a-f]{64} {2}7 B {2}1 link$/m);
    const fates = ["brought back", "is there already"];
    const again = `what is not tagged, and what nothing refers to, may be collected again in ${spanOf(TIMES.horizonMs)}`;
    for (let times = 0; times < 2; times++) {
      expect(await undoRun(work, run, { yes: times === 1 })).toBe(0);
      expect(console.lines.splice(0)).toEqual([
        expect.stringMatching(new RegExp(`^blob ${fates[times] ?? ""}: sha256:[0-9a-f]{64} {2}7 B$`)),
        "1 blob (7 B), 0 manifests and 0 tags are there again",
        ...(times === 0 ? [again] : []),
      ]);
      expect(await world.keys()).toEqual(before);
    }
    expect(await undoRun(work, run, { yes: false })).toBe(1); // the answer is no
    expect(await undoRun(work, run, { yes: false })).toBe(2); // nobody answers
    expect(console.errors.join()).toContain("--yes");
  });

  it("brings back from copies that were set aside, where the store keeps nothing", async () => {
    const world = await garbageWorld();
    const driver = withoutTrash(world.driver);
    const before = await world.keys();
    await command(world, { driver }, { setAside: true });
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world, { driver }, { setAside: true });
    const run = /gc undo (\S+)"/.exec(text)?.[1] ?? "";
    expect(await world.keys()).not.toEqual(before);
    const console = keptConsole();
    expect(await undoRun({ driver, place: "./data", times: TIMES, console }, run, { yes: true })).toBe(0);
    expect(await world.keys()).toEqual(before);
  });

  it("says what cannot be brought back any more", async () => {
    const world = await garbageWorld();
    const driver = withoutTrash(world.driver);
    await command(world, { driver });
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world, { driver });
    expect(text).toContain("nothing can bring back what it deleted");
    const run = /^run (\S+):/m.exec(text)?.[1] ?? "";
    const console = keptConsole();
    expect(await undoRun({ driver, place: "./data", times: TIMES, console }, run, { yes: true })).toBe(1);
    expect(console.errors).toEqual(["NOTE: when that run began nothing kept what it deleted"]);
    const lost = /^blob cannot be brought back: sha256:[0-9a-f]{64} {2}7 B {2}its bytes are not kept any more$/;
    expect(console.lines).toEqual([
      expect.stringMatching(lost),
      "0 blobs (0 B), 0 manifests and 0 tags are there again; 1 are not",
    ]);
    const quiet = keptConsole();
    expect(
      await undoRun({ driver, place: "./data", times: TIMES, console: quiet }, run, { yes: true, quiet: true }),
    ).toBe(1);
    expect([quiet.lines, quiet.errors]).toEqual([[], [console.errors[0], expect.stringMatching(lost)]]);
  });

  it.each([false, true])("says of a run that its trash is over, with copies set aside: %s", async (setAside) => {
    const world = await garbageWorld();
    const driver = setAside ? withoutTrash(world.driver) : world.driver;
    const undoing = async (): Promise<string[]> => {
      const console = keptConsole();
      await listRuns({ driver, place: "./data", times: TIMES, console });
      return console.lines.slice(1).map((line) => line.split(/ {2,}/)[8] ?? "");
    };
    for (let run = 0; run < 2; run++) {
      await command(world, { driver }, { setAside });
      world.time += TIMES.settleMs + 1000;
    }
    expect(await undoing()).toEqual(["-", "yes"]);
    world.time += DEFAULTS.trashMs + 1000;
    await command(world, { driver }, { setAside });
    expect(await undoing()).toEqual(["-", "over", "-"]);
  });

  it("has nothing to undo where a run deleted nothing but links without bytes", async () => {
    const world = await garbageWorld();
    await command(world);
    for await (const { key } of listKeys(world.driver, layout.blobs)) {
      if ((await world.driver.head(key))?.size === 7) await world.driver.delete(key);
    }
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world);
    expect(text).toContain("1 blob (0 B) deleted");
    expect(text).not.toContain("gc undo");
    const console = keptConsole();
    await listRuns({ driver: world.driver, place: "./data", times: TIMES, console });
    expect(console.lines.at(-1)?.split(/ {2,}/).slice(-2)).toEqual(["-", "-"]);
  });

  it("says of each blob, manifest and tag what became of it", async () => {
    const world = await garbageWorld();
    const A_DAY = 24 * 60 * 60 * 1000;
    const rule = { repositories: ["**"], tags: ["old*"], except: [], keep: { youngerThanMs: A_DAY } };
    const retention = either(retentionByRules([{ ...rule, expireUntaggedMs: A_DAY }]), deleteUntagged);
    const [kept] = [
      await world.image(A, ["kept"], { tag: "old" }),
      await world.image(A, ["kept too"], { tag: "old-2" }),
    ];
    const { digest } = await world.image(A, ["untagged"]);
    world.age();
    await command(world, { quiet: true }, { retention });
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world, {}, { retention });
    const run = /gc undo (\S+)"/.exec(text)?.[1] ?? "";
    await writeLink(world.driver, layout.tagLink(nameOf(A), "old" as Tag), kept.digest);
    const console = keptConsole();
    const work = { driver: world.driver, place: "./data", times: TIMES, console };
    expect(await undoRun(work, run, { yes: false })).toBe(2);
    expect(console.errors.join()).toContain("1 blob (7 B), 1 manifest and 2 tags would be brought back");
    expect(console.lines.splice(0)).toEqual([expect.stringContaining("tags come back as if they were pushed now")]);
    expect(await undoRun(work, run, { yes: true })).toBe(0);
    expect(console.lines.splice(0, 1)).toEqual([expect.stringContaining("change the rule first")]);
    expect(console.lines.map((line) => line.replace(/^(\w+ [^:]*): (\S+) .*?(\S+)$/, "$1 $3"))).toEqual([
      "blob brought back B",
      `manifest brought back ${A}`,
      `tag brought back ${A}:old-2`,
      `tag is there already ${A}:old`,
      "1 blob (7 B), 1 manifest and 2 tags are there again",
      "what is not tagged, and what nothing refers to, may be collected again in 36h 2m",
    ]);
    expect(console.lines[1]).toContain(digest);
    const quiet = keptConsole();
    expect(
      await undoRun({ driver: world.driver, place: "./data", times: TIMES, console: quiet }, run, {
        yes: true,
        quiet: true,
      }),
    ).toBe(0);
    expect([quiet.lines, quiet.errors]).toEqual([[], []]);
  });

  it("warns of tags that come back as young ones, since a rule of the last ones then takes those that it kept", async () => {
    const world = new World();
    await world.image(A, ["first"], { tag: "first" });
    world.time += 5000;
    await world.image(A, ["second"], { tag: "second" });
    world.age();
    const rule = { repositories: ["**"], tags: ["**"], except: [], keep: { last: 1 } };
    const retention = retentionByRules([rule]);
    await command(world, { quiet: true }, { retention });
    world.time += TIMES.settleMs + 1000;
    const { text } = await command(world, {}, { retention });
    expect(text).toContain(`  ${A}:first\n`);
    const run = /gc undo (\S+)"/.exec(text)?.[1] ?? "";
    const console = keptConsole();
    await undoRun({ driver: world.driver, place: "./data", times: TIMES, console }, run, { yes: true });
    expect(console.lines[0]).toContain("by a rule with keep.last those go next that it kept");
    world.age();
    const dry = await command(world, {}, { retention, dryRun: true });
    expect(dry.text).toMatch(/^tag eligible for deletion: \S+ {2}library\/a:second {2}.*would be condemned$/m);
  });

  it("knows a run by the beginning of its name, if only one begins so", async () => {
    const world = await garbageWorld();
    await command(world);
    const console = keptConsole();
    const work = { driver: world.driver, place: "./data", times: TIMES, console };
    expect(await showRun(work, "2026")).toBe(0);
    await command(world);
    await expect(showRun(work, "2026")).rejects.toThrow("2 runs begin with 2026");
    await expect(showRun(work, "1999")).rejects.toThrow("no run is called 1999");
  });
});

describe("what is printed", () => {
  it("of progress fits in the line, and in 80 columns where a terminal says that it has none", () => {
    const text = "marking: 1234 requests".repeat(9);
    expect([10, 0, 300].map((columns) => cutTo(columns, text).length)).toEqual([9, 79, text.length]);
  });

  it("are sizes and spans as people say them, and columns", () => {
    expect([0, 999, 1000, 999_949, 999_951, 12_345_678_901].map(sizeOf)).toEqual([
      ...["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "12.3 GB"],
    ]);
    expect([0, 1, 30_000, 90_000, 60_000, 600_000, 3_600_000, 3_601_000].map(spanOf)).toEqual([
      ...["0 seconds", "1 second", "30 seconds", "1m 30s", "1 minute", "10 minutes", "1 hour", "1h 1s"],
    ]);
    expect([TIMES.horizonMs, 86_400_000, 172_800_000, 180_000_000].map(spanOf)).toEqual([
      ...["36h 2m", "24 hours", "2 days", "50 hours"],
    ]);
    expect(
      tableOf(
        ["name", "n"],
        [
          ["a", "10"],
          ["bcdef", "9"],
        ],
      ),
    ).toEqual(["name   n", "a      10", "bcdef   9"]);
  });
});
