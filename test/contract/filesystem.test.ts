/** What the folder driver promises beyond the contract: on a real disk, with real faults of the kernel's. */
import { createHash } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { execFileSync } from "node:child_process";
import {
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  DeletesFailedError,
  discardDraft,
  PreconditionFailedError,
  StorageFullError,
  type StorageDriver,
} from "../../shared/storage/driver.ts";
import type { FilesystemDriver } from "../../shared/storage/filesystem/driver.ts";
import { streamFile } from "../../shared/storage/filesystem/body.ts";
import { bodyOf, brokenBody, bytesOfBody, ManualBody, pattern } from "../support/bodies.ts";
import { until } from "../support/process.ts";
import { filesystemDriver } from "../support/stores.ts";
import { everythingIn, removeFolder, temporaryFolder } from "../support/temp.ts";

const isRoot = process.getuid?.() === 0;
const HOUR = 3_600_000;

let folder: string;
let driver: FilesystemDriver;
beforeEach(async () => {
  folder = await temporaryFolder();
  driver = filesystemDriver(folder);
});
afterEach(async () => await removeFolder(folder));

const filesIn = async (where: string): Promise<string[]> =>
  (await everythingIn(where)).filter((name) => !name.endsWith("/"));

/** Each operation, for what must be the same in all of them. */
const operations = (on: StorageDriver): [name: string, call: () => Promise<unknown>][] => [
  ["head", async () => await on.head("a/b")],
  ["read", async () => await on.read("a/b", 10)],
  ["look", async () => await on.look("a/b", 10)],
  ["get", async () => await on.get("a/b")],
  ["put", async () => await on.put("a/b", Buffer.from("x"))],
  ["put if absent", async () => await on.put("a/b", Buffer.from("x"), { ifNoneMatch: "*" })],
  ["put if unchanged", async () => await on.put("a/b", Buffer.from("x"), { ifMatch: '"x"' })],
  ["delete", async () => await on.delete("a/b")],
  ["deleteMany", async () => await on.deleteMany(["a/b"])],
  ["list", async () => await on.list("a/")],
  ["list with a delimiter", async () => await on.list("", { delimiter: "/" })],
  ["append", async () => await on.drafts.append(on.drafts.begin("a/"), bodyOf("x"))],
  ["publish", async () => await on.drafts.publish(on.drafts.begin("a/"), "a/b")],
];
const NAMES = operations(filesystemDriver("/nowhere")).map(([name]) => name);
const call = async (on: StorageDriver, name: string): Promise<unknown> =>
  await operations(on).find(([candidate]) => candidate === name)?.[1]();

describe("a store that fails is never an empty one", () => {
  describe("the folder cannot be resolved", () => {
    it.each(NAMES)("%s throws", async (name) => {
      await symlink(path.join(folder, "loop"), path.join(folder, "loop"));
      await expect(call(filesystemDriver(path.join(folder, "loop")), name)).rejects.toThrow(/ELOOP/);
    });
  });

  describe("the folder may not be entered", () => {
    const asNobody = async (work: () => Promise<void>): Promise<void> => {
      if (!isRoot) {
        await work();
        return;
      }
      process.seteuid?.(65534);
      try {
        await work();
      } finally {
        process.seteuid?.(0);
      }
    };
    it.each(NAMES)("%s throws", async (name) => {
      await driver.put("a/b", Buffer.from("there"));
      await chmod(folder, 0o000);
      try {
        await asNobody(async () => {
          await expect(call(driver, name)).rejects.toThrow(/EACCES/);
        });
      } finally {
        await chmod(folder, 0o700);
      }
    });
  });

  it("deleteMany throws the first failure after all were tried", async () => {
    await driver.put("a", Buffer.from("x"));
    await driver.put("b", Buffer.from("x"));
    await symlink(path.join(folder, "loop"), path.join(folder, "loop"));
    await expect(driver.deleteMany(["a", "loop/1", "loop/2", "b"])).rejects.toThrow(/ELOOP.*loop\/1/);
    expect(await driver.head("a")).toBeUndefined();
    expect(await driver.head("b")).toBeUndefined();
  });

  it("a file that becomes shorter while it is read breaks the download off", async () => {
    await driver.put("large", pattern(2_000_000));
    const object = await driver.get("large");
    await truncate(path.join(folder, "large"), 1_000_000);
    await expect(bytesOfBody(object as never)).rejects.toThrow("shorter");
  });
});

