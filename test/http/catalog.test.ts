/** The catalog's index: what it costs, what it holds after pushes and refreshes, and that none of their orders loses a name. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { limits } from "../../shared/oci/limits.ts";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { CatalogIndex } from "../../shared/registry/catalog-index.ts";
import { Registry } from "../../shared/registry/registry.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type TestApp } from "../support/app.ts";
import { dyingAt, failingAt, withFaults, type PlannedCall } from "../support/faults.ts";
import { faultsOf } from "../support/invariants.ts";
import { indexOf, pushImage, putManifest } from "../support/manifests.ts";
import { everySchedule } from "../support/schedules.ts";

const ROOT = "docker/registry/v2/";
const entry = (name: string): string => `${ROOT}_catalog/repositories/${name}!`;
const HOUR = 3_600_000;
/** Needs nothing to be pushed before it. */
const empty = indexOf([]);

let driver: MemoryDriver;
let calls: PlannedCall[];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: new Date("2026-01-01T00:00:00Z") });
  driver = new MemoryDriver();
  calls = [];
});
afterEach(() => void vi.useRealTimers());

const process = (on: StorageDriver = driver): TestApp =>
  createTestApp(
    withFaults(on, (call) => {
      calls.push(call);
      return "pass";
    }),
    { registry: { catalog: "index" } },
  );
const push = async ({ send }: TestApp, name: string): Promise<number> =>
  (await putManifest(send, name, empty.digest, empty)).status;
const remove = async ({ send }: TestApp, name: string): Promise<void> => {
  expect((await send("DELETE", `/v2/${name}/manifests/${empty.digest}`)).status).toBe(202);
};
const catalog = async ({ send }: TestApp, query = ""): Promise<string[]> =>
  ((await send("GET", `/v2/_catalog${query}`)).json() as { repositories: string[] }).repositories;
const pass = (ms: number): void => void vi.setSystemTime(Date.now() + ms);
/** Calls since the last time, as words. */
const taken = (): string[] => calls.splice(0).map(({ operation, key }) => `${operation} ${key.replace(ROOT, "")}`);

describe("a page of the catalog", () => {
  it("of a thousand of 10,000 repositories costs one LIST", async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `team-${i % 7}/app${i % 3 === 0 ? "-x" : ""}/n${i}`).sort();
    for (const name of names) await driver.put(entry(name), Buffer.of());
    await driver.put(`${ROOT}_catalog/complete`, Buffer.of());
    const app = process();
    expect(await catalog(app, "?n=1000")).toEqual(names.slice(0, 1000));
    expect(taken()).toEqual(["head _catalog/complete", "list _catalog/repositories/"]);
    for (const from of [1000, 5000, 9000, 9500]) {
      expect(await catalog(app, `?n=1000&last=${names[from - 1]}`)).toEqual(names.slice(from, from + 1000));
      expect(taken()).toEqual(["list _catalog/repositories/"]);
    }
  });

  it("begins after anything that a client may send", async () => {
    const app = process();
    for (const name of ["a", "a-b", "a/b", "b"]) await push(app, name);
    const wanted: [last: string, names: string[]][] = [
      ["!", ["a", "a-b", "a/b", "b"]],
      [" ", ["a", "a-b", "a/b", "b"]],
      ["a ", ["a-b", "a/b", "b"]],
      ["a!", ["a-b", "a/b", "b"]],
      ["a\u0000b", ["a-b", "a/b", "b"]],
      ["a-b!", ["a/b", "b"]],
      ["a~", ["b"]],
      ["aé", ["b"]],
      ["é", []],
      [`a${"-b".repeat(300)}`, ["a/b", "b"]],
    ];
    for (const [last, names] of wanted) {
      expect(await catalog(app, `?last=${encodeURIComponent(last)}`), last).toEqual(names);
    }
  });
});

