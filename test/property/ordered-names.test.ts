/** Names page by page: each once, in lexical order, for few requests, whatever the names and whatever the store's pages. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listOrdered } from "../../shared/registry/ordered-names.ts";
import type { ListOptions, StorageDriver } from "../../shared/storage/driver.ts";
import { createTestApp } from "../support/app.ts";
import { pushImage, putManifest } from "../support/manifests.ts";
import { STORES, type TestStore } from "../support/stores.ts";

const PREFIX = "tags/";
const name = fc.stringMatching(/^[a0][a0.-]{0,4}$/);
const text = fc.oneof(name, fc.stringMatching(/^[a0. é~!/-]{1,5}$/));

/** The store with pages of at most `size` entries, and what was asked of it. */
function counted(driver: StorageDriver, size: number) {
  const listings: string[] = [];
  return {
    listings,
    list: async (prefix: string, options: ListOptions = {}) => {
      listings.push(prefix);
      return await driver.list(prefix, { ...options, limit: Math.min(options.limit ?? size, size) });
    },
  };
}

describe.each(STORES)("%s", (kind, makeStore, { fullPages }) => {
  let store: TestStore;
  beforeEach(async () => {
    store = await makeStore();
  });
  afterEach(async () => await store.close());

  const fill = async (names: readonly string[]): Promise<void> => {
    const keys: string[] = [];
    for (let next: string | undefined = ""; next !== undefined;) {
      const page: Awaited<ReturnType<StorageDriver["list"]>> = await store.driver.list("", { startAfter: next });
      keys.push(...page.objects.map(({ key }) => key));
      next = page.next;
    }
    await store.driver.deleteMany(keys);
    await Promise.all(names.map(async (each) => await store.driver.put(`${PREFIX}${each}/current/link`, Buffer.of())));
  };
  const runs = { numRuns: kind === "memory" ? 3000 : 150 };

  it("pages that the store can hold are the model's, for one LIST and one lookup for each name that may be late", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { maxLength: 25 }),
        fc.integer({ min: 1, max: 8 }),
        fc.option(text),
        async (names, limit, last) => {
          await fill(names);
          const driver = counted(store.driver, 1000);
          const page = await listOrdered(driver, PREFIX, { limit, ...(last === null ? {} : { last }) });
          const rest = names.filter((each) => last === null || each > last).sort();
          expect(page).toEqual({ names: rest.slice(0, limit), more: rest.length > limit });
          expect(driver.listings.filter((prefix) => prefix === PREFIX)).toHaveLength(1);
          expect(driver.listings.length - 1).toBeLessThanOrEqual(4); // names have at most four separators
        },
      ),
      runs,
    );
  });

  it("following the pages visits each name once, whatever the store's pages hold", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { maxLength: 25 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 5 }),
        fc.option(text),
        async (names, limit, size, after) => {
          await fill(names);
          const driver = counted(store.driver, size);
          const found: string[] = [];
          let last = after ?? undefined;
          for (;;) {
            driver.listings.length = 0;
            const page = await listOrdered(driver, PREFIX, { limit, ...(last === undefined ? {} : { last }) });
            expect(page.names.length).toBeLessThanOrEqual(limit);
            found.push(...page.names);
            expect(found.length).toBeLessThanOrEqual(names.length);
            // One for every `size` entries, and those it takes to get beyond `last` and the names that are late for it.
            const listed = driver.listings.filter((prefix) => prefix === PREFIX).length;
            expect(listed).toBeLessThanOrEqual(Math.ceil(Math.max(limit, 7) / size));
            if (!page.more) break;
            expect(page.names).not.toEqual([]);
            last = page.names.at(-1);
          }
          expect(found).toEqual(names.filter((each) => after === null || each > after).sort());
        },
      ),
      runs,
    );
  });

  it("1,000 of thousands of tags cost one LIST, before and after any name", async () => {
    const names = Array.from(
      { length: 1500 },
      (_, i) => `1.${Math.floor(i / 50)}.${i % 50}${i % 3 === 0 ? "-rc" : ""}`,
    );
    names.push("1", "1.7", "1.7.1-rc.2");
    await fill(names);
    for (const last of [undefined, "1", "1.10.0-rc", "1.7", "1.7.1-rc.2", "nothing"]) {
      const driver = counted(store.driver, 1000);
      const page = await listOrdered(driver, PREFIX, { limit: 1000, ...(last === undefined ? {} : { last }) });
      const rest = names.filter((each) => last === undefined || each > last).sort();
      expect(page.names).toEqual(rest.slice(0, page.names.length));
      expect(page.names.length).toBeGreaterThanOrEqual(Math.min(rest.length, 996));
      expect(page.more).toBe(page.names.length < rest.length);
      const pages = driver.listings.filter((prefix) => prefix === PREFIX).length;
      expect(pages).toBeLessThanOrEqual(fullPages ? 1 : 2);
      expect(driver.listings.length - pages).toBeLessThanOrEqual(3);
    }
  });

  it("the Link headers lead to every tag once, and the folder is read once for each page", async () => {
    const reads: string[] = [];
    const { send } = createTestApp({
      ...bound(store.driver),
      list: async (prefix, options) => {
        if (prefix.endsWith("/_manifests/tags/")) reads.push(prefix);
        return await store.driver.list(prefix, options);
      },
    });
    const tags = ["a", "a-", "a-.", "a.", "a.b", "a.b-c", "a.b-c.d", "a0", "0", "0-", "0-a", "0.a", "b"].sort();
    const image = await pushImage(send, "r", "a");
    await putManifest(send, "r", `${image.digest}?${tags.map((tag) => `tag=${tag}`).join("&")}`, image);
    for (let n = 1; n <= tags.length + 1; n++) {
      reads.length = 0;
      const pages: string[][] = [];
      for (let path: string | undefined = `/v2/r/tags/list?n=${n}`; path !== undefined;) {
        const reply = await send("GET", path);
        pages.push((reply.json() as { tags: string[] }).tags);
        path = /^<([^>]+)>; rel="next"$/.exec(reply.header("link") ?? "")?.[1];
      }
      const wanted = Array.from({ length: Math.ceil(tags.length / n) }, (_, i) => tags.slice(i * n, (i + 1) * n));
      expect(pages).toEqual(wanted);
      expect(reads).toHaveLength(wanted.length);
    }
  });
});

/** A driver as a plain object: what a test wants to watch can be put in another's place. */
function bound(driver: StorageDriver): StorageDriver {
  return {
    name: driver.name,
    head: async (key) => await driver.head(key),
    read: async (key, limit) => await driver.read(key, limit),
    look: async (key, limit) => await driver.look(key, limit),
    get: async (key, range) => await driver.get(key, range),
    put: async (key, bytes, condition) => await driver.put(key, bytes, condition),
    delete: async (key) => await driver.delete(key),
    deleteMany: async (keys) => await driver.deleteMany(keys),
    list: async (prefix, options) => await driver.list(prefix, options),
    drafts: driver.drafts,
    fenced: driver.fenced,
  };
}
