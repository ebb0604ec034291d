/** What every storage driver promises of deletes with a permit: the doc comment of `FencedDeletes`, one test each. */
import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listKeys, type Permit, type StorageDriver, type Trash } from "../../shared/storage/driver.ts";
import type { StoreFactory, TestStore } from "../support/stores.ts";

/** What not every store can do. */
export interface FenceAbilities {
  /** A permit can be revoked before its lifetime is over. */
  readonly revokes: boolean;
  /** What was deleted is kept. */
  readonly trash: boolean;
}

/** The part of the contract that is about deletes with a permit. */
export function fencedDeleteContract(
  name: string,
  makeStore: StoreFactory,
  { revokes, trash: keeps }: FenceAbilities,
): void {
  describe(`${name}: deletes with a permit`, () => {
    let store: TestStore;
    let driver: StorageDriver;
    beforeEach(async () => {
      store = await makeStore();
      driver = store.driver;
    });
    afterEach(async () => await store.close());

    const put = async (key: string, text = key): Promise<Date> => (await driver.put(key, Buffer.from(text))).asOf;
    const keys = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const { key } of listKeys(driver, "")) found.push(key);
      return found;
    };
    const newId = (run = "run"): string => `${run}/${randomUUID()}`;
    const open = async (id = newId()): Promise<Permit> => {
      await driver.fenced.open(id);
      return { id, since: await put("clock") };
    };
    const aged = ({ id, since }: Permit, ms: number): Permit => ({ id, since: new Date(since.getTime() - ms) });

    it("are kept by the store, which says so and keeps nothing of the asking", async () => {
      expect(await driver.fenced.isKept()).toBe(true);
      expect(await keys()).toEqual([]);
      expect(await store.residue()).toEqual([]);
    });

    it("delete in time, present keys and missing ones, and nothing else", async () => {
      for (const key of ["a/b/c", "a/b/d", "a/bb", "e", "a/b/c2"]) await put(key);
      const permit = await open();
      const gone = ["a/b/c", "e", "missing", "a/b/missing", "a/b"];
      expect(await driver.fenced.delete(gone.map((key) => ({ key, permit })))).toEqual([]);
      expect(await keys()).toEqual(["a/b/c2", "a/b/d", "a/bb", "clock"]);
      expect(await driver.fenced.delete([{ key: "a/b/c", permit }])).toEqual([]);
      expect(await driver.fenced.delete([])).toEqual([]);
    });

    it("delete until the lifetime is nearly over", async () => {
      await put("a");
      const permit = aged(await open(), driver.fenced.lifetimeMs - 30_000);
      expect(await driver.fenced.delete([{ key: "a", permit }])).toEqual([]);
      expect(await keys()).toEqual(["clock"]);
    });

    it.each([1, 60, 24 * 3600])("are refused %i s after the lifetime", async (seconds) => {
      await put("a");
      await put("b");
      const permit = aged(await open(), driver.fenced.lifetimeMs + seconds * 1000);
      const refused = await driver.fenced.delete(["a", "b"].map((key) => ({ key, permit })));
      expect([...refused].sort()).toEqual(["a", "b"]);
      expect(await keys()).toEqual(["a", "b", "clock"]);
    });

    it("of many keys and permits at once delete what each permits", async () => {
      const all = Array.from({ length: 1100 }, (_, i) => `k/${i}`);
      await Promise.all(["k/0", "k/999", "k/1000", "k/1099", "stays"].map(async (key) => await put(key)));
      const [one, two] = [await open(), await open()];
      const items = all.map((key, i) => ({ key, permit: i % 2 === 0 ? one : two }));
      expect(await driver.fenced.delete(items)).toEqual([]);
      expect(await keys()).toEqual(["clock", "stays"]);
    });

    it("are of keys, with ids that are none else", async () => {
      const permit = await open();
      await expect(driver.fenced.delete([{ key: "../a", permit }])).rejects.toThrow(TypeError);
    });

    it("may be of the longest keys", async () => {
      const name = "n".repeat(200);
      const long = [1, 2, 3].map((i) => `${[name, name, name, name].join("/")}/${i}`);
      for (const key of long) await put(key);
      const permit = await open();
      expect(await driver.fenced.delete(long.slice(1).map((key) => ({ key, permit })))).toEqual([]);
      expect(await keys()).toEqual(["clock", long[0]]);
    });

    it("a permit that was never opened, or is over, can be revoked", async () => {
      await driver.fenced.revoke(newId());
      const { id } = await open();
      await driver.fenced.revoke(id);
      await driver.fenced.revoke(id);
      await driver.fenced.revokeExpired();
    });

    it("of a permit that is young go on when those that expired are revoked", async () => {
      await put("a");
      const permit = await open();
      await driver.fenced.revokeExpired();
      expect(await driver.fenced.delete([{ key: "a", permit }])).toEqual([]);
      expect(await keys()).toEqual(["clock"]);
    });

    // What a store does not have is no test of it: CI takes a test that is skipped for a fault.
    if (revokes)
      describe("revoked", () => {
        it("do nothing and say so, whoever revoked the permit, and others go on", async () => {
          for (const key of ["a", "b", "c"]) await put(key);
          const [permit, other] = [await open(), await open()];
          expect(await driver.fenced.delete([{ key: "a", permit }])).toEqual([]);
          await store.peer().fenced.revoke(permit.id);
          expect(await driver.fenced.delete([{ key: "b", permit }])).toEqual(["b"]);
          expect(await driver.fenced.delete([{ key: "c", permit: other }])).toEqual([]);
          expect(await keys()).toEqual(["b", "clock"]);
        });

        it("while many are under way: what was answered as deleted is gone, all else is there for good", async () => {
          const all = Array.from({ length: 60 }, (_, i) => `k/${i}`);
          await Promise.all(all.map(async (key) => await put(key)));
          const permit = await open();
          const deletions = all.map(async (key) => await driver.fenced.delete([{ key, permit }]));
          await deletions[0];
          await store.peer().fenced.revoke(permit.id);
          const there = await keys();
          const refused = (await Promise.all(deletions)).flat();
          expect(there.filter((key) => key !== "clock").sort()).toEqual([...refused].sort());
          expect(await keys()).toEqual(there);
        });
      });

    it(`are ${keeps ? "" : "not "}kept in a trash`, async () => {
      expect((await driver.fenced.trash?.keeps()) ?? false).toBe(keeps);
    });

    if (keeps) {
      it("are brought back by all who do it at once, also while the permit is ended", async () => {
        const all = Array.from({ length: 100 }, (_, i) => `k/${i}`);
        await Promise.all(all.map(async (key) => await put(key)));
        const permits = await Promise.all(all.map(async (_, i) => await open(newId(`${i}`))));
        await driver.fenced.delete(all.map((key, i) => ({ key, permit: permits[i] as Permit })));
        const items = all.map((key, i) => ({ key, id: permits[i]?.id ?? "" }));
        const peer = store.peer();
        const restoring = Array.from({ length: 6 }, async (_, i) => {
          return await (i % 2 === 0 ? driver : peer).fenced.trash?.restore(i < 3 ? items : items.toReversed());
        });
        const revoking = permits.map(async ({ id }) => await peer.fenced.revoke(id));
        expect((await Promise.all(restoring)).flat()).toEqual([]);
        await Promise.all(revoking);
        expect(await keys()).toEqual(["clock", ...all].sort());
      });

      it("are brought back from the trash", async () => {
        const trash = driver.fenced.trash as Trash;
        const long = `${"n".repeat(190)}/${"m".repeat(190)}/x`;
        for (const key of ["a/b", "again", "c", "empty", long]) await put(key, `bytes of ${key}`);
        const [one, two, three] = [await open(newId("1")), await open(newId("1")), await open(newId("2"))];
        await driver.fenced.delete(["a/b", "again", long].map((key) => ({ key, permit: one })));
        await driver.fenced.delete([{ key: "c", permit: two }]);
        await driver.fenced.delete([{ key: "empty", permit: three }]);
        await driver.fenced.revoke(one.id); // the other is not: the run died
        await put("again", "anew");
        expect(await trash.runs()).toEqual(["1", "2"]);

        const items = ["a/b", "again", long, "never"].map((key) => ({ key, id: one.id }));
        expect(await trash.restore([...items, { key: "c", id: two.id }])).toEqual(["never"]);
        const back = ["a/b", "again", "c", "clock", long].sort();
        expect(await keys()).toEqual(back);
        for (const key of ["a/b", "c", long]) {
          const { object, asOf } = await driver.look(key, 1000);
          expect(Buffer.from(object?.bytes ?? []).toString()).toBe(`bytes of ${key}`);
          expect(asOf.getTime() - (object?.lastModified.getTime() ?? 0)).toBeLessThan(10_000);
        }
        expect(Buffer.from((await driver.read("again", 100)) ?? []).toString()).toBe("anew");

        await trash.empty("1");
        await trash.empty("2");
        expect(await trash.runs()).toEqual([]);
        expect(await trash.restore([{ key: "empty", id: three.id }])).toEqual(["empty"]);
        expect(await keys()).toEqual(back);
        expect((await store.residue()).filter((name) => name.startsWith(".lading/"))).toEqual([]);
      });
    }
  });
}