describe("the folder", () => {
  it("holds each object as a file of that name with those bytes, and nothing else", async () => {
    await driver.put("docker/registry/v2/blobs/x/data", Buffer.from("bytes"));
    const draft = await driver.drafts.append(driver.drafts.begin("up/1/"), bodyOf("large"));
    await driver.drafts.publish(draft, "docker/registry/v2/blobs/y/data");
    expect((await filesIn(folder)).sort()).toEqual([
      "docker/registry/v2/blobs/x/data",
      "docker/registry/v2/blobs/y/data",
    ]);
    expect(await readFile(path.join(folder, "docker/registry/v2/blobs/y/data"), "utf8")).toBe("large");
  });

  it("shows what others put there, and not what can be no key", async () => {
    await mkdir(path.join(folder, "a"));
    await writeFile(path.join(folder, "a/theirs"), "theirs");
    await writeFile(path.join(folder, "a/with space"), "");
    expect((await driver.list("")).objects.map(({ key }) => key)).toEqual(["a/theirs"]);
    expect(Buffer.from((await driver.read("a/theirs", 10)) ?? []).toString()).toBe("theirs");
  });

  it("may have symbolic links to files and folders: what is read through them is listed", async () => {
    const elsewhere = await temporaryFolder();
    try {
      await mkdir(path.join(folder, "a"));
      await symlink(elsewhere, path.join(folder, "a/b"));
      await driver.put("a/b/c/d", Buffer.from("x"));
      await symlink(path.join(elsewhere, "c/d"), path.join(folder, "a/b-file"));
      const keys = ["a/b-file", "a/b/c/d"];
      for (const key of keys) expect((await driver.head(key))?.size).toBe(1);
      const listed = await driver.list("");
      expect(listed.objects.map(({ key, size }) => [key, size])).toEqual(keys.map((key) => [key, 1]));
      expect((await driver.list("a/", { delimiter: "/" })).prefixes).toEqual(["a/b/"]);
      await driver.delete("a/b/c/d");
      expect(await everythingIn(elsewhere)).toEqual([]);
      expect((await stat(path.join(folder, "a/b"))).isDirectory()).toBe(true);
    } finally {
      await removeFolder(elsewhere);
    }
  });

  it("of two that hold links to each other, or that hold one to a folder above, is not listed in circles", async () => {
    for (const [link, target] of [
      ["a/b/up", "."],
      ["a/b/self", "a/b"],
      ["a/b/root", "/"],
      ["a/b/other", "c"],
    ] as const) {
      await mkdir(path.join(folder, "a/b"), { recursive: true });
      await mkdir(path.join(folder, "c"));
      await symlink(path.resolve(folder, "a"), path.join(folder, "c/back"));
      await symlink(path.resolve(folder, target), path.join(folder, link));
      await expect(driver.list("")).rejects.toThrow("leads to a folder that it lies in");
      for (const name of ["a", "c"]) await removeFolder(path.join(folder, name));
    }
  });

  it("of which a symbolic link leads nowhere, as to a disk that is not there, cannot be listed", async () => {
    await driver.put("a/b", Buffer.from("x"));
    await symlink(path.join(folder, "nowhere"), path.join(folder, "a/c"));
    await expect(driver.list("")).rejects.toThrow(/the symbolic link .*a\/c leads nowhere/);
    await expect(driver.list("a/", { delimiter: "/" })).rejects.toThrow("leads nowhere");
    await unlink(path.join(folder, "a/c"));
    expect((await driver.list("")).objects.map(({ key }) => key)).toEqual(["a/b"]);
  });

  it("keeps its own files where no listing shows them and no key reaches them", async () => {
    const body = new ManualBody();
    const appending = driver.drafts.append(driver.drafts.begin("d/"), body);
    await body.started;
    await driver.put("k", Buffer.from("1"), { ifNoneMatch: "*" });
    body.end();
    await appending;
    expect((await driver.list("")).objects.map(({ key }) => key)).toEqual(["k"]);
    expect((await driver.list("", { delimiter: "/" })).prefixes).toEqual([]);
    for (const key of [".lading", ".lading/tmp/x"]) {
      await expect(driver.put(key, Buffer.from("x"))).rejects.toThrow(TypeError);
      await expect(driver.read(key, 10)).rejects.toThrow(TypeError);
    }
    await driver.put("a/.lading/x", Buffer.from("only the first level is reserved"));
  });

  it("cannot hold both a and a/b: the second is refused, the first stays", async () => {
    await driver.put("a", Buffer.from("first"));
    await expect(driver.put("a/b", Buffer.from("x"))).rejects.toThrow();
    await driver.put("c/d", Buffer.from("first"));
    await expect(driver.put("c", Buffer.from("x"))).rejects.toThrow();
    expect((await driver.list("")).objects.map(({ key }) => key)).toEqual(["a", "c/d"]);
    expect(await filesIn(folder)).toEqual(["a", "c/d"]);
  });
});