describe("the index", () => {
  it("is made by the first listing, once, of what lies there", async () => {
    const other = createTestApp(driver);
    for (const name of ["a", "a/b", "a-b", "c/d/e"]) await pushImage(other.send, name, "v1");
    const app = process();
    expect(await catalog(app, "?n=3")).toEqual(["a", "a-b", "a/b"]);
    taken();
    expect(await catalog(app, "?last=a")).toEqual(["a-b", "a/b", "c/d/e"]);
    expect(taken()).toEqual(["list _catalog/repositories/"]);
    expect(await catalog(process())).toEqual(["a", "a-b", "a/b", "c/d/e"]);
    expect(taken()).toEqual(["head _catalog/complete", "list _catalog/repositories/"]);
    expect(await faultsOf(driver)).toEqual([]);
  });

  it("is made once for all who ask one process, and by several processes at once without harm", async () => {
    for (const name of ["a", "b"]) await push(createTestApp(driver), name);
    const one = process();
    await Promise.all(Array.from({ length: 5 }, async () => expect(await catalog(one)).toEqual(["a", "b"])));
    expect(taken().filter((call) => call === "put _catalog/complete")).toHaveLength(1);
    await driver.delete(`${ROOT}_catalog/complete`);
    await Promise.all(Array.from({ length: 5 }, async () => expect(await catalog(process())).toEqual(["a", "b"])));
  });

  it("is made again where making it ended halfway", async () => {
    for (const name of ["a", "b", "c"]) await push(createTestApp(driver), name);
    for (let k = 1; ; k++) {
      const copy = new MemoryDriver();
      for (const name of ["a", "b", "c"]) await push(createTestApp(copy), name);
      const dying = dyingAt(copy, k, "before");
      const reply = await createTestApp(dying.driver, { registry: { catalog: "index" } }).send("GET", "/v2/_catalog");
      expect(await catalog(process(copy)), dying.calls.at(-1)).toEqual(["a", "b", "c"]);
      if (reply.status === 200) break;
      expect(k).toBeLessThan(50);
    }
  });

  it("gets an entry with the first push, before the answer, and costs later ones nothing", async () => {
    const app = process();
    await catalog(app);
    expect(await push(app, "a/b")).toBe(201);
    expect(await driver.head(entry("a/b"))).toMatchObject({ size: 0 });
    expect(await catalog(process())).toEqual(["a/b"]);
    taken();
    expect((await putManifest(app.send, "a/b", "v1", empty)).status).toBe(201);
    expect(taken().filter((call) => call.includes("_catalog"))).toEqual([]);
    pass(limits.cataloguedMs);
    await push(app, "a/b");
    expect(taken().filter((call) => call.includes("_catalog"))).toEqual(["put _catalog/repositories/a/b!"]);
  });

  it("has the entry of every push that was answered, whatever failed, and none of blobs alone", async () => {
    for (const [kind, faultAt] of Object.entries({ dyingAt, failingAt })) {
      for (const when of ["before", "after"] as const) {
        for (let k = 1; ; k++) {
          const store = new MemoryDriver();
          const faulty = faultAt(store, k, when);
          const app = createTestApp(faulty.driver, { registry: { catalog: "index" } });
          const status = (await putManifest(app.send, "r", "v1", empty)).status;
          if (status !== 201) {
            const retry = kind === "dyingAt" ? process(store) : app;
            expect((await putManifest(retry.send, "r", "v1", empty)).status).toBe(201);
          }
          expect(await store.head(entry("r")), `${kind} ${when} ${k}`).toBeDefined();
          expect(await faultsOf(store)).toEqual([]);
          if (faulty.calls.length < k) break;
          expect(k).toBeLessThan(50);
        }
      }
    }
    const { send } = process();
    await send("POST", "/v2/only/uploads/blobs/uploads/");
    expect(await catalog(process())).toEqual([]);
  });
});

describe("a push that failed", () => {
  it("has ended when it is answered: nothing that it still writes can undo the next", async () => {
    let answered = false;
    const late: string[] = [];
    const faulty = withFaults(driver, async ({ operation, key }) => {
      if (operation !== "put") return "pass";
      if (key === entry("r")) return "before";
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      if (answered) late.push(key);
      return "pass";
    });
    const { send } = createTestApp(faulty, { registry: { catalog: "index" } });
    expect((await putManifest(send, "r", `${empty.digest}?tag=a&tag=b`, empty)).status).toBe(500);
    answered = true;
    await new Promise((resolve) => setImmediate(resolve));
    expect(late).toEqual([]);
  });
});

