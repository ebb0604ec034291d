/** The commands as they are run, over a folder that a registry serves at the same time. */
import { execFileSync } from "node:child_process";
import { chown, mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layout } from "../../shared/registry/layout.ts";
import { linkBytes } from "../../shared/registry/link.ts";
import type { Tag } from "../../shared/oci/reference.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { TIMES, nameOf } from "./support.ts";
import { startLading, type Lading } from "../support/lading.ts";
import { runAny } from "../support/process.ts";
import { filesystemDriver } from "../support/stores.ts";
import { runUnread } from "../support/unread.ts";
import { everythingIn, removeFolder, temporaryFolder } from "../support/temp.ts";

let folder: string;
let lading: Lading;

beforeEach(async () => {
  folder = await temporaryFolder();
  lading = await startLading({ folder });
});

afterEach(async () => {
  await lading.stop();
  await removeFolder(folder);
});

const run = async (...args: string[]) => await runAny([process.execPath, "dist/lading.js", ...args], { env: {} });

/** Lets all that lies below a part of the storage be older. */
async function age(below: string, ms: number): Promise<void> {
  const old = new Date(Date.now() - ms);
  const root = path.join(lading.root, layout.root, below);
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await utimes(path.join(entry.parentPath, entry.name), old, old);
  }
}

it("collects beside a registry in two runs, and brings back what it deleted", async () => {
  const config = path.join(folder, "config.yml");
  const driver = filesystemDriver(lading.root);
  const bytes = Buffer.from("nobody needs it");
  const garbage = digestOf("sha256", bytes);
  await driver.put(layout.blob(garbage), bytes);
  await driver.put(layout.layerLink(nameOf("team/app"), garbage), linkBytes(garbage));
  const list = async (): Promise<string[]> =>
    (await everythingIn(lading.root)).filter((name) => name.startsWith(`${layout.root}blobs/`)).sort();
  const before = await list();
  await lading.api.expect(200, "GET", `/v2/team/app/blobs/${garbage}`);

  const young = await run("garbage-collect", "--dry-run", config);
  expect(young).toMatchObject({ code: 0, stderr: "" });
  expect(young.stdout).toContain("0 blobs marked, 0 blobs and 0 manifests eligible for deletion");

  await age("", TIMES.horizonMs + 60_000);
  const dry = await run("garbage-collect", "-d", config);
  expect(dry.stdout).toContain(`blob eligible for deletion: ${garbage}`);
  const first = await run("garbage-collect", config);
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(/^1 blob \(15 B\) condemned; a run from \S+Z on deletes it \(--wait stays for it\)$/m);
  expect(await list()).toEqual(before);

  await age("_gc/marks", TIMES.settleMs + 2000);
  const second = await run("garbage-collect", config);
  expect(second.stdout).toContain(`blob deleted: ${garbage}  15 B`);
  expect((await lading.api.call("GET", `/v2/team/app/blobs/${garbage}`)).status).toBe(404);

  const told = /"lading (gc undo \S+ \S+)"/.exec(second.stdout)?.[1]?.split(" ") ?? [];
  const [, , name = ""] = told;
  expect((await run("gc", "runs", config)).stdout).toContain(name);
  expect((await run("gc", "show", name, config)).stdout).toContain(garbage);
  expect(await run("gc", "undo", name, config)).toMatchObject({ code: 2 }); // nobody to ask
  expect(await run(...told, "--yes")).toMatchObject({ code: 0, stderr: "" });
  expect(await list()).toEqual(before);
  expect((await run("gc", "runs", config)).stdout).toMatch(new RegExp(`^${name} .*  [-0-9]+T[:0-9]+Z$`, "m"));
  expect((await run("gc", "show", name, config)).stdout).toMatch(/^undone .*: 1 blob \(15 B\), .* brought back$/m);
  const back = await lading.api.expect(200, "GET", `/v2/team/app/blobs/${garbage}`);
  expect(back.body.equals(bytes)).toBe(true);
});

