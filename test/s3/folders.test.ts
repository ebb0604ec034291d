/** A store that keeps keys as files, such as versitygw, removes the folders of keys that go: beside writes, at any moment. */
import { describe, expect, it } from "vitest";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { bodyOf, pattern } from "../support/bodies.ts";
import { S3_STORES } from "../support/s3-servers.ts";
import { s3Store } from "../support/s3-stores.ts";

/** More than one part, and more than a draft keeps in itself. */
const [large, small] = [pattern(5 * 1024 * 1024 + 1), pattern(40_000)];
const LANES = ["1", "2", "3", "4"];

type Write = (driver: StorageDriver, key: string) => Promise<unknown>;

/** Each way in which a key comes to be, and how often it is tried in each lane. */
const WRITES: readonly [what: string, rounds: number, write: Write][] = [
  ["put", 30, async (driver, key) => await driver.put(key, Buffer.from("b"))],
  ["put where nothing is", 30, async (driver, key) => await driver.put(key, Buffer.from("b"), { ifNoneMatch: "*" })],
  [
    "written as bodies",
    30,
    async (driver, key) => await driver.drafts.write(key, bodyOf("b"), { verify: () => undefined }),
  ],
  [
    "written as bodies of several parts",
    10,
    async (driver, key) => {
      await driver.drafts.write(key, bodyOf(large), { verify: () => undefined });
    },
  ],
  [
    "published from drafts that hold their bytes",
    30,
    async ({ drafts }, key) => await drafts.publish(await drafts.append(drafts.begin("d/"), bodyOf("b")), key),
  ],
  [
    "published from drafts that are objects",
    30,
    async ({ drafts }, key) => {
      await drafts.publish(await drafts.append(drafts.begin("d/"), bodyOf(small)), key);
    },
  ],
  [
    "appended to drafts",
    30,
    async (driver, key) => {
      const { drafts } = driver;
      const draft = await drafts.append(drafts.begin(key.replace(/link$/, "")), bodyOf(small));
      const [segment = ""] = drafts.keysOf(draft);
      await driver.put(key, Buffer.from("b"));
      await driver.delete(segment);
    },
  ],
];

describe.each(S3_STORES)("%s: while the last keys beside them go, keys are", (_, server) => {
  it.each(WRITES)("%s", async (_what, rounds, write) => {
    const store = await s3Store(server)();
    const { driver } = store;
    const refused: string[] = [];
    const lane = async (name: string): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        await driver.put(`${name}/of/a/link`, Buffer.from("a"));
        await Promise.all([
          driver.delete(`${name}/of/a/link`),
          write(driver, `${name}/of/b/link`).catch((error: unknown) => refused.push(String(error))),
        ]);
        expect(await driver.head(`${name}/of/b/link`), refused.join("\n")).toBeDefined();
        await driver.delete(`${name}/of/b/link`);
      }
    };
    await Promise.all(LANES.map(lane));
    expect(refused).toEqual([]);
    await store.close();
  });
});