describe("a refresh", () => {
  it("adds what other registries made, and removes what is gone when nobody can remember it", async () => {
    const app = process();
    for (const name of ["kept", "gone"]) await push(app, name);
    expect(await catalog(app)).toEqual(["gone", "kept"]);
    await remove(app, "gone");
    await push(createTestApp(driver), "other");
    expect(await catalog(app)).toEqual(["gone", "kept"]);
    expect(await app.registry.refreshCatalog({ ageMs: 0 })).toEqual({ added: 1, removed: 0 });
    expect(await catalog(app)).toEqual(["gone", "kept", "other"]);
    pass(2 * limits.cataloguedMs);
    expect(await app.registry.refreshCatalog({ ageMs: 0 })).toEqual({ added: 0, removed: 1 });
    expect(await catalog(app)).toEqual(["kept", "other"]);
    expect(await app.registry.refreshCatalog({ ageMs: 0 })).toEqual({ added: 0, removed: 0 });
  });

  it("is left out where the last one is young enough", async () => {
    const [one, two] = [process(), process()];
    expect(await one.registry.refreshCatalog({ ageMs: HOUR })).toEqual({ added: 0, removed: 0 });
    await push(createTestApp(driver), "other");
    pass(HOUR - 1);
    expect(await two.registry.refreshCatalog({ ageMs: HOUR })).toBeUndefined();
    pass(1);
    expect(await two.registry.refreshCatalog({ ageMs: HOUR })).toEqual({ added: 1, removed: 0 });
  });

  it("of a registry that walks does nothing", async () => {
    const { registry } = createTestApp(driver);
    expect(await registry.refreshCatalog({ ageMs: 0 })).toBeUndefined();
    expect((await driver.list("")).objects).toEqual([]);
  });

  it("never takes an entry away that a process counts on", async () => {
    // At any time after its first push, and whenever it pushes again: the repository is listed.
    const step = limits.cataloguedMs / 4;
    for (let refreshed = 0; refreshed <= 12; refreshed++) {
      for (let again = refreshed; again <= 13; again++) {
        driver = new MemoryDriver();
        const [app, refresher] = [process(), process()];
        await push(app, "r");
        await remove(app, "r");
        pass(refreshed * step);
        await refresher.registry.refreshCatalog({ ageMs: 0 });
        pass((again - refreshed) * step);
        await push(app, "r");
        expect(await catalog(process()), `refreshed after ${refreshed}, pushed after ${again}`).toEqual(["r"]);
      }
    }
  });

  describe("beside pushes, in every order of their requests", () => {
    const name = parseRepositoryName("r");
    const policy = { allowSparse: true, allowSparseIndexes: true, urlAllowed: () => true };
    /** An entry of a repository that is gone, so old that it may be removed. */
    const stale = async (): Promise<MemoryDriver> => {
      const store = new MemoryDriver();
      await store.put(entry("r"), Buffer.of());
      pass(3 * limits.cataloguedMs);
      return store;
    };
    const now = (): Date => new Date(Date.now() + 3 * limits.cataloguedMs); // so that every entry is old: the worst case
    const refresh = async (on: StorageDriver): Promise<void> => {
      await new CatalogIndex(on, now).refresh({ ageMs: 0 });
    };
    const pushTo = async (on: StorageDriver): Promise<void> => {
      const registry = new Registry({ driver: on, policy, now: () => new Date(), catalog: "index" });
      await registry
        .repository(name)
        .manifests.put({ kind: "digest", digest: empty.digest }, [], empty.bytes, empty.mediaType);
    };
    const listed = async (store: MemoryDriver, order: readonly string[]): Promise<void> => {
      expect(await store.head(entry("r")), order.join("\n")).toBeDefined();
    };

    it("a push and a refresh", async () => {
      const trials = await everySchedule(async () => {
        const store = await stale();
        const check = async (order: readonly string[]): Promise<void> => {
          await listed(store, order);
          // It is not even missing for a moment where the push came first.
          const at = (start: string, end: string): number =>
            order.findIndex((call) => call.startsWith(start) && call.endsWith(end));
          if (at("0: put", "/link") < at("1: head", entry("r"))) expect(at("1: delete", ""), order.join("\n")).toBe(-1);
        };
        return { driver: store, processes: [pushTo, refresh], check };
      });
      expect(trials).toBeGreaterThan(100);
    });

    it("a push and two refreshes that both began before it", async () => {
      const trials = await everySchedule(
        async () => {
          const store = await stale();
          return {
            driver: store,
            processes: [pushTo, refresh, refresh],
            check: async (order) => await listed(store, order),
          };
        },
        // What decides: the link below _manifests/ and the entry.
        ({ key, operation }) => key.includes("/r/_manifests/") || (key === entry("r") && operation !== "list"),
      );
      expect(trials).toBeGreaterThan(1000);
    });

    it("two first pushes and a refresh", async () => {
      const trials = await everySchedule(
        async () => {
          const store = await stale();
          return {
            driver: store,
            processes: [pushTo, pushTo, refresh],
            check: async (order) => await listed(store, order),
          };
        },
        ({ key, operation }) => key.includes("/r/_manifests/") || (key === entry("r") && operation !== "list"),
      );
      expect(trials).toBeGreaterThan(100);
    });
  });
});