describe("where nothing of a registry is stored", () => {
  it.each([
    "garbage-collect",
    "garbage-collect --dry-run --delete-untagged",
    "gc runs",
    "gc show 2026",
    "gc undo --yes 2026",
    "verify",
  ])("lading %s says so, fails, and writes nothing", async (command) => {
    const at = async (root: string) =>
      await runAny([process.execPath, "dist/lading.js", ...command.split(" ")], {
        env: { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root },
      });
    const registry = path.join(folder, "registry");
    await filesystemDriver(registry).put(layout.blob(digestOf("sha256", Buffer.from("x"))), Buffer.from("x"));
    await mkdir(path.join(folder, "empty"));
    await writeFile(path.join(folder, "file"), "x");
    const before = await everythingIn(folder);
    for (const root of ["absent", "empty", "registry/docker", `registry/${layout.root}blobs`].map((it) =>
      path.join(folder, it),
    )) {
      const { code, stdout, stderr } = await at(root);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(
        /^lading [-a-z]+: nothing of a registry is stored in .*: is it the right place, and is it mounted\?\n$/,
      );
      expect(stderr).toContain(` ${root}: `);
    }
    const file = await at(path.join(folder, "file"));
    expect(file).toMatchObject({ code: 1, stdout: "" });
    expect(file.stderr).toMatch(/^lading [-a-z]+: \S+ is a file, not a registry's folder\n$/);
    expect(await everythingIn(folder)).toEqual(before);
  });
});

// These need a folder of somebody else's, and so root; without it they are listed as skipped.
describe.runIf(process.getuid?.() === 0)("root, on a folder that belongs to another user", () => {
  const REGISTRY = 65534;
  const commands = ["garbage-collect", "garbage-collect --dry-run", "gc undo --yes 2026", "verify --repair"];
  const onFolder = async (root: string, command: string) =>
    await runAny([process.execPath, "dist/lading.js", ...command.split(" ")], {
      env: { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root },
    });

  it.each(["repositories", ".lading", "the root"])("is refused before it writes, where %s is", async (where) => {
    const root = path.join(folder, "registry");
    const key = layout.tagLink(nameOf("a"), "v1" as Tag);
    await filesystemDriver(root).put(where === "the root" ? `${layout.root}blobs/x` : key, Buffer.from("?"));
    if (where !== ".lading") await rm(path.join(root, ".lading"), { recursive: true });
    const theirs = { repositories: layout.repositories, ".lading": ".lading", "the root": "." }[where] ?? "";
    await chown(path.join(root, theirs), REGISTRY, REGISTRY);
    const before = await everythingIn(root);
    for (const command of commands) {
      const { code, stdout, stderr } = await onFolder(root, command);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(
        /^lading [-a-z]+: \S+ belongs to user 65534: run this as that user \(sudo -u '#65534' lading …\)/,
      );
      expect(stderr).toContain(`: ${root} belongs`);
    }
    expect(await everythingIn(root)).toEqual(before);
    expect((await onFolder(root, "gc runs")).code).toBe(0); // which only reads
  });

  it("is not refused where only the folder itself belongs to another", async () => {
    const root = path.join(folder, "registry");
    await filesystemDriver(root).put(layout.tagLink(nameOf("a"), "v1" as Tag), Buffer.from("?"));
    await chown(root, REGISTRY, REGISTRY);
    expect((await onFolder(root, "garbage-collect --dry-run")).stderr).not.toContain("belongs to");
  });
});

// These need a mount, and so root; without it they are listed as skipped.
describe.runIf(process.getuid?.() === 0)("a folder that nobody can write to", () => {
  const manifest = Buffer.from(
    '{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json"}',
  );
  const digest = digestOf("sha256", manifest);
  const onDisk = async (args: string, prepare: (disk: string) => Promise<void>) => {
    const disk = path.join(folder, "disk");
    await mkdir(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
    try {
      const driver = filesystemDriver(disk);
      await driver.put(layout.revisionLink(nameOf("a"), digest), linkBytes(digest));
      await prepare(disk);
      await rm(path.join(disk, ".lading"), { recursive: true });
      execFileSync("mount", ["-o", "remount,ro", disk]);
      return await runAny([process.execPath, "dist/lading.js", ...args.split(" ")], {
        env: { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: disk },
      });
    } finally {
      execFileSync("umount", ["-l", disk]);
    }
  };
  const whole = async (disk: string): Promise<void> => {
    await filesystemDriver(disk).put(layout.blob(digest), manifest);
  };

  it.each(["garbage-collect -d", "verify"])("can be looked at with %s", async (args) => {
    expect(await onDisk(args, whole)).toMatchObject({ code: 0, stderr: "" });
  });

  it("is not collected, with a sentence that says why", async () => {
    const { code, stderr } = await onDisk("garbage-collect", whole);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "lading garbage-collect: the registry's storage is read-only\n",
    });
  });

  it("a dry run that fails says nothing of what it would have deleted", async () => {
    const { code, stderr } = await onDisk("garbage-collect -d", async () => undefined);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^the run failed: /);
  });
});

