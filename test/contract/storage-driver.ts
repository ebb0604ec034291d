/** What every storage driver promises: the doc comments of `shared/storage/driver.ts`, one test each. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  listChildren,
  ObjectTooLargeError,
  PreconditionFailedError,
  type PutCondition,
  type StorageDriver,
} from "../../shared/storage/driver.ts";
import { bytesOfBody, pattern } from "../support/bodies.ts";
import { everyKey } from "../support/invariants.ts";
import type { StoreFactory, TestStore } from "../support/stores.ts";

/** The part of the contract that is about objects. */
export function objectContract(name: string, makeStore: StoreFactory): void {
  describe(`${name}: objects`, () => {
    let store: TestStore;
    let driver: StorageDriver;
    beforeEach(async () => {
      store = await makeStore();
      driver = store.driver;
    });
    afterEach(async () => await store.close());

    const put = async (key: string, text = "x", condition?: PutCondition): Promise<string> =>
      (await driver.put(key, Buffer.from(text), condition)).etag;
    const text = async (key: string): Promise<string | undefined> => {
      const bytes = await driver.read(key, 1000);
      return bytes === undefined ? undefined : Buffer.from(bytes).toString();
    };

    describe("absence is an answer", () => {
      const cases: [what: string, key: string][] = [
        ["an empty store", "a"],
        ["below a folder that is not there", "p/q/r"],
        ["a sibling of an object", "present/b"],
        ["a prefix of an object's key", "present"],
        ["a key that begins like an object's", "present/aa"],
        ["a key below an object", "present/a/below"],
      ];
      it.each(cases)("undefined for %s", async (_, key) => {
        if (key.startsWith("present")) await put("present/a");
        expect(await driver.head(key)).toBeUndefined();
        expect(await driver.read(key, 10)).toBeUndefined();
        expect(await driver.look(key, 10)).toEqual({ asOf: expect.any(Date) as unknown });
        expect(await driver.get(key)).toBeUndefined();
        expect(await driver.get(key, { start: 0, end: 0 })).toBeUndefined();
      });

      it("an empty object is not an absent one", async () => {
        await put("empty", "");
        expect((await driver.head("empty"))?.size).toBe(0);
        expect((await driver.read("empty", 0))?.byteLength).toBe(0);
        expect((await bytesOfBody((await driver.get("empty")) as never)).byteLength).toBe(0);
      });
    });

    describe("read", () => {
      it.each([
        [0, 0],
        [1, 1],
        [99, 100],
        [100, 100],
        [16 * 1024 - 1, 16 * 1024],
        [16 * 1024, 16 * 1024],
        [16 * 1024 + 1, 16 * 1024 + 1],
        [3_000_000, 4_000_000],
      ])("%i bytes within a limit of %i", async (size, limit) => {
        const bytes = pattern(size);
        await driver.put("k", bytes);
        expect(Buffer.from((await driver.read("k", limit)) as Uint8Array).equals(bytes)).toBe(true);
        const { asOf, object } = await driver.look("k", limit);
        expect(Buffer.from(object?.bytes ?? []).equals(bytes)).toBe(true);
        const info = await driver.head("k");
        expect(object).toMatchObject({ size, etag: info?.etag, lastModified: info?.lastModified, asOf });
      });

      it.each([
        [1, 0],
        [101, 100],
        [16 * 1024, 16 * 1024 - 1],
        [16 * 1024 + 1, 16 * 1024],
        [5_000_000, 4_000_000],
      ])("%i bytes beyond a limit of %i", async (size, limit) => {
        await driver.put("k", pattern(size));
        await expect(driver.read("k", limit)).rejects.toThrow(ObjectTooLargeError);
        await expect(driver.look("k", limit)).rejects.toThrow(ObjectTooLargeError);
      });
    });

    describe("get", () => {
      const small = pattern(1000);
      const large = pattern(300_000);
      const ranges: [start: number, end: number][] = [
        [0, 0],
        [0, 998],
        [0, 999],
        [0, 1000],
        [999, 999],
        [999, 5000],
        [1000, 1000],
        [1001, 2000],
        [500, 499 + 1],
        [0, 299_999],
        [0, 400_000],
        [1, 299_998],
        [65_535, 65_536],
        [0, 64 * 1024 - 1],
        [0, 64 * 1024],
        [299_999, 300_000],
        [300_000, 300_001],
      ];
      it.each(ranges)("bytes %i to %i are those of the model", async (start, end) => {
        await driver.put("small", small);
        await driver.put("large", large);
        for (const [key, bytes] of [
          ["small", small],
          ["large", large],
        ] as const) {
          const object = await driver.get(key, { start, end });
          expect(object?.size).toBe(bytes.byteLength); // of the whole object, whatever the range
          expect(
            (await bytesOfBody(object as never)).equals(bytes.subarray(start, end + 1)),
            `${key} ${start}-${end}`,
          ).toBe(true);
        }
      });

      it("the whole, and what head says of it", async () => {
        const { etag } = await driver.put("large", large);
        const object = await driver.get("large");
        expect((await bytesOfBody(object as never)).equals(large)).toBe(true);
        const info = await driver.head("large");
        expect(info).toMatchObject({ size: large.byteLength, etag });
        expect(object).toMatchObject({ size: large.byteLength, etag });
        expect(Math.abs(Date.now() - (info?.lastModified.getTime() ?? 0))).toBeLessThan(60_000);
      });

      it("a body that is not wanted can be cancelled", async () => {
        await driver.put("large", large);
        for (let i = 0; i < 50; i++) {
          const object = await driver.get("large");
          if (object !== undefined && !(object.body instanceof Uint8Array)) await object.body.cancel();
        }
        expect((await bytesOfBody((await driver.get("large")) as never)).equals(large)).toBe(true);
      });

      it("a body goes on with the bytes that it began with while the object is replaced or deleted", async () => {
        for (const change of [
          async () => {
            await driver.put("large", pattern(300_000, "other"));
          },
          async () => await driver.delete("large"),
        ]) {
          await driver.put("large", large);
          const object = await driver.get("large");
          await change();
          expect((await bytesOfBody(object as never)).equals(large)).toBe(true);
        }
      });
    });

    describe("put", () => {
      it("replaces what is there", async () => {
        await put("k", "a longer first version");
        await put("k", "second");
        expect(await text("k")).toBe("second");
      });

      it("keeps what it was given, whatever becomes of the caller's buffer", async () => {
        const bytes = Buffer.from("before");
        await driver.put("k", bytes);
        bytes.write("AFTER!");
        expect(await text("k")).toBe("before");
      });

      it("gives another etag with every write of other bytes", async () => {
        const etags = new Set<string>();
        for (let i = 0; i < 200; i++) etags.add(await put("k", `as long, ${String(i).padStart(3)}`));
        expect(etags.size).toBe(200);
        expect((await driver.head("k"))?.etag).toBe([...etags].at(-1));
      });

      it("with ifNoneMatch writes only where nothing is", async () => {
        await put("k", "first", { ifNoneMatch: "*" });
        await expect(put("k", "second", { ifNoneMatch: "*" })).rejects.toThrow(PreconditionFailedError);
        expect(await text("k")).toBe("first");
        await driver.delete("k");
        await put("k", "third", { ifNoneMatch: "*" });
        expect(await text("k")).toBe("third");
      });

      it("with ifMatch writes only over that version", async () => {
        await expect(put("k", "none yet", { ifMatch: '"x"' })).rejects.toThrow(PreconditionFailedError);
        const first = await put("k", "first");
        const second = await put("k", "second", { ifMatch: first });
        await expect(put("k", "stale", { ifMatch: first })).rejects.toThrow(PreconditionFailedError);
        expect(await text("k")).toBe("second");
        await put("k", "third", { ifMatch: second });
        expect(await text("k")).toBe("third");
        await driver.delete("k");
        await expect(put("k", "gone", { ifMatch: second })).rejects.toThrow(PreconditionFailedError);
        expect(await text("k")).toBeUndefined();
      });

      it("takes the etag that head, get and put give, all the same", async () => {
        const fromPut = await put("k", "a");
        expect((await driver.head("k"))?.etag).toBe(fromPut);
        expect((await driver.get("k"))?.etag).toBe(fromPut);
        await put("k", "b", { ifMatch: (await driver.get("k"))?.etag ?? "" });
        await put("k", "c", { ifMatch: (await driver.head("k"))?.etag ?? "" });
        expect(await text("k")).toBe("c");
      });

      const N = 50;
      it.each(["ifNoneMatch", "ifMatch"] as const)(`of ${N} writers with %s exactly one wins`, async (kind) => {
        const peer = store.peer();
        for (let round = 0; round < 4; round++) {
          const key = `race/${round}`;
          const condition: PutCondition =
            kind === "ifNoneMatch" ? { ifNoneMatch: "*" } : { ifMatch: await put(key, "before") };
          const outcomes = await Promise.allSettled(
            Array.from(
              { length: N },
              async (_, i) => await (i % 2 === 0 ? driver : peer).put(key, Buffer.from(`writer ${i}`), condition),
            ),
          );
          const winners = outcomes.flatMap(({ status }, i) => (status === "fulfilled" ? [i] : []));
          expect(winners).toHaveLength(1);
          expect(await text(key)).toBe(`writer ${winners[0]}`);
          for (const outcome of outcomes) {
            if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(PreconditionFailedError);
          }
        }
      });

      it("loses no increment of a counter that many writers swap", async () => {
        await put("counter", "0");
        const peer = store.peer();
        const increment = async (view: StorageDriver): Promise<void> => {
          for (;;) {
            const object = await view.get("counter");
            if (object === undefined) throw new Error("the counter is gone");
            const value = Number((await bytesOfBody(object)).toString());
            try {
              await view.put("counter", Buffer.from(String(value + 1)), { ifMatch: object.etag });
              return;
            } catch (error) {
              if (!(error instanceof PreconditionFailedError)) throw error;
            }
          }
        };
        await Promise.all(Array.from({ length: 40 }, async (_, i) => await increment(i % 2 === 0 ? driver : peer)));
        expect(await text("counter")).toBe("40");
      });
    });

    it("every answer has a time of one clock, which does not run back", async () => {
      const times: Date[] = [];
      for (let round = 0; round < 3; round++) {
        const before = (await driver.look("none", 1)).asOf;
        const { asOf } = await driver.put("k", Buffer.from(`${round}`));
        const [info, object] = [await driver.head("k"), await driver.get("k")];
        const page = await driver.list("");
        const after = (await driver.look("k", 1)).asOf;
        const at = info?.lastModified ?? new Date(NaN);
        // To the second: where a driver's times are finer, a file's may lie behind the clock by the tick of a kernel.
        expect(at.getTime()).toBeGreaterThanOrEqual(before.getTime() - 1000);
        expect(at.getTime()).toBeLessThanOrEqual(asOf.getTime() + 1000);
        times.push(before, asOf, ...[info, object, page].map((answer) => answer?.asOf ?? new Date(NaN)), after);
      }
      expect(times.map((time) => time.getTime())).toEqual(times.map((time) => time.getTime()).sort((a, b) => a - b));
    });

    it("a listing says the etags that head says", async () => {
      for (const key of ["a/1", "a/2", "b"]) await put(key, key);
      const listed = (await driver.list("")).objects;
      expect(listed.map(({ key }) => key)).toEqual(["a/1", "a/2", "b"]);
      for (const { key, etag, size, lastModified } of listed) {
        expect(await driver.head(key)).toMatchObject({ etag, size, lastModified });
      }
    });

    describe("delete", () => {
      it("is idempotent, and of an absent key is no fault", async () => {
        await driver.delete("never/was");
        await put("k");
        await driver.delete("k");
        await driver.delete("k");
        expect(await driver.head("k")).toBeUndefined();
      });

      it("takes exactly one key: neither those below it nor those that begin like it", async () => {
        for (const key of ["ab", "a-b", "f/a", "f/ab", "g/h/i"]) await put(key);
        await driver.delete("a");
        await driver.delete("f/a");
        await driver.delete("g/h");
        await driver.delete("g");
        expect(await keysOf(driver)).toEqual(["a-b", "ab", "f/ab", "g/h/i"]);
      });

      it("of many takes them all, present or not", async () => {
        for (const key of ["a/1", "a/2", "b"]) await put(key);
        await driver.deleteMany(["a/1", "missing/1", "a/2", "missing"]);
        expect(await keysOf(driver)).toEqual(["b"]);
        await driver.deleteMany([]);
      });

      it("by several at once takes the object, and is no fault to any of them", async () => {
        for (let round = 0; round < 20; round++) {
          await put("a/1");
          await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(async () => await driver.delete("a/1")));
          expect(await driver.head("a/1")).toBeUndefined();
        }
      });

      it("of the last object of a prefix takes the prefix", async () => {
        await put("p/q/r/s");
        await put("p/t");
        expect(await listChildren(driver, "p/")).toEqual(["q"]);
        await driver.delete("p/q/r/s");
        expect(await listChildren(driver, "p/")).toEqual([]);
        expect(await listChildren(driver, "")).toEqual(["p"]);
        await driver.delete("p/t");
        expect(await listChildren(driver, "")).toEqual([]);
      });
    });

    describe("keys", () => {
      const bad = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "./a", "a b", "a\0b"];
      bad.push("a\nb", "ä", "a\\b", "\u007f", `${"a/".repeat(512)}a`, "a".repeat(1025));
      it.each(bad)("%j is none, in any operation", async (key) => {
        const bytes = Buffer.from("x");
        const calls = [
          async () => await driver.head(key),
          async () => await driver.read(key, 1),
          async () => await driver.look(key, 1),
          async () => await driver.get(key),
          async () => await driver.put(key, bytes),
          async () => await driver.delete(key),
          async () => await driver.deleteMany([key]),
          async () => await driver.drafts.publish(driver.drafts.begin("d/"), key),
        ];
        for (const call of calls) await expect(call()).rejects.toThrow(TypeError);
        expect(await store.residue()).toEqual([]);
      });

      it.each(["a", "a//", "/", "/a/", "../", "a/../", "a b/", "."])("%j is no prefix", async (prefix) => {
        await expect(driver.list(prefix)).rejects.toThrow(TypeError);
        expect(() => driver.drafts.begin(prefix)).toThrow(TypeError);
      });

      it.each(["a", "...", "a/...", ".hidden", "!~", "a=b&c;d+e%41", "-", "a/-b", "A/a", `${"abc/".repeat(255)}d`])(
        "%j is one",
        async (key) => {
          await put(key, "content");
          expect(await text(key)).toBe("content");
          expect(await keysOf(driver)).toEqual([key]);
          await driver.delete(key);
          expect(await keysOf(driver)).toEqual([]);
        },
      );

      it("that differ in case only are different", async () => {
        await put("Tag", "upper");
        await put("tag", "lower");
        expect([await text("Tag"), await text("tag")]).toEqual(["upper", "lower"]);
      });
    });

    it("objects can come and go in one folder at the same time", async () => {
      const end = Date.now() + 1000;
      const peer = store.peer();
      const churn = async (view: StorageDriver, worker: number): Promise<number> => {
        let rounds = 0;
        for (; Date.now() < end; rounds++) {
          const key = `shared/deep/${worker % 3}/k${worker}`;
          await view.put(key, Buffer.from(`${worker}`));
          expect(await view.read(key, 10)).toBeDefined();
          await view.delete(key);
          expect(await view.head(key)).toBeUndefined();
        }
        return rounds;
      };
      const rounds = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => await churn(i % 2 ? driver : peer, i)),
      );
      expect(Math.min(...rounds)).toBeGreaterThan(0);
      expect(await keysOf(driver)).toEqual([]);
      expect(await store.residue()).toEqual([]);
    });

    it("nothing is left behind when all is deleted", async () => {
      const etag = await put("a/b/c");
      await put("a/b/c", "2", { ifMatch: etag });
      await put("a/b/d", "1", { ifNoneMatch: "*" });
      await put("a/b/d", "2", { ifNoneMatch: "*" }).catch(() => undefined);
      await put("a/b/d", "2", { ifMatch: etag }).catch(() => undefined);
      await driver.deleteMany(await keysOf(driver));
      expect(await store.residue()).toEqual([]);
    });
  });
}

async function keysOf(driver: StorageDriver): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of everyKey(driver)) keys.push(key);
  return keys;
}