describe("a body under its key", () => {
  it("is the old one or the new one at every moment, whole", async () => {
    const versions = ["a", "b"].map((letter) => Buffer.alloc(200_000, letter));
    const [first = Buffer.alloc(0)] = versions;
    await driver.put("k", first);
    let writing = true;
    const write = async (): Promise<void> => {
      for (let i = 0; i < 30; i++) await driver.put("k", versions[i % 2] ?? first);
      writing = false;
    };
    const read = async (): Promise<number> => {
      let reads = 0;
      for (; writing; reads++) {
        const bytes = await readFile(path.join(folder, "k"));
        expect(versions.some((version) => version.equals(bytes))).toBe(true);
      }
      return reads;
    };
    const [, reads] = await Promise.all([write(), read()]);
    expect(reads).toBeGreaterThan(1);
  });
});

describe("a download", () => {
  // A descriptor that is closed twice, or during a read, is somebody else's by then.
  it.each([
    ["read to its end", async (reader: ReadableStreamDefaultReader) => await reader.read(), 1000],
    [
      "cancelled in the middle",
      async (reader: ReadableStreamDefaultReader) => {
        await reader.read();
        await reader.cancel();
      },
      1_000_000,
    ],
    [
      "cancelled while a read is under way",
      async (reader: ReadableStreamDefaultReader) => {
        const reading = reader.read();
        for (let i = 0; i < 5; i++) await Promise.resolve(); // until the stream has asked for bytes
        await reader.cancel();
        await reading;
      },
      1_000_000,
    ],
    [
      "cancelled before it was read",
      async (reader: ReadableStreamDefaultReader) => {
        await reader.cancel();
      },
      1_000_000,
    ],
    ["that fails", async (reader: ReadableStreamDefaultReader) => await reader.read().catch(() => 0), 0],
  ])("%s closes its file once, after its last read", async (_, work, size) => {
    const file = path.join(folder, "file");
    await writeFile(file, pattern(size));
    const fd = openSync(file, "r");
    let closed = 0;
    const reader = streamFile(fd, 0, Math.max(size, 10), () => (closed += 1)).getReader();
    const done = work(reader);
    expect(closed).toBeLessThanOrEqual(1);
    await done;
    await until("it is closed", () => closed > 0);
    await stat(file); // a turn through the thread pool: what would close it again has been done by then
    expect(closed).toBe(1);
    closeSync(fd);
  });
});

