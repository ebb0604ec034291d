/** Undos at once in a bucket that keeps versions, where others put markers and versions too, or that gives none back. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { undoingOf } from "../../shared/gc/trash.ts";
import { undo } from "../../shared/gc/undo.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Trash } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { s3Client } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import { bucketWorld, SERVERS, TIMES, VERSITYGW } from "./gc-world.ts";

const A = "library/a";
const SLOW = { timeout: 240_000 };

describe.concurrent.each(SERVERS)("%s", (...server) => {
  it("all who take markers away at once find the object back", SLOW, async () => {
    const { driver } = await bucketWorld(server, { versioned: true });
    const all = Array.from({ length: 12 }, (_, i) => `k/${i}`);
    for (const key of all) await driver.put(key, Buffer.from(key));
    const { asOf } = await driver.put("clock", Buffer.from("now"));
    const permit = { id: "run/1", since: asOf };
    // Deleted twice: two markers each.
    for (let i = 0; i < 2; i++) await driver.fenced.delete(all.map((key) => ({ key, permit })));
    const trash = driver.fenced.trash as Trash;
    const items = all.map((key) => ({ key, id: permit.id }));
    const tries = Array.from({ length: 4 }, async () => await trash.restore(items));
    expect(await Promise.all(tries)).toEqual([[], [], [], []]);
    for (const key of all) expect(Buffer.from((await driver.read(key, 100)) ?? []).toString()).toBe(key);
  });

  it("more versions and markers of other keys than a page has are no matter", SLOW, async () => {
    const { driver, access, bucket } = await bucketWorld(server, { versioned: true });
    const client = s3Client(access);
    const put = async (Key: string) => await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }));
    await driver.put("key", Buffer.from("key"));
    for (let i = 0; i < 30; i++) await put(`key-${i}`);
    for (let i = 0; i < 1100; i++) {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: "key" }));
    }
    client.destroy();
    const trash = driver.fenced.trash as Trash;
    expect(await trash.restore([{ key: "key", id: "run/1" }])).toEqual([]);
    expect(Buffer.from((await driver.read("key", 100)) ?? []).toString()).toBe("key");
  });
});

it("two undos at once bring everything back, and neither says that something is missing", SLOW, async () => {
  const world = await bucketWorld(VERSITYGW, { versioned: true });
  await world.image(A, ["stays"], { tag: "latest" });
  for (let i = 0; i < 20; i++) await world.blob(A, `garbage ${i}`);
  const before = await world.content();
  const [run] = await world.collectAll();
  const name = run?.run ?? "";
  expect(run?.deleted).toBe(20);
  const undone = await Promise.all([undo(world.driver, name, TIMES), undo(world.driver, name, TIMES)]);
  for (const { missing, blobs } of undone) expect([missing, blobs]).toEqual([[], 20]);
  expect(await world.content()).toEqual(before);
  expect(await world.keysBelow(layout.gcTrash)).toEqual([]);
});

it.each([
  ["Disabled", {}],
  ["Enabled", { cannotUndo: "the bucket keeps no versions, or none that come back without MFA" }],
])("a bucket in which MFA for deletes is %s is told by its answer", async (mfa, expected) => {
  const body = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status><MfaDelete>${mfa}</MfaDelete></VersioningConfiguration>`;
  const server = createServer((_, answer) => answer.setHeader("content-type", "application/xml").end(body));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const access = { endpoint, region: "us-east-1", accessKeyId: "id", secretAccessKey: "secret" };
  const driver = new S3Driver(s3Settings(access, "bucket"), new MemoryBudget(64 * 1024 ** 2, 5000));
  try {
    expect(await undoingOf(driver, false)).toEqual({ setAside: false, ...expected });
    expect((await undoingOf(driver, true)).setAside).toBe(mfa === "Enabled");
  } finally {
    driver.close();
    server.close();
  }
});
