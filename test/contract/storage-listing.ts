/** What every storage driver promises of its listings. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listChildren, listKeys, type ListOptions, type StorageDriver } from "../../shared/storage/driver.ts";
import type { StoreFactory, TestStore } from "../support/stores.ts";

/** The part of the contract that is about listings. */
export function listingContract(name: string, makeStore: StoreFactory): void {
  describe(`${name}: listings`, () => {
    let store: TestStore;
    let driver: StorageDriver;
    beforeEach(async () => {
      store = await makeStore();
      driver = store.driver;
    });
    afterEach(async () => await store.close());

    const fill = async (keys: readonly string[]): Promise<void> => {
      for (const key of keys) await driver.put(key, Buffer.from(key));
    };

    it("of nothing is an empty last page", async () => {
      expect(await driver.list("")).toEqual({ objects: [], prefixes: [], asOf: expect.any(Date) as unknown });
      expect(await driver.list("a/b/", { delimiter: "/" })).toEqual({
        objects: [],
        prefixes: [],
        asOf: expect.any(Date) as unknown,
      });
    });

    it("says size and time of each object", async () => {
      await fill(["a/b"]);
      const { objects } = await driver.list("a/");
      const info = await driver.head("a/b");
      expect(objects).toEqual([{ key: "a/b", size: 3, lastModified: info?.lastModified, etag: info?.etag }]);
    });

    it("is in byte order of keys: a-b/ before a/, capitals before small letters", async () => {
      await fill(["a/x", "a-b/x", "a.b/x", "a0/x", "aa/x", "A/x", "_/x", "a_b/x"]);
      const keys = ["A/x", "_/x", "a-b/x", "a.b/x", "a/x", "a0/x", "a_b/x", "aa/x"];
      expect(await everyKey(driver, "")).toEqual(keys);
      expect(await listChildren(driver, "")).toEqual(keys.map((key) => key.slice(0, -2)));
    });

    it("takes a prefix for a folder, not for the beginning of a name", async () => {
      await fill(["a/1", "ab/1", "a-/1", "a/b/2"]);
      expect(await everyKey(driver, "a/")).toEqual(["a/1", "a/b/2"]);
    });

    it("rolls up below the delimiter only what lies deeper", async () => {
      await fill(["r/a/1", "r/a/2", "r/b", "r/c/d/e"]);
      const page = await driver.list("r/", { delimiter: "/" });
      expect(page.objects.map(({ key }) => key)).toEqual(["r/b"]);
      expect(page.prefixes).toEqual(["r/a/", "r/c/"]);
      expect(page.next).toBeUndefined();
    });

    it.each<[startAfter: string, keys: string[], entries: string[]]>([
      ["", ["r/a/1", "r/a/2", "r/b", "r/c/1"], ["r/a/", "r/b", "r/c/"]],
      ["r/", ["r/a/1", "r/a/2", "r/b", "r/c/1"], ["r/a/", "r/b", "r/c/"]],
      ["q", ["r/a/1", "r/a/2", "r/b", "r/c/1"], ["r/a/", "r/b", "r/c/"]],
      ["r/a", ["r/a/1", "r/a/2", "r/b", "r/c/1"], ["r/a/", "r/b", "r/c/"]],
      ["r/a/", ["r/a/1", "r/a/2", "r/b", "r/c/1"], ["r/b", "r/c/"]],
      ["r/a/1", ["r/a/2", "r/b", "r/c/1"], ["r/b", "r/c/"]],
      ["r/a/11", ["r/a/2", "r/b", "r/c/1"], ["r/b", "r/c/"]],
      ["r/a/2", ["r/b", "r/c/1"], ["r/b", "r/c/"]],
      ["r/aa", ["r/b", "r/c/1"], ["r/b", "r/c/"]],
      ["r/b", ["r/c/1"], ["r/c/"]],
      ["r/c/", ["r/c/1"], []],
      ["r/c/1", [], []],
      ["s", [], []],
    ])("after %j come %j, rolled up %j", async (startAfter, keys, entries) => {
      await fill(["r/a/1", "r/a/2", "r/b", "r/c/1"]);
      expect(await pagesOf(driver, "r/", { startAfter })).toEqual(keys);
      expect((await pagesOf(driver, "r/", { startAfter, delimiter: "/" })).sort()).toEqual(entries);
    });

    it("pages through everything once, whatever the limit", async () => {
      const keys = ["a", "a-b", "b/1", "b/2/x", "b/2/y", "b-c/1", "c/d/e/f", "d"].sort();
      await fill(keys);
      for (let limit = 1; limit <= keys.length + 1; limit++) {
        expect(await pagesOf(driver, "", { limit }), `limit ${limit}`).toEqual(keys);
        const entries = await pagesOf(driver, "", { limit, delimiter: "/" });
        expect(entries.sort(), `limit ${limit}, rolled up`).toEqual(["a", "a-b", "b-c/", "b/", "c/", "d"]);
      }
    });

    it("gives at most the limit, and a last page without a next", async () => {
      await fill(["a", "b", "c/1", "d"]);
      const first = await driver.list("", { limit: 3, delimiter: "/" });
      expect(first.objects.length + first.prefixes.length).toBe(3);
      expect(first.next).toBe("c/");
      const second = await driver.list("", { limit: 3, delimiter: "/", startAfter: first.next ?? "" });
      expect(second.objects.map(({ key }) => key)).toEqual(["d"]);
      expect(second.next).toBeUndefined();
    });

    it("has more than a thousand entries in as many pages as it takes", async () => {
      const keys = Array.from({ length: 1100 }, (_, i) => `many/${String(i).padStart(5, "0")}`);
      await Promise.all(keys.map(async (key) => await driver.put(key, Buffer.alloc(0))));
      expect(await everyKey(driver, "many/")).toEqual(keys);
    });

    it("is that of the sorted model, for any keys, prefix, start, limit and delimiter", async () => {
      const part = fc.constantFrom("a", "a-", "a-b", "aa", "b", "A", "0", "_", ".x", "~");
      const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(path, { maxLength: 12 }),
          fc.option(path),
          fc.option(path),
          fc.integer({ min: 1, max: 5 }),
          fc.boolean(),
          async (candidates, folder, startAfter, limit, rolledUp) => {
            // A folder store cannot hold both a and a/b.
            const keys = candidates.filter((key) => !candidates.some((other) => other.startsWith(`${key}/`)));
            await driver.deleteMany(await everyKey(driver, ""));
            await fill(keys);
            const prefix = folder === null ? "" : `${folder}/`;
            const options: ListOptions = {
              limit,
              ...(startAfter === null ? {} : { startAfter }),
              ...(rolledUp ? { delimiter: "/" } : {}),
            };
            expect(await pagesOf(driver, prefix, options)).toEqual(model(keys, prefix, options));
          },
        ),
        { numRuns: 150 },
      );
    });
  });
}

