/** `lading gc show` says of a run what the run itself said: what it condemned, from when on that goes, and what is too young. */
import { describe, expect, it } from "vitest";
import { collect } from "../../bin/garbage-collect.ts";
import { showRun } from "../../bin/gc.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { keptRuns } from "../../shared/gc/runs.ts";
import { writeSummary, type Summary } from "../../shared/gc/summary.ts";
import { momentOf } from "../../shared/gc/times.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { keptConsole } from "./console.ts";
import { DEFAULTS, TIMES, World } from "./support.ts";

const A = "library/a";

/** A run from the command line; gives what it printed, and what is shown of it. */
async function runAndShow(world: World): Promise<{ printed: string[]; shown: string[]; summary: Summary }> {
  const console = keptConsole();
  await collect({
    driver: world.driver,
    place: "./data",
    console,
    quiet: false,
    waits: false,
    signal: new AbortController().signal,
    pause: async () => undefined,
    options: { ...DEFAULTS, retention: deleteUntagged },
  });
  const { summary } = (await keptRuns(world.driver)).at(-1) ?? {};
  if (summary === undefined) throw new Error("nothing is kept of the run");
  return { printed: console.lines, shown: await show(world, summary), summary };
}

async function show(world: World, { run }: Summary): Promise<string[]> {
  const console = keptConsole();
  expect(await showRun({ driver: world.driver, place: "./data", times: TIMES, console }, run)).toBe(0);
  return console.lines;
}

/** A blob and a manifest that are condemned, and a minute later another blob and one that is too young. */
async function fill(world: World): Promise<{ first: Awaited<ReturnType<typeof runAndShow>>; from: string }> {
  await world.image(A, ["layer"], { tag: "latest" });
  await world.image(A, ["untagged"]);
  await world.blob(A, "garbage");
  world.age();
  const later = await world.blob(A, "later");
  const first = await runAndShow(world);
  const from = momentOf(new Date(world.time + TIMES.settleMs));
  world.time += 60_000;
  await world.driver.delete(layout.blob(later));
  return { first, from };
}

describe("what is shown of a run", () => {
  it("is what it condemned and what was too young, as it said itself", async () => {
    const world = new World();
    const { first, from } = await fill(world);
    const condemned = `1 blob (7 B) and 1 manifest condemned; a run from ${from} on deletes them`;
    const young = "1 blob (5 B) that nothing refers to is too young";
    expect(first.shown).toEqual([
      expect.stringMatching(/^run \S+: done$/),
      expect.stringMatching(/^begun .*Z, \d+\.\d s of work, \d+ requests$/),
      "5 blobs in use, 1 repository",
      "1 blob (7 B), 1 manifest and 0 tags eligible, 2 condemned",
      "0 blobs (0 B), 0 manifests, 0 tags and 0 uploads deleted",
      condemned,
      young,
    ]);
    expect(first.printed).toEqual(expect.arrayContaining([`${condemned} (--wait stays for it)`, young]));

    await world.blob(A, "another");
    const second = await runAndShow(world);
    const earlier = `1 blob (7 B) and 1 manifest condemned by an earlier run; a run from ${from} on deletes them`;
    expect(second.shown).toContain(earlier);
    expect(second.shown.filter((line) => line.includes("; a run from"))).toEqual([earlier]);
    expect(second.shown).toContain("1 blob (7 B) that nothing refers to is too young");
  });

  it("is what it found not to be whole", async () => {
    const world = new World();
    const { blobs } = await world.image(A, ["lost"], { tag: "latest" });
    await world.driver.delete(layout.blob(blobs[1] as Digest));
    const { printed, shown } = await runAndShow(world);
    const line = '1 manifest refers to blobs that are not stored; "lading verify" says which';
    expect(printed).toContain(line);
    expect(shown).toContain(line);
  });

  it("has nothing of it where the record is of before it was counted, and no plans of a run that failed", async () => {
    const world = new World();
    const { first } = await fill(world);
    const { fresh, freshFrom, waiting, young, ...old } = first.summary;
    expect([fresh?.blobs, freshFrom?.slice(0, 4), waiting?.blobs, young?.blobs]).toEqual([1, "2026", 0, 1]);
    await writeSummary(world.driver, old);
    expect(await show(world, old)).toEqual(first.shown.slice(0, -2));

    const failed: Summary = { ...first.summary, outcome: "failed", reason: "it could not be listed" };
    await writeSummary(world.driver, failed);
    const shown = await show(world, failed);
    expect(shown.filter((line) => line.includes("condemned"))).toEqual([first.shown[3]]);
    expect(shown.slice(0, 2)).toEqual([expect.stringMatching(/: failed$/), "reason: it could not be listed"]);
  });
});