describe("temporary files", () => {
  it.each<[what: string, work: () => Promise<unknown>]>([
    ["a put", async () => await driver.put("k", Buffer.from("x"))],
    ["a failed put", async () => await driver.put("taken", Buffer.from("x"), { ifNoneMatch: "*" })],
    ["a put over a stale version", async () => await driver.put("taken", Buffer.from("x"), { ifMatch: '"x"' })],
    ["a put that cannot be", async () => await driver.put("taken/below", Buffer.from("x"))],
    ["a body that broke off", async () => await driver.drafts.append(driver.drafts.begin("d/"), brokenBody("x"))],
    [
      "a publish that cannot be",
      async () => {
        const one = await driver.drafts.append(driver.drafts.begin("d/"), bodyOf("1"));
        const two = await driver.drafts.append(one, bodyOf("2"));
        await driver.drafts.publish(two, "taken/below").finally(async () => await discardDraft(driver, two));
      },
    ],
  ])("are gone after %s", async (_, work) => {
    await driver.put("taken", Buffer.from("there"));
    await work().catch(() => undefined);
    expect((await filesIn(folder)).filter((name) => name !== "k")).toEqual(["taken"]);
  });

  it("of a process that died are removed when they are old, and only then", async () => {
    await driver.put("k", Buffer.from("x"));
    const tmp = path.join(folder, ".lading/tmp");
    const claims = path.join(folder, ".lading/claims");
    await mkdir(claims, { recursive: true });
    for (const [where, age] of [
      [tmp, 3 * HOUR],
      [claims, 3 * HOUR],
      [tmp, 1 * HOUR],
      [claims, 1 * HOUR],
    ] as const) {
      const file = path.join(where, `${age}`);
      await writeFile(file, "left behind");
      const time = new Date(Date.now() - age);
      await utimes(file, time, time);
    }
    await driver.removeLeftovers(2 * HOUR);
    expect(await readdir(tmp)).toEqual([`${HOUR}`]);
    expect(await readdir(claims)).toEqual([`${HOUR}`]);
    await driver.removeLeftovers(0);
    expect(await filesIn(folder)).toEqual(["k"]);
  });

  it("need not be there for leftovers to be looked for", async () => {
    await filesystemDriver(path.join(folder, "never-written")).removeLeftovers(0);
  });
});

