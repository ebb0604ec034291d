/** A push of a tag beside the run that deletes it, in every order of what they ask of the store. */
import { expect, it } from "vitest";
import { Collector } from "../../shared/gc/collector.ts";
import { retentionByRules } from "../../shared/gc/retention-rules.ts";
import { parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { Marks } from "../../shared/registry/marks.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { DEFAULTS } from "../gc/support.ts";
import { createTestApp } from "../support/app.ts";
import type { PlannedCall } from "../support/faults.ts";
import { faultsOf } from "../support/invariants.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { everySchedule } from "../support/schedules.ts";

const TIMES = gcTimes();
const DAYS = 3 * 24 * 3_600_000;
const name = parseRepositoryName("a");
const tag = parseTag("old");
const before = imageOf([], { annotations: { number: "before" } });
const other = imageOf([], { annotations: { number: "other" } });
const mark = layout.tagMark(name, tag);
const folder = layout.tag(name, tag);
const retention = retentionByRules([{ repositories: ["**"], tags: ["*"], except: [], keep: { matching: ["kept"] } }]);

/** What both of them do to the tag. That its link is read while marking says nothing that the mark does not. */
const matters = ({ operation, key }: PlannedCall): boolean =>
  key === mark || key === layout.tagMarks || (key.startsWith(folder) && operation !== "read");

it.each([
  ["what it names", before, false],
  ["another manifest", other, false],
  ["what it names, where it is immutable", before, true],
])("a push of %s that is told yes finds its tag there afterwards", async (_what, image, immutable) => {
  const outcomes = new Set<string>();
  const parts = { tagsExpire: true, times: TIMES, isImmutable: () => immutable };
  const trials = await everySchedule(async () => {
    let clock = Date.parse("2030-01-01T00:00:00Z");
    const driver = new MemoryDriver({ now: () => new Date(clock) });
    const setup = createTestApp(driver).send;
    await pushBlob(setup, "a", CONFIG);
    await putManifest(setup, "a", tag, before);
    await putManifest(setup, "a", "kept", other);
    clock += DAYS;
    const collect = async (on: StorageDriver = driver): Promise<void> => {
      const summary = await new Collector(on, { ...DEFAULTS, times: TIMES, retention, elapsed: () => 0 }).run();
      expect(summary).toMatchObject({ outcome: "done", eligibleTags: expect.any(Number) as number });
    };
    await collect();
    expect((await new Marks(driver, TIMES).read(mark)).mark?.state).toBe("condemned");
    clock += TIMES.settleMs;
    let status = 0;
    return {
      driver,
      processes: [
        async (on) => {
          const { send } = createTestApp(on, { registry: { ...parts, pause: async () => undefined } });
          status = (await putManifest(send, "a", tag, image)).status;
        },
        async (on) => await collect(on),
      ],
      check: async (order) => {
        const { send } = createTestApp(driver, { registry: parts });
        const named = (await send("HEAD", `/v2/a/manifests/${tag}`)).header("docker-content-digest");
        const state = (await new Marks(driver, TIMES).read(mark)).mark?.state;
        const history = (await driver.head(layout.tagHistoryLink(name, tag, image.digest))) !== undefined;
        outcomes.add(`${status} ${state}`);
        if (status === 201) {
          expect([named, history], order.join("\n")).toEqual([image.digest, true]);
          // Condemned by a run that saw the tag before the push, and the mark after it: the next one clears it.
          expect(["cleared", "condemned"], order.join("\n")).toContain(state);
        } else {
          expect([status, named, state], order.join("\n")).toEqual([429, null, "swept"]);
        }
        const faults = (await faultsOf(driver)).filter((fault) => !fault.includes("/_gc/"));
        expect(faults, order.join("\n")).toEqual([]);
        expect((await putManifest(send, "a", tag, image)).status).toBe(201);
        expect((await send("HEAD", `/v2/a/manifests/${tag}`)).header("docker-content-digest")).toBe(image.digest);
      },
    };
  }, matters);
  expect(trials).toBeGreaterThan(100);
  expect([...outcomes].toSorted()).toEqual(["201 cleared", "201 condemned", "429 swept"]);
});
