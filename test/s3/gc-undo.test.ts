/** What a collection deleted in a bucket comes back: from its versions, or from copies that the store made. */
import {
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  type ListObjectVersionsCommandOutput,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { readSummary, type Summary } from "../../shared/gc/summary.ts";
import { undoingOf } from "../../shared/gc/trash.ts";
import { undo, type Undone, type UndoneKey } from "../../shared/gc/undo.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import type { Trash } from "../../shared/storage/driver.ts";
import { probePromises } from "../../shared/storage/s3/probe.ts";
import { nameOf } from "../gc/support.ts";
import { s3Client } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { bucketWorld, BucketWorld, CEPH, SERVERS, TIMES, VERSITYGW } from "./gc-world.ts";

const MIB = 1024 * 1024;
const A = "library/a";
const B = "library/b";
const SLOW = { timeout: 240_000 };

/** An image that stays, and beside it what goes: blobs, one large, and manifests of all kinds. Gives what stays. */
async function fill(world: BucketWorld): Promise<readonly string[]> {
  await world.image(A, ["stays"], { tag: "latest" });
  const kept = await world.keys();
  await world.image(A, ["untagged"]);
  const child = await world.image(A, ["child"]);
  const index = await world.index(A, [child.digest]);
  await world.referrer(A, index, "signature");
  await world.blob(A, "garbage");
  await world.blob(B, "garbage");
  const large = Buffer.alloc(11 * MIB, "a large blob is copied in parts. ");
  const digest = digestOf("sha256", large);
  await world.driver.drafts.write(layout.blob(digest), chunksOf(large), {
    length: large.length,
    verify: () => undefined,
  });
  await writeLink(world.driver, layout.layerLink(nameOf(B), digest), digest);
  return kept;
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MIB) yield bytes.subarray(at, at + MIB);
}

async function undoAll(world: BucketWorld, runs: readonly Summary[]): Promise<{ undone: Undone[]; keys: UndoneKey[] }> {
  const keys: UndoneKey[] = [];
  const undone: Undone[] = [];
  for (const { run } of runs) undone.push(await undo(world.driver, run, TIMES, (entry) => keys.push(...entry.keys)));
  return { undone, keys };
}

async function versionsOf(world: BucketWorld, key: string): Promise<ListObjectVersionsCommandOutput> {
  const client = s3Client(world.access);
  const answer = await client.send(new ListObjectVersionsCommand({ Bucket: world.bucket, Prefix: key }));
  client.destroy();
  return answer;
}

describe.concurrent.each([
  ["versitygw, with versions", VERSITYGW, true],
  ["versitygw, from copies", VERSITYGW, false],
  ["Ceph RGW, from copies", CEPH, false],
] as const)("%s", (_, server, versioned) => {
  it("all comes back byte for byte, and undoing it twice changes nothing", SLOW, async () => {
    const world = await bucketWorld(server, { versioned });
    const options = { retention: deleteUntagged, setAside: true };
    const kept = await fill(world);
    const before = await world.content();
    const runs = await world.collectAll(options);
    expect(await world.keys()).toEqual(kept);
    expect(runs.map(({ undoable }) => undoable)).not.toContain(false);
    expect((await world.keysBelow(layout.gcTrash)).length > 0).toBe(!versioned);

    const first = await undoAll(world, runs);
    expect(first.undone.flatMap(({ missing }) => missing)).toEqual([]);
    expect(first.undone.map(({ there }) => there).every((there) => there === 0)).toBe(true);
    const lost = Object.keys(before).filter((key) => !kept.includes(key));
    expect(first.keys.map(({ key }) => key).sort()).toEqual(lost.sort());
    expect(new Set(first.keys.map(({ outcome }) => outcome))).toEqual(new Set(["restored"]));
    expect(await world.content()).toEqual(before);

    const second = await undoAll(world, runs);
    expect(new Set(second.keys.map(({ outcome }) => outcome))).toEqual(new Set(["there"]));
    second.undone.forEach(({ blobs, manifests, there }) => expect(there).toBe(blobs + manifests));
    expect(await world.content()).toEqual(before);

    expect((await world.collect({ ...options, trashMs: 1000 })).reason).toBeUndefined();
    expect(await world.keysBelow(layout.gcTrash)).toEqual([]);
  });

  it("what was pushed again stays as it is, and what is kept no more is told", SLOW, async () => {
    const world = await bucketWorld(server, { versioned });
    await world.image(A, ["stays"], { tag: "latest" });
    const [again, gone, back] = [
      await world.blob(A, "again"),
      await world.blob(A, "gone"),
      await world.blob(B, "back"),
    ];
    const before = await world.content();
    const runs = await world.collectAll({ setAside: true });
    await world.blob(A, "again");
    const pushed = await versionsOf(world, layout.blob(again));
    await forget(world, runs, gone);

    const { undone, keys } = await undoAll(world, runs);
    const reason = "its bytes are not kept any more";
    expect(undone.flatMap(({ missing }) => missing)).toEqual([{ digest: gone, reason }]);
    const outcomes = Object.fromEntries(keys.map(({ key, outcome }) => [key, outcome]));
    const keysOf = (digest: Digest, name: string) => [layout.blob(digest), layout.layerLink(nameOf(name), digest)];
    expect(outcomes).toEqual({
      ...Object.fromEntries(keysOf(again, A).map((key) => [key, "there"])),
      ...Object.fromEntries(keysOf(gone, A).map((key) => [key, "gone"])),
      ...Object.fromEntries(keysOf(back, B).map((key) => [key, "restored"])),
    });
    expect((await versionsOf(world, layout.blob(again))).Versions).toEqual(pushed.Versions);
    const left = Object.fromEntries(Object.entries(before).filter(([key]) => !keysOf(gone, A).includes(key)));
    expect(await world.content()).toEqual(left);
  });

  /** Removes what is kept of a blob for good, as a lifecycle does. */
  async function forget(world: BucketWorld, runs: readonly Summary[], digest: Digest): Promise<void> {
    if (!versioned) {
      for (const { run } of runs) await world.driver.delete(`${layout.gcTrash}${run}/${layout.blob(digest)}`);
      return;
    }
    const client = s3Client(world.access);
    const { Versions = [] } = await versionsOf(world, layout.blob(digest));
    expect(Versions).toHaveLength(1);
    for (const { Key, VersionId } of Versions) {
      await client.send(new DeleteObjectCommand({ Bucket: world.bucket, Key, VersionId }));
    }
    client.destroy();
  }
});

