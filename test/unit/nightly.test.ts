/** What the function does that runs each night, on a folder. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nightly } from "../../functions/gc/nightly.ts";
import { loadFunctionConfig } from "../../functions/registry/function-config.ts";
import { layout } from "../../shared/registry/layout.ts";
import { createLogger } from "../../shared/telemetry/logger.ts";

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;

let folder: string;
let lines: Record<string, unknown>[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "lading-nightly-"));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const REGISTRY = "lading-registry-CollectorFunction";

async function night(env: Record<string, string> = {}, remainingMs = Infinity): Promise<void> {
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  const loaded = loadFunctionConfig({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder, ...env });
  const invocation = { functionName: REGISTRY, remaining: () => remainingMs };
  await nightly(loaded, createLogger({ ...loaded.config.log, destination }), invocation);
}

/** A line with figures, as CloudWatch reads it. */
interface Figures {
  readonly _aws: {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
  readonly [field: string]: unknown;
}

/**
 * The one line of the log that has figures, which must be as CloudWatch takes it: what the directive names is at the root.
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
function figures(): Figures {
  const found = lines.filter((line) => "_aws" in line);
  expect(found).toHaveLength(1);
  const line = found[0] as unknown as Figures;
  expect(Math.abs(Date.now() - line._aws.Timestamp)).toBeLessThan(60_000);
  const [directive, ...more] = line._aws.CloudWatchMetrics;
  expect(more).toEqual([]);
  // Of each registry in an account its own.
  expect([directive?.Namespace, directive?.Dimensions]).toEqual(["Lading", [["FunctionName"]]]);
  expect(line["FunctionName"]).toBe(REGISTRY);
  expect(directive?.Metrics.length).toBeLessThanOrEqual(10); // which are free
  for (const { Name, Unit } of directive?.Metrics ?? []) {
    expect([Name, typeof line[Name]]).toEqual([Name, "number"]);
    expect(["Count", "Bytes", "Seconds", "None"]).toContain(Unit);
  }
  return line;
}

/** An upload session whose files were written so long ago. */
function session(id: string, ageMs: number): string {
  const place = path.join(folder, "docker/registry/v2/repositories/team/app/_uploads", id);
  mkdirSync(place, { recursive: true });
  const file = path.join(place, "startedat");
  writeFileSync(file, "2026-01-01T00:00:00Z");
  const time = new Date(Date.now() - ageMs);
  utimesSync(file, time, time);
  return file;
}

describe("a night", () => {
  it("removes uploads that were left for longer than a week, and no other", async () => {
    const old = session("0188d2f1-0000-8000-8000-000000000001", WEEK_MS + 60_000);
    const young = session("0188d2f1-0000-8000-8000-000000000002", WEEK_MS - 60_000);
    await night();
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
    expect(lines).toContainEqual(expect.objectContaining({ msg: "purged abandoned uploads", sessions: 1 }));
  });

  it("collects garbage, with its figures as metrics in the log", async () => {
    const stored = path.join(folder, "docker/registry/v2/blobs/sha256/ab", "ab".repeat(32));
    mkdirSync(stored, { recursive: true });
    writeFileSync(path.join(stored, "data"), "garbage");
    const time = new Date(Date.now() - WEEK_MS);
    utimesSync(path.join(stored, "data"), time, time);
    session("0188d2f1-0000-8000-8000-000000000002", 0);
    await night();
    const line = figures();
    expect(line).toMatchObject({ GcMarked: 0, GcEligible: 1, GcDeleted: 0, GcDeletedBytes: 0 });
    expect(line).toMatchObject({ GcFailed: 0 });
    for (const name of ["GcRequests", "GcSeconds", "GcDollars"]) expect(line[name]).toBeGreaterThan(0);
    expect(line["msg"]).toMatch(
      /^garbage collection \S+ done; 0 blobs in use, 1 eligible, .* requests, .* s, \$0\.\d{4}$/,
    );
    lines = [];
    await night();
    expect(lines).toContainEqual(expect.objectContaining({ msg: "collected garbage", state: "idle" }));
  });

  it("tells the figures of a run that fails, with the reason", async () => {
    const tag = path.join(
      folder,
      "docker/registry/v2/repositories/team/app/_manifests/revisions/sha256",
      "ab".repeat(32),
    );
    mkdirSync(tag, { recursive: true });
    writeFileSync(path.join(tag, "link"), `sha256:${"ab".repeat(32)}`);
    await expect(night()).rejects.toThrow(/of the night's tasks failed/);
    const line = figures();
    expect(line).toMatchObject({ GcFailed: 1, GcDeleted: 0 });
    expect(line["msg"]).toMatch(/^garbage collection \S+ failed: .*; 0 blobs in use/);
  });

  it("leaves everything to another that is at work", async () => {
    const old = session("0188d2f1-0000-8000-8000-000000000001", WEEK_MS + 60_000);
    mkdirSync(path.join(folder, "docker/registry/v2/_gc"));
    const lease = { holder: "another", until: Date.now() + 600_000, cuts: [] };
    writeFileSync(path.join(folder, layout.gcLease), JSON.stringify(lease));
    await night();
    expect(existsSync(old)).toBe(true);
    expect(lines.map(({ msg, state }) => [msg, state])).toEqual([["collected garbage", "busy"]]);
  });

  it("changes nothing where the registry is read-only", async () => {
    const old = session("0188d2f1-0000-8000-8000-000000000001", 2 * WEEK_MS);
    await night({ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "true" });
    expect(existsSync(old)).toBe(true);
    expect(lines.at(-1)).toMatchObject({ msg: "nothing is done: the registry is read-only" });
  });

  it("begins nothing else where a run fails at the end of a call's time", async () => {
    mkdirSync(path.join(folder, "docker/registry/v2"), { recursive: true });
    symlinkSync("repositories", path.join(folder, "docker/registry/v2/repositories"));
    await expect(night({}, 120_000)).rejects.toThrow(/of the night's tasks failed/);
    const said = lines.map(({ msg }) => msg);
    expect(said).toContain("collected garbage: failed");
    expect(said).not.toContain("brought the catalog up to date");
    expect(said.at(-1)).toBe("uploads and the catalog are left to a later call: there is no time for them");
  });

  it("fails, after it has tried all of it, where something could not be done", async () => {
    mkdirSync(path.join(folder, "docker/registry/v2"), { recursive: true });
    // Leads to itself, so that no listing of it ends well.
    symlinkSync("repositories", path.join(folder, "docker/registry/v2/repositories"));
    await expect(night()).rejects.toThrow(/of the night's tasks failed/);
    expect(lines.map(({ msg }) => msg)).toContain("brought the catalog up to date");
    // The next call of the night is too soon after that to fail once more.
    lines = [];
    await night();
    expect(lines.map(({ msg, state }) => [msg, state])).toEqual([["collected garbage", "idle"]]);
  });
});