it("says in the first line what it collects, and of what no collection is known", async () => {
  const config = path.join(folder, "config.yml");
  await filesystemDriver(lading.root).put(layout.tagLink(nameOf("a"), "v1" as Tag), Buffer.from("?"));
  expect((await run("gc", "runs", config)).stdout).toBe(`no collection of ${lading.root} is known\n`);
  expect((await run("garbage-collect", "-d", config)).stdout).toMatch(
    new RegExp(`^collecting ${lading.root}; what is younger than 36h 2m is left alone `),
  );
});

it("ends quietly where nobody reads any more, and the next run goes on", async () => {
  const config = path.join(folder, "config.yml");
  await filesystemDriver(lading.root).put(layout.tagLink(nameOf("a"), "v1" as Tag), Buffer.from("?"));
  const unread = async (...args: string[]) =>
    await runUnread([process.execPath, "dist/lading.js", ...args], { env: {} });
  expect(await unread("garbage-collect", "-d", config)).toEqual({ code: 141, stdout: "", stderr: "" });
  expect(await unread("verify", config)).toEqual({ code: 141, stdout: "", stderr: "" });
  expect(await unread("gc", "runs", config)).toEqual({ code: 141, stdout: "", stderr: "" });
  const run1 = await unread("garbage-collect", config);
  expect(run1).toMatchObject({ code: 130 });
  expect(run1.stderr).toMatch(/^interrupted while at ".*"; the next run goes on from there\n$/);
  expect((await run("garbage-collect", config)).code).not.toBe(3);
});

it("refuses what is unsafe or makes no sense with a sentence, and says how it is called", async () => {
  const grace = await run("garbage-collect", "--grace", "1h");
  expect(grace).toMatchObject({ code: 2 });
  expect(grace.stderr).toContain("storage.maintenance.gc.grace");
  expect(await run("garbage-collect", "--dry-run", "--wait")).toMatchObject({ code: 2 });
  expect(await run("garbage-collect", "a.yml", "b.yml")).toMatchObject({ code: 2 });
  expect(await run("gc")).toMatchObject({ code: 2 });
  expect(await run("gc", "undo")).toMatchObject({ code: 2 });
  const missing = await run("garbage-collect", "nowhere.yml");
  expect(missing).toMatchObject({ code: 1 });
  expect(missing.stderr).toMatch(/^lading garbage-collect: the configuration nowhere.yml cannot be read/);
  const memory = await runAny([process.execPath, "dist/lading.js", "garbage-collect"], {
    env: { REGISTRY_STORAGE: "inmemory" },
  });
  expect(memory.stderr).toContain("inmemory");
});
