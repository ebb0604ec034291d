import { beforeEach, describe, expect, it } from "vitest";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { PullLog } from "../../shared/registry/pull-log.ts";
import { listKeys, type StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { sha256 } from "../support/bodies.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { everySchedule } from "../support/schedules.ts";

const HOUR = 3_600_000;
const name = parseRepositoryName("team/app");
const digest = sha256("manifest");

let clock: number;
let driver: MemoryDriver;
let calls: string[];
beforeEach(() => {
  clock = Date.parse("2030-01-15T12:00:00Z");
  driver = new MemoryDriver({ now: () => new Date(clock) });
  calls = [];
});

const logOn = (on: StorageDriver = driver, verdict: () => Verdict | Promise<Verdict> = () => "pass"): PullLog => {
  const watched = withFaults(on, ({ operation, key }) => {
    calls.push(`${operation} ${key.slice(layout.pulls.length)}`);
    return verdict();
  });
  return new PullLog(watched, () => new Date(clock));
};
const record = `2030-01/team/app!/${digest.replace(":", "/")}`;
const ageOf = async (): Promise<number> => {
  const info = await driver.head(`${layout.pulls}${record}`);
  return clock - (info?.lastModified.getTime() ?? 0);
};

describe("a pull", () => {
  it("is written once a day by all processes together, and asked for once a day by each", async () => {
    const [one, other] = [logOn(), logOn()];
    for (let hour = 0; hour < 24; hour++, clock += HOUR) {
      await one.record(name, digest);
      await other.record(name, digest);
    }
    expect(calls).toEqual([`look ${record}`, "put since", `put ${record}`, `look ${record}`]);
    expect(await ageOf()).toBe(24 * HOUR);
    calls.length = 0;
    await other.record(name, digest);
    await one.record(name, digest);
    expect(calls).toEqual([`look ${record}`, "put since", `put ${record}`, `look ${record}`]);
    expect(await ageOf()).toBe(0);
  });

  it("is an object for each month", async () => {
    const log = logOn();
    await log.record(name, digest);
    clock += 20 * 24 * HOUR;
    await log.record(name, digest);
    const keys: string[] = [];
    for await (const { key } of listKeys(driver, layout.pulls)) keys.push(key.slice(layout.pulls.length));
    expect(keys).toEqual([record, record.replace("2030-01", "2030-02"), "since"]);
    expect((await driver.head(layout.pullsSince))?.lastModified).toEqual(new Date("2030-01-15T12:00:00Z"));
  });

  it.each(["before", "after"] as const)(
    "that cannot be written (%s) fails nobody, and is tried again in a minute",
    async (fault) => {
      let verdict: Verdict = fault;
      const log = logOn(driver, () => verdict);
      await log.record(name, digest);
      await log.record(name, digest);
      expect(calls).toEqual([`look ${record}`]);
      verdict = "pass";
      clock += 61_000;
      await log.record(name, digest);
      expect(await ageOf()).toBe(0);
    },
  );

  it("is left to a later one where too many are being written", async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const log = logOn(driver, async (): Promise<Verdict> => {
      await gate;
      return "pass";
    });
    const digests = Array.from({ length: 40 }, (_, i) => sha256(String(i)));
    const recording = digests.map(async (each) => await log.record(name, each));
    expect(calls).toHaveLength(16);
    open();
    await log.settled();
    await Promise.all(recording);
    calls.length = 0;
    await Promise.all(digests.slice(16, 32).map(async (each) => await log.record(name, each)));
    expect(calls.filter((call) => call.startsWith("put 2030"))).toHaveLength(16);
  });

  it("of several processes at one moment is recorded, in every order, by one of them", async () => {
    const trials = await everySchedule(async () => {
      const shared = new MemoryDriver({ now: () => new Date(clock) });
      return {
        driver: shared,
        processes: [0, 1].map(() => async (on: StorageDriver) => {
          await new PullLog(on, () => new Date(clock)).record(name, digest);
        }),
        check: async () => {
          expect(await shared.head(`${layout.pulls}${record}`)).toBeDefined();
          expect(await shared.head(layout.pullsSince)).toBeDefined();
        },
      };
    });
    expect(trials).toBeGreaterThan(5);
  });
});