/** What a listing would be if all keys were in one sorted array. */
function model(keys: readonly string[], prefix: string, { delimiter, startAfter = "" }: ListOptions): string[] {
  const names = keys
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const slash = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      return slash < 0 ? key : key.slice(0, slash + 1);
    });
  return [...new Set(names)].filter((name) => name > startAfter).sort();
}

/** Names of all pages, each checked to be in order and after the one before. */
async function pagesOf(driver: StorageDriver, prefix: string, options: ListOptions): Promise<string[]> {
  const names: string[] = [];
  let startAfter = options.startAfter;
  for (;;) {
    const page = await driver.list(prefix, { ...options, ...(startAfter === undefined ? {} : { startAfter }) });
    const entries = [...page.objects.map(({ key }) => key), ...page.prefixes].sort();
    if (options.limit !== undefined) expect(entries.length).toBeLessThanOrEqual(options.limit);
    for (const list of [page.objects.map(({ key }) => key), [...page.prefixes]]) expect(list).toEqual([...list].sort());
    if (startAfter !== undefined && entries[0] !== undefined) expect(entries[0] > startAfter).toBe(true);
    names.push(...entries);
    if (page.next === undefined) return names;
    expect(page.next >= (entries.at(-1) ?? ""), "the next page starts after this one").toBe(true);
    startAfter = page.next;
  }
}

async function everyKey(driver: StorageDriver, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listKeys(driver, prefix)) keys.push(key);
  return keys;
}