describe("compare-and-swap", () => {
  const claimOf = (key: string, etag: string): string =>
    path.join(folder, ".lading/claims", createHash("sha256").update(`${key}\n${etag}`).digest("hex"));
  const claim = async (key: string, etag: string, ageMs: number): Promise<void> => {
    await mkdir(claimOf(key, etag), { recursive: true });
    await writeFile(path.join(claimOf(key, etag), "bytes"), "claimed by a process that died");
    await grow(key, etag, ageMs);
  };
  const grow = async (key: string, etag: string, ageMs: number): Promise<void> => {
    const time = new Date(Date.now() - ageMs);
    for (const name of await readdir(claimOf(key, etag))) {
      await utimes(path.join(claimOf(key, etag), name), time, time);
    }
  };

  it("waits for the claim of another process, and loses to it where that one writes", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await claim("k", etag, -HOUR);
    const waiting = driver.put("k", Buffer.from("2"), { ifMatch: etag });
    await rename(path.join(claimOf("k", etag), "bytes"), path.join(folder, "k"));
    await expect(waiting).rejects.toThrow(PreconditionFailedError);
    expect(await readFile(path.join(folder, "k"), "utf8")).toBe("claimed by a process that died");
    expect(await filesIn(folder)).toEqual(["k"]);
  });

  it("waits for the claim of another process, and goes on where that one gives up", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await claim("k", etag, -HOUR);
    const waiting = driver.put("k", Buffer.from("2"), { ifMatch: etag });
    await unlink(path.join(claimOf("k", etag), "bytes")); // and not the folder, which may be another's claim by now
    await waiting;
    expect(await readFile(path.join(folder, "k"), "utf8")).toBe("2");
  });

  it.each<[what: string, ageMs: number]>([
    ["died ten seconds ago", 10_000],
    ["died, and whose clock went an hour ahead", -HOUR],
  ])("takes the claim of a process that %s", async (_what, ageMs) => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await claim("k", etag, ageMs);
    const written = await driver.put("k", Buffer.from("2"), { ifMatch: etag });
    expect(await readFile(path.join(folder, "k"), "utf8")).toBe("2");
    expect(await filesIn(folder)).toEqual(["k"]);
    await driver.put("k", Buffer.from("3"), { ifMatch: written.etag });
  });

  it("lets one of many through where the process that had the claim died", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await claim("k", etag, 10_000);
    const puts = Array.from({ length: 12 }, async (_, i) => {
      const process = i % 2 === 0 ? driver : filesystemDriver(folder);
      return await process.put("k", Buffer.from(`by ${i}`), { ifMatch: etag });
    });
    const won = (await Promise.allSettled(puts)).flatMap(({ status }, i) =>
      status === "fulfilled" ? [`by ${i}`] : [],
    );
    expect(won).toEqual([await readFile(path.join(folder, "k"), "utf8")]);
    expect(await filesIn(folder)).toEqual(["k"]);
  });

  it("takes a claim that is a file", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await mkdir(path.dirname(claimOf("k", etag)), { recursive: true });
    await writeFile(claimOf("k", etag), "");
    await utimes(claimOf("k", etag), 0, 0);
    await driver.put("k", Buffer.from("2"), { ifMatch: etag });
    expect(await filesIn(folder)).toEqual(["k"]);
  });

  it("of which the claim was broken changes nothing, however late it goes on", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    let claimed: () => void = () => undefined;
    const atClaim = new Promise<void>((resolve) => (claimed = resolve));
    let goOn: () => void = () => undefined;
    const paused = new Promise<void>((resolve) => (goOn = resolve));
    // It compares, and then does nothing for a long time.
    const late = filesystemDriver(folder);
    late.head = async (key) => {
      const info = await driver.head(key);
      claimed();
      await paused;
      return info;
    };
    const writing = late.put("k", Buffer.from("late"), { ifMatch: etag });
    await atClaim;
    await grow("k", etag, 10_000);
    await driver.put("k", Buffer.from("3"), { ifMatch: etag });
    goOn();
    await expect(writing).rejects.toThrow(PreconditionFailedError);
    expect(await readFile(path.join(folder, "k"), "utf8")).toBe("3");
    expect(await filesIn(folder)).toEqual(["k"]);
  });

  it("frees its claim whether it won or lost", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await driver.put("k", Buffer.from("2"), { ifMatch: etag });
    await expect(driver.put("k", Buffer.from("3"), { ifMatch: etag })).rejects.toThrow(PreconditionFailedError);
    await expect(driver.put("k", Buffer.from("3"), { ifMatch: '"x"' })).rejects.toThrow(PreconditionFailedError);
    expect(await readdir(path.join(folder, ".lading/claims"))).toEqual([]);
  });

  it("notices a file that another program replaced", async () => {
    const { etag } = await driver.put("k", Buffer.from("1"));
    await writeFile(path.join(folder, "theirs"), "2");
    await unlink(path.join(folder, "k"));
    await link(path.join(folder, "theirs"), path.join(folder, "k"));
    await expect(driver.put("k", Buffer.from("3"), { ifMatch: etag })).rejects.toThrow(PreconditionFailedError);
  });
});

