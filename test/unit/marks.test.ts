/** What clearing a mark does in each of its states, and between two of them. */
import { beforeEach, describe, expect, it } from "vitest";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { Marks, type Clearing, type MarkState } from "../../shared/registry/marks.ts";
import { PreconditionFailedError } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { withFaults, type Verdict } from "../support/faults.ts";

const KEY = "docker/registry/v2/_gc/marks/blobs/sha256/aa/aa";
const PERMIT = "run/nonce";
const times = gcTimes();

let clock: number;
let driver: MemoryDriver;
let marks: Marks;
beforeEach(() => {
  clock = Date.parse("2030-01-01T00:00:00Z");
  driver = new MemoryDriver({ now: () => new Date(clock) });
  marks = new Marks(driver, times);
});

/** Makes a mark that has been in a state for so long. */
async function mark(state: MarkState | "none", ageMs: number): Promise<void> {
  if (state !== "none") await marks.write(KEY, state, undefined, state === "deleting" ? PERMIT : undefined);
  clock += ageMs;
}

const YOUNG = 1000;
const OLD = times.takeoverMs + 1;

type Row = [state: MarkState | "none", ageMs: number, who: Clearing, outcome: string, after: MarkState | "none"];

describe("clear", () => {
  it.each<Row>([
    ["none", 0, "promise", "clear", "none"],
    ["none", 0, "commit", "clear", "none"],
    ["cleared", YOUNG, "promise", "clear", "cleared"],
    ["cleared", OLD, "commit", "clear", "cleared"],
    ["condemned", YOUNG, "promise", "clear", "cleared"],
    ["condemned", OLD, "promise", "clear", "cleared"],
    ["condemned", OLD, "commit", "clear", "cleared"],
    ["deleting", YOUNG, "promise", "busy", "deleting"],
    ["deleting", YOUNG, "commit", "busy", "deleting"],
    ["deleting", times.takeoverMs, "commit", "busy", "deleting"],
    ["deleting", OLD, "promise", "clear", "cleared"],
    ["deleting", OLD, "commit", "clear", "cleared"],
    ["swept", YOUNG, "promise", "swept", "swept"],
    ["swept", OLD, "promise", "swept", "swept"],
    ["swept", YOUNG, "commit", "clear", "cleared"],
  ])("a mark that is %s for %i ms, for a %s: %s, and it is %s", async (state, ageMs, who, outcome, after) => {
    await mark(state, ageMs);
    const expected = outcome === "clear" ? { outcome, asOf: new Date(clock), hadMark: state !== "none" } : { outcome };
    expect(await marks.clear(KEY, who)).toEqual(expected);
    expect((await marks.read(KEY)).mark?.state ?? "none").toBe(after);
  });

  it("takes the permit of an overdue deletion away before it clears", async () => {
    await driver.put("blob", Buffer.from("x"));
    await driver.fenced.open(PERMIT);
    await mark("deleting", OLD);
    await marks.clear(KEY, "commit");
    const permit = { id: PERMIT, since: new Date(clock) };
    expect(await driver.fenced.delete([{ key: "blob", permit }])).toEqual(["blob"]);
  });

  it("goes by what was read already, and reads again only if that is not so any more", async () => {
    await mark("condemned", OLD);
    const first = await marks.read(KEY);
    clock += 5000;
    const calls: string[] = [];
    const watched = new Marks(
      withFaults(driver, ({ operation }) => {
        calls.push(operation);
        return "pass";
      }),
      times,
    );
    expect(await watched.clear(KEY, "promise", first)).toMatchObject({ outcome: "clear", asOf: first.asOf });
    expect(calls).toEqual(["put"]);
    calls.length = 0;
    // By now it is cleared by somebody else, as this one must see.
    expect(await watched.clear(KEY, "promise", first)).toMatchObject({ outcome: "clear", asOf: new Date(clock) });
    expect(calls).toEqual(["put", "look"]);
  });

  it("that loses to a run which deletes it is busy", async () => {
    await mark("condemned", OLD);
    const first = await marks.read(KEY);
    await marks.write(KEY, "deleting", first.mark, PERMIT);
    expect(await marks.clear(KEY, "commit", first)).toEqual({ outcome: "busy" });
  });

  it.each<Clearing>(["promise", "commit"])(
    "to which others are always faster is busy in the end, for a %s",
    async (who) => {
      await mark("condemned", OLD);
      let puts = 0;
      const losing = new Marks(
        withFaults(driver, async ({ operation }): Promise<Verdict> => {
          if (operation !== "put") return "pass";
          puts++;
          await marks.write(KEY, "condemned", (await marks.read(KEY)).mark);
          return "pass";
        }),
        times,
      );
      expect(await losing.clear(KEY, who)).toEqual({ outcome: "busy" });
      expect(puts).toBeLessThan(20);
    },
  );

  it("throws what the store throws", async () => {
    await mark("condemned", OLD);
    const failing = new Marks(
      withFaults(driver, ({ operation }) => (operation === "put" ? "before" : "pass")),
      times,
    );
    await expect(failing.clear(KEY, "commit")).rejects.toThrow("i/o error");
  });
});

describe("a mark", () => {
  it("never has the ETag that it had before, though its state is the same", async () => {
    const bodies = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await marks.write(KEY, "condemned", (await marks.read(KEY)).mark);
      bodies.add(Buffer.from((await driver.read(KEY, 1000)) ?? []).toString());
    }
    expect(bodies.size).toBe(20);
  });

  it("is written over by one who saw it as it is, and where none is by one who saw none", async () => {
    await expect(marks.write(KEY, "condemned", { etag: '"x"' })).rejects.toThrow(PreconditionFailedError);
    await marks.write(KEY, "condemned", undefined);
    await expect(marks.write(KEY, "condemned", undefined)).rejects.toThrow(PreconditionFailedError);
  });

  it.each([
    "",
    "{",
    '{"state":"gone","nonce":"x"}',
    '{"state":"deleting","nonce":"x","permit":"../x"}',
    "x".repeat(5000),
  ])("that says %j is one that is being deleted, until it is overdue", async (text) => {
    await driver.put(KEY, Buffer.from(text));
    expect((await marks.read(KEY)).mark).toMatchObject({ state: "deleting", permit: undefined });
    expect(await marks.clear(KEY, "commit")).toEqual({ outcome: "busy" });
    clock += OLD;
    expect(await marks.clear(KEY, "promise")).toMatchObject({ outcome: "clear", hadMark: true });
    expect((await marks.read(KEY)).mark?.state).toBe("cleared");
  });
});

describe("the times", () => {
  it("follow from the grace period", () => {
    expect(gcTimes(24 * 3600_000)).toEqual({
      graceMs: 24 * 3600_000,
      freshMs: 12 * 3600_000,
      promiseMs: 60_000,
      permitMs: 120_000,
      settleMs: 600_000,
      takeoverMs: 300_000,
      horizonMs: 36 * 3600_000 + 120_000,
    });
  });

  it.each([
    { settleMs: 120_000 },
    { settleMs: 60_000 },
    { takeoverMs: 100_000 },
    { permitMs: 300_000 },
    { promiseMs: 600_000 },
  ])("that could not hold are refused: %j", (fixed) => {
    expect(() => gcTimes(1000, fixed)).toThrow(RangeError);
  });
});
