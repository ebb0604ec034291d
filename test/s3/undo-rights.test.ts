/**
 * `lading gc undo` as an operator runs it on a bucket that keeps versions: with the policy of docs/operations.md it brings
 * everything back, without any part of that it says which right it lacks, and what the bucket's lifecycle removed it names.
 */
import { readFileSync } from "node:fs";
import { DeleteObjectsCommand, ListObjectVersionsCommand } from "@aws-sdk/client-s3";
import { expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import { layout } from "../../shared/registry/layout.ts";
import { nameOf } from "../gc/support.ts";
import { startGuardedStore } from "../cloud/guarded-store.ts";
import { Policy, type Statement } from "../cloud/policy.ts";
import { runLading } from "../support/lading.ts";
import type { Finished } from "../support/process.ts";
import { s3Client } from "../support/s3-servers.ts";
import { removeFolder, temporaryFolder } from "../support/temp.ts";
import { bucketWorld, TIMES, VERSITYGW, type BucketWorld } from "./gc-world.ts";

const A = "library/a";

/** The policy that the page gives, for a bucket. */
function operatorPolicy(bucket: string): Statement[] {
  const page = readFileSync("docs/operations.md", "utf8");
  const [, text = ""] = /```json\n(\{\n {2}"Version"[^]*?)```/.exec(page) ?? [];
  const { Statement: statements } = JSON.parse(text.replaceAll("BUCKET", bucket)) as {
    Statement: { Sid: string; Effect: string; Action: string | string[]; Resource: string | string[] }[];
  };
  return statements.map(({ Sid, Effect, Action, Resource }) => {
    if (Effect !== "Allow") throw new Error(`${Sid} does not allow`);
    return { sid: Sid, actions: [Action].flat(), resources: [Resource].flat() };
  });
}

/** Runs the command where no more is allowed than this. */
async function undoWith(world: BucketWorld, run: string, policy: Policy): Promise<Finished> {
  const guard = await startGuardedStore(world.access.endpoint, policy);
  const folder = await temporaryFolder();
  try {
    const access = { ...world.access, endpoint: `http://127.0.0.1:${guard.port}` };
    const bucket = { access, name: world.bucket };
    return await runLading({ folder, bucket }, "gc", "undo", "--yes", run);
  } finally {
    await guard.close();
    await removeFolder(folder);
  }
}

/** Removes all that the bucket still has of an object that was deleted, as its lifecycle does when the time is over. */
async function expire(world: BucketWorld, key: string): Promise<void> {
  const client = s3Client(world.access);
  const { Versions = [], DeleteMarkers = [] } = await client.send(
    new ListObjectVersionsCommand({ Bucket: world.bucket, Prefix: key }),
  );
  expect(DeleteMarkers.map(({ IsLatest }) => IsLatest)).toEqual([true]);
  const Objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }));
  expect(Objects).toHaveLength(2);
  await client.send(new DeleteObjectsCommand({ Bucket: world.bucket, Delete: { Objects } }));
  client.destroy();
}

it.concurrent(
  "takes exactly the rights that docs/operations.md gives, and says which one is missing",
  { timeout: 240_000 },
  async () => {
    const world = await bucketWorld(VERSITYGW, { versioned: true });
    await world.image(A, ["stays"], { tag: "latest" });
    await world.image(A, ["untagged"]);
    const before = await world.content();
    // No longer than until the bytes are gone: later runs forget the marks, which whoever brings them back has to clear.
    const runs: Summary[] = [];
    await world.passed(TIMES.horizonMs);
    while ((runs[0]?.deleted ?? 0) === 0) {
      const summary = await world.collect({ retention: deleteUntagged });
      expect(summary.reason).toBeUndefined();
      if (summary.deleted + summary.deletedManifests > 0) runs.unshift(summary);
      await world.passed(TIMES.settleMs);
    }
    const counts = runs.map(({ deleted, deletedManifests }) => [deleted, deletedManifests]);
    expect(counts).toEqual([
      [2, 0],
      [0, 1],
    ]);
    const whole = operatorPolicy(world.bucket);
    const single = whole.flatMap(({ sid, actions, resources }) =>
      actions.flatMap((action) => resources.map((resource) => ({ sid, actions: [action], resources: [resource] }))),
    );
    expect(single.length).toBeGreaterThan(6);

    const collected = new Set(await world.keys());
    const marks = await Promise.all(
      (await world.keysBelow(`${layout.root}_gc/marks/`)).map(
        async (key) => [key, await world.driver.read(key, 4096)] as const,
      ),
    );
    for (const one of single) {
      const [right, resource] = [one.actions.join(""), one.resources.join("")];
      const without = single.filter((other) => other !== one);
      const { code, stdout, stderr } = await undoWith(world, runs[0]?.run ?? "", new Policy(without));
      expect([right, resource, code]).toEqual([right, resource, 1]);
      // Of what could be read each thing that did not come back is named, else the command says that it ends.
      const words = /^(?:lading gc: |\w+ cannot be brought back: .*  )S3 .*it takes the right to (.*)/gm;
      const rights = [...`${stderr}${stdout}`.matchAll(words)].map(([, text]) => text);
      expect(rights.join("\n")).toMatch(new RegExp(`\\b${right}\\b`));
      // A try brings back what it can.
      for (const key of await world.keys()) if (!collected.has(key)) await world.driver.delete(key);
      for (const [key, body] of marks) await world.driver.put(key, body ?? new Uint8Array());
    }

    const policy = new Policy(whole);
    for (const { run } of runs) {
      const { code, stdout, stderr } = await undoWith(world, run, policy);
      expect(code, stdout + stderr).toBe(0);
      expect(stdout).toMatch(/^(?:blob|manifest) brought back: sha256:/m);
    }
    expect([policy.denied, policy.unused()]).toEqual([[], []]);
    expect(await world.content()).toEqual(before);
  },
);

it.concurrent(
  "names what the lifecycle has removed, ends with 1, and brings back the rest",
  { timeout: 240_000 },
  async () => {
    const world = await bucketWorld(VERSITYGW, { versioned: true });
    await world.image(A, ["stays"], { tag: "latest" });
    const [gone, back] = [await world.blob(A, "gone"), await world.blob(A, "back")];
    const before = await world.content();
    const [run] = await world.collectAll();
    const name = run?.run ?? "";
    await expire(world, layout.blob(gone));
    const policy = new Policy(operatorPolicy(world.bucket));
    const first = await undoWith(world, name, policy);
    expect(first.code).toBe(1);
    expect(first.stdout).toContain(`blob brought back: ${back}  4 B\n`);
    expect(first.stdout).toContain(`blob cannot be brought back: ${gone}  4 B  its bytes are not kept any more\n`);
    expect(first.stdout).toContain("1 blob (4 B), 0 manifests and 0 tags are there again; 1 are not\n");
    const lost = [layout.blob(gone), layout.layerLink(nameOf(A), gone)];
    const left = Object.fromEntries(Object.entries(before).filter(([key]) => !lost.includes(key)));
    expect(await world.content()).toEqual(left);
    expect((await undoWith(world, name, policy)).code).toBe(1);
    expect(await world.content()).toEqual(left);
  },
);