describe("a clock that is not the file system's", () => {
  afterEach(() => vi.useRealTimers());

  it.each([
    [10_000, /folder is \d+\.\d seconds behind this machine's/],
    [-10_000, /folder is \d+\.\d seconds ahead of this machine's/],
  ])("this machine's being %d ms ahead, no deletes are promised", async (ms, sentence) => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
    await expect(driver.fenced.isKept()).rejects.toThrow(sentence);
    expect(await filesIn(folder)).toEqual([]);
    vi.setSystemTime(vi.getRealSystemTime() + ms / 10);
    expect(await driver.fenced.isKept()).toBe(true);
  });
});

// These need a mount, and so root; without it they are listed as skipped.
describe.runIf(isRoot)("a disk of one MiB of its own", () => {
  let disk: string;
  beforeEach(async () => {
    disk = path.join(folder, "disk");
    await mkdir(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
    driver = filesystemDriver(disk);
  });
  afterEach(() => void execFileSync("umount", ["-l", disk]));

  it("that is full: a put says so and leaves the old object and no rest", async () => {
    await driver.put("k", Buffer.from("old"));
    await expect(driver.put("k", pattern(2_000_000))).rejects.toThrow(StorageFullError);
    await expect(driver.put("other", pattern(2_000_000))).rejects.toThrow("storage is full");
    expect(await filesIn(disk)).toEqual(["k"]);
    expect(await readFile(path.join(disk, "k"), "utf8")).toBe("old");
  });

  it("that is full: an append says so, gives the room back, and its draft goes on", async () => {
    const before = await driver.drafts.append(driver.drafts.begin("d/"), bodyOf(pattern(300_000)));
    for (let i = 0; i < 3; i++) {
      await expect(driver.drafts.append(before, bodyOf(pattern(2_000_000)))).rejects.toThrow(StorageFullError);
    }
    const after = await driver.drafts.append(before, bodyOf(pattern(100_000)));
    expect(after.size).toBe(400_000);
    await driver.drafts.publish(after, "k");
    await discardDraft(driver, after);
    expect((await stat(path.join(disk, "k"))).size).toBe(400_000);
    expect(await filesIn(disk)).toEqual(["k"]);
  });

  it("that is full: joining a draft says so, and the draft stays to be tried again", async () => {
    const one = await driver.drafts.append(driver.drafts.begin("d/"), bodyOf(pattern(300_000)));
    const two = await driver.drafts.append(one, bodyOf(pattern(300_000)));
    await driver.put("ballast", pattern(200_000));
    await expect(driver.drafts.publish(two, "k")).rejects.toThrow(StorageFullError);
    expect(await driver.head("k")).toBeUndefined();
    expect((await filesIn(disk)).filter((name) => name.startsWith(".lading/"))).toEqual([]);
    await driver.delete("ballast");
    await driver.drafts.publish(two, "k").catch(() => undefined); // still too little room for both copies
    expect((await filesIn(disk)).filter((name) => name.startsWith("d/"))).toHaveLength(2);
  });

  it("that is read-only: a put says so, also where nothing was written before", async () => {
    execFileSync("mount", ["-o", "remount,ro", disk]);
    await expect(driver.put("k", Buffer.from("x"))).rejects.toThrow("storage is read-only");
    await expect(driver.drafts.append(driver.drafts.begin("d/"), bodyOf("x"))).rejects.toThrow("storage is read-only");
  });

  it("gives another etag with every write, however fast", async () => {
    const etags = new Set<string>();
    for (let i = 0; i < 300; i++) etags.add((await driver.put("k", Buffer.from("same"))).etag);
    expect(etags.size).toBe(300);
  });

  it("that is read-only: writing says so, reading goes on, and nothing looks absent", async () => {
    await driver.put("a/b", Buffer.from("there"));
    const draft = await driver.drafts.append(driver.drafts.begin("d/"), bodyOf("draft"));
    execFileSync("mount", ["-o", "remount,ro", disk]);
    for (const name of ["put", "put if absent", "put if unchanged", "delete", "deleteMany", "append", "publish"]) {
      await expect(call(driver, name), name).rejects.toThrow("storage is read-only");
    }
    await expect(driver.drafts.publish(draft, "k")).rejects.toThrow(StorageFullError);
    await expect(discardDraft(driver, draft)).rejects.toThrow();
    expect(Buffer.from((await driver.read("a/b", 10)) ?? []).toString()).toBe("there");
    expect((await driver.list("a/")).objects).toHaveLength(1);
  });
});

it("names the keys that it could not delete with a permit, and deletes the others", async () => {
  for (const key of ["a", "b", "c"]) await driver.put(key, Buffer.from(key));
  const permit = { id: "run/nonce", since: (await driver.put("clock", Buffer.from("x"))).asOf };
  await driver.fenced.open(permit.id);
  // A folder where the file would be moved to.
  await mkdir(path.join(folder, ".lading/permits/run/nonce/moved/b\\f"));
  const error: unknown = await driver.fenced
    .delete(["a", "b", "c"].map((key) => ({ key, permit })))
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(DeletesFailedError);
  expect([...(error as DeletesFailedError).failures.keys()]).toEqual(["b"]);
  expect((error as DeletesFailedError).message).toMatch(/EISDIR/);
  expect([await driver.head("a"), await driver.head("c")]).toEqual([undefined, undefined]);
  expect(await driver.head("b")).toBeDefined();
});