describe.concurrent.each(SERVERS)("%s", (...server) => {
  it("a version comes back from under all its delete markers, and only where it is the last", SLOW, async () => {
    const { driver } = await bucketWorld(server, { versioned: true });
    for (const key of ["a/b", "a/bc", "again", "ab"]) await driver.put(key, Buffer.from(`bytes of ${key}`));
    for (const id of ["run/1", "run/2"]) {
      const { asOf } = await driver.put("clock", Buffer.from(id));
      const permit = { id, since: asOf };
      expect(await driver.fenced.delete(["a/b", "again"].map((key) => ({ key, permit })))).toEqual([]);
    }
    await driver.put("again", Buffer.from("anew"));
    const trash = driver.fenced.trash as Trash;
    const items = ["a/b", "again", "ab", "never"].map((key) => ({ key, id: "run/1" }));
    expect(await trash.restore(items)).toEqual(["never"]);
    expect(Buffer.from((await driver.read("a/b", 100)) ?? []).toString()).toBe("bytes of a/b");
    expect(Buffer.from((await driver.read("again", 100)) ?? []).toString()).toBe("anew");
    expect([await trash.keeps(), await trash.runs()]).toEqual([true, undefined]);
  });

  it(
    "without versions and copies it is said before a run begins, in its record, and when it is tried",
    SLOW,
    async () => {
      const world = await bucketWorld(server, { versioned: false });
      await world.image(A, ["stays"], { tag: "latest" });
      const garbage = await world.blob(A, "garbage");
      const warnings: string[] = [];
      const [run] = await world.collectAll({ warn: (message) => warnings.push(message) });
      const cannotUndo = "the bucket keeps no versions, or none that come back without MFA";
      expect(new Set(warnings)).toEqual(new Set([`what is deleted cannot be brought back: ${cannotUndo}`]));
      expect(await readSummary(world.driver, run?.run ?? "")).toMatchObject({
        undoable: false,
        cannotUndo,
        deleted: 1,
      });
      expect((await undo(world.driver, run?.run ?? "", TIMES)).missing).toMatchObject([{ digest: garbage }]);
    },
  );
});

it.concurrent("where a store may not be asked about versions, that is said", SLOW, async () => {
  const { access, bucket, driver } = await bucketWorld(CEPH, { versioned: true });
  const client = s3Client(access);
  const Action = "s3:GetBucketVersioning";
  const Statement = [{ Effect: "Deny", Principal: "*", Action, Resource: `arn:aws:s3:::${bucket}` }];
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
  await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
  client.destroy();
  expect(await driver.fenced.trash?.keeps()).toBeUndefined();
  const { setAside, cannotUndo } = await undoingOf(driver, false);
  expect([setAside, cannotUndo]).toEqual([false, expect.stringContaining(Action)]);
  expect(await undoingOf(driver, true)).toEqual({ setAside: true });
});

it.concurrent(
  "Ceph RGW decides no conditional writes where it keeps versions: nothing is collected",
  SLOW,
  async () => {
    const { access, bucket } = await bucketWorld(CEPH, { versioned: true });
    const { promises } = await probePromises(s3Settings(access, bucket));
    expect(promises.conditionalWrites).toBe(false);
    const world = new BucketWorld(access, bucket, promises);
    await expect(world.collect()).rejects.toThrow("does not decide conditional writes");
  },
);
