/** Listings over buckets: each name once, in lexical order, for the requests that they may cost. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listOrdered } from "../../shared/registry/ordered-names.ts";
import type { ListOptions, StorageDriver } from "../../shared/storage/driver.ts";
import { createTestApp } from "../support/app.ts";
import { withFaults } from "../support/faults.ts";
import { indexOf, putManifest } from "../support/manifests.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { s3Store } from "../support/s3-stores.ts";
import type { TestStore } from "../support/stores.ts";

describe.each([
  ["", ""],
  ["below a root", "some/root/"],
])("versitygw %s", (_, root) => {
  let store: TestStore;
  beforeEach(async () => {
    store = await s3Store(sharedVersitygw, { root })();
  });
  afterEach(async () => await store.close());

  it("pages of names are the model's, whatever the pages of the store", async () => {
    const names = ["0", "a", "a-", "a-.", "a-b", "a-b.c", "a.", "a.b", "a.b-c", "a.b-c.d", "a0", "aa", "b"].sort();
    await Promise.all(names.map(async (name) => await store.driver.put(`tags/${name}/x/link`, Buffer.of())));
    for (const size of [2, 3, 1000]) {
      const small = {
        list: async (prefix: string, options: ListOptions = {}) =>
          await store.driver.list(prefix, { ...options, limit: Math.min(options.limit ?? size, size) }),
      };
      for (const limit of [1, 2, 5, names.length]) {
        for (const after of [undefined, "", "a", "a-b", "a-b/", "a/b", "a.b-c", "é", "a "]) {
          const found: string[] = [];
          for (let last = after; ;) {
            const page = await listOrdered(small, "tags/", { limit, ...(last === undefined ? {} : { last }) });
            found.push(...page.names);
            expect(found.length).toBeLessThanOrEqual(names.length);
            if (!page.more) break;
            last = page.names.at(-1);
          }
          expect(found, JSON.stringify({ size, limit, after })).toEqual(
            names.filter((name) => after === undefined || name > after),
          );
        }
      }
    }
  });

  it("a page of tags and a page of the catalog cost one LIST", async () => {
    const listings: string[] = [];
    const watched: StorageDriver = withFaults(store.driver, ({ operation, key }) => {
      if (operation === "list") listings.push(key);
      return "pass";
    });
    const { send } = createTestApp(watched, { registry: { catalog: "index" } });
    const empty = indexOf([]);
    const names = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b/c", "a0", "b"];
    const tags = Array.from({ length: 30 }, (__, i) => `v1.${i}`).sort();
    for (const name of names) {
      const query = name === "a/b" ? `?${tags.map((tag) => `tag=${tag}`).join("&")}` : "";
      expect((await putManifest(send, name, empty.digest + query, empty)).status).toBe(201);
    }
    const get = async (path: string): Promise<unknown> => (await send("GET", path)).json();
    expect(await get("/v2/_catalog")).toEqual({ repositories: names });

    listings.length = 0;
    expect(await get("/v2/_catalog?n=3&last=a-b")).toEqual({ repositories: names.slice(2, 5) });
    expect(listings).toHaveLength(1);
    listings.length = 0;
    expect(await get("/v2/a/b/tags/list?n=10&last=v1.10")).toEqual({ name: "a/b", tags: tags.slice(3, 13) });
    expect(listings).toHaveLength(1);
    expect(await get("/v2/a/b/tags/list")).toEqual({ name: "a/b", tags });
  });
});
