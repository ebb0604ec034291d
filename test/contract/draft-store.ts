/** What every storage driver promises of drafts: large objects before they have their key. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  discardDraft,
  DraftGoneError,
  type Draft,
  type DraftStore,
  type StorageDriver,
} from "../../shared/storage/driver.ts";
import { bodyOf, brokenBody, bytesOfBody, collect, ManualBody, pattern } from "../support/bodies.ts";
import { everyKey } from "../support/invariants.ts";
import type { StoreFactory, TestStore } from "../support/stores.ts";

const MIB = 1024 * 1024;

/** More than a driver would keep in the draft itself. */
const long = (text: string): string => text.padEnd(40_000, ".");

/** The part of the contract that is about drafts. */
export function draftContract(name: string, makeStore: StoreFactory): void {
  describe(`${name}: drafts`, () => {
    let store: TestStore;
    let driver: StorageDriver;
    let drafts: DraftStore;
    beforeEach(async () => {
      store = await makeStore();
      driver = store.driver;
      drafts = driver.drafts;
    });
    afterEach(async () => await store.close());

    const textOf = async (draft: Draft): Promise<string> => (await collect(drafts.read(draft))).toString();
    const objectText = async (key: string): Promise<string | undefined> => {
      const object = await driver.get(key);
      return object === undefined ? undefined : (await bytesOfBody(object)).toString();
    };
    const write = async (text: string, draft = drafts.begin("d/")): Promise<Draft> =>
      await drafts.append(draft, bodyOf(text));

    it("beginning one writes nothing", async () => {
      const draft = drafts.begin("d/");
      expect(draft.size).toBe(0);
      expect(await textOf(draft)).toBe("");
      expect(await keysOf(driver)).toEqual([]);
    });

    it("appending gives a new draft and leaves the old one valid", async () => {
      const empty = drafts.begin("d/");
      const one = await write("one ", empty);
      const two = await write("two", one);
      const other = await write("other", one);
      expect([empty.size, one.size, two.size, other.size]).toEqual([0, 4, 7, 9]);
      expect(await Promise.all([empty, one, two, other].map(textOf))).toEqual(["", "one ", "one two", "one other"]);
    });

    it("a draft is plain JSON: another process goes on with what was kept of it", async () => {
      const draft = JSON.parse(JSON.stringify(await write("kept "))) as Draft;
      const { drafts: theirs } = store.peer();
      const longer = await theirs.append(draft, bodyOf("and continued"));
      await theirs.publish(JSON.parse(JSON.stringify(longer)) as Draft, "k");
      expect(await objectText("k")).toBe("kept and continued");
    });

    it.each([0, 1, 64 * 1024, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])("holds a body of %i bytes", async (size) => {
      const bytes = pattern(size);
      async function* inChunks(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < size; at += 65_536) yield bytes.subarray(at, at + 65_536);
      }
      const draft = await drafts.append(drafts.begin("d/"), inChunks());
      expect(draft.size).toBe(size);
      expect((await collect(drafts.read(draft))).equals(bytes)).toBe(true);
      await drafts.publish(draft, "k");
      expect((await bytesOfBody((await driver.get("k")) as never)).equals(bytes)).toBe(true);
    });

    it("an empty body adds nothing and leaves nothing", async () => {
      expect((await write("")).size).toBe(0);
      expect(await store.residue()).toEqual([]);
      expect(await keysOf(driver)).toEqual([]);
      const draft = await write("some");
      expect(await textOf(await write("", draft))).toBe("some");
    });

    it.each([
      ["at once", []],
      ["after some bytes", ["some"]],
      ["after megabytes", [pattern(3 * MIB)]],
    ])("a body that fails %s leaves neither bytes nor a change", async (_, chunks) => {
      const before = await write("before");
      const keys = await keysOf(driver);
      await expect(drafts.append(before, brokenBody(...chunks))).rejects.toThrow("the client went away");
      expect(await keysOf(driver)).toEqual(keys);
      expect(await textOf(before)).toBe("before");
      await discardDraft(driver, before);
      expect(await store.residue()).toEqual([]);
    });

    it("nothing is visible under the key before the draft is published, and everything at once then", async () => {
      const body = new ManualBody();
      const appending = drafts.append(drafts.begin("d/"), body);
      await body.started;
      body.write(pattern(2 * MIB));
      expect(await driver.head("final/k")).toBeUndefined();
      body.end();
      const draft = await appending;
      expect(await driver.head("final/k")).toBeUndefined();
      await drafts.publish(draft, "final/k");
      expect((await driver.head("final/k"))?.size).toBe(2 * MIB);
    });

    it("publishes what is larger than a store copies at once, and came in more than one part", async () => {
      const [body, end] = [pattern(12 * MIB), pattern(20_000, "end")];
      const draft = await drafts.append(await drafts.append(drafts.begin("d/"), bodyOf(body)), bodyOf(end));
      await drafts.publish(draft, "final/k");
      const stored = await driver.get("final/k");
      const bytes = stored === undefined ? undefined : await bytesOfBody(stored);
      expect(bytes?.equals(Buffer.concat([body, end]))).toBe(true);
      await discardDraft(driver, draft);
    });

    it.each([0, 1, 2, 5])("publishes %i segments as one object and takes nothing else away", async (count) => {
      const neighbour = await write("neighbour");
      let draft = drafts.begin("d/");
      for (let i = 0; i < count; i++) draft = await write(`part ${i};`, draft);
      await driver.put("final/k", Buffer.from("what was there"));
      await drafts.publish(draft, "final/k");
      await discardDraft(driver, draft);
      expect(await objectText("final/k")).toBe(Array.from({ length: count }, (_, i) => `part ${i};`).join(""));
      expect(await textOf(neighbour)).toBe("neighbour");
      await discardDraft(driver, neighbour);
      expect(await keysOf(driver)).toEqual(["final/k"]);
      await driver.delete("final/k");
      expect(await store.residue()).toEqual([]);
    });

    it("of two appends to one draft either is kept, and the other's bytes go", async () => {
      const base = await write(long("base "));
      const kept = await write(long("kept"), base);
      const lost = await write(long("lost"), base);
      await discardDraft(driver, lost, kept);
      expect(await textOf(kept)).toBe(long("base ") + long("kept"));
      await discardDraft(driver, base, kept);
      await expect(textOf(lost)).rejects.toThrow();
      await discardDraft(driver, kept);
      await discardDraft(driver, kept);
      expect(await keysOf(driver)).toEqual([]);
      expect(await store.residue()).toEqual([]);
    });

    it("discarding what a longer draft still holds takes nothing from it", async () => {
      const base = await write("base ");
      const longer = await write("longer", base);
      await discardDraft(driver, base, longer);
      expect(await textOf(longer)).toBe("base longer");
    });

    it("reading one whose bytes are gone is an error, never a shorter body", async () => {
      const draft = await write(long("second"), await write(long("first ")));
      for (const key of drafts.keysOf(draft).slice(0, 1)) await driver.delete(key);
      await expect(textOf(draft)).rejects.toThrow(DraftGoneError);
      await expect(drafts.publish(draft, "final/k")).rejects.toThrow(DraftGoneError);
      expect(await driver.head("final/k")).toBeUndefined();
      await discardDraft(driver, draft);
      expect(await store.residue()).toEqual([]);
    });

    it("publishing one twice gives the same again, or an error that leaves nothing", async () => {
      const draft = await write("once");
      await drafts.publish(draft, "k");
      const again = await drafts.publish(draft, "final/other").then(
        () => "once",
        (error: unknown) => (expect(error).toBeInstanceOf(DraftGoneError), undefined),
      );
      expect(await objectText("final/other")).toBe(again);
      await discardDraft(driver, draft);
      expect(await keysOf(driver)).toEqual(again === undefined ? ["k"] : ["final/other", "k"]);
      await driver.deleteMany(["k", "final/other"]);
      expect(await store.residue()).toEqual([]);
    });

    describe("writing under the final key", () => {
      const written = async (...chunks: (string | Buffer)[]): Promise<void> =>
        await drafts.write("final/k", bodyOf(...chunks), { verify: () => undefined });

      it.each([0, 1, MIB, 5 * MIB + 7, 17 * MIB + 3])("gives an object of %i bytes", async (size) => {
        const bytes = pattern(size);
        await drafts.write("final/k", bodyOf(bytes), { length: size, verify: () => undefined });
        expect((await bytesOfBody((await driver.get("final/k")) as never)).equals(bytes)).toBe(true);
        await written("what comes after");
        expect(await objectText("final/k")).toBe("what comes after");
        await driver.delete("final/k");
        expect(await store.residue()).toEqual([]);
      });

      it.each([["small"], [pattern(17 * MIB)]])("shows nothing before it is verified (%#)", async (bytes) => {
        await drafts.write("final/k", bodyOf(bytes), {
          verify: async () => {
            expect(await driver.head("final/k")).toBeUndefined();
          },
        });
        expect((await driver.head("final/k"))?.size).toBe(bytes.length);
        await driver.delete("final/k");
        expect(await store.residue()).toEqual([]);
      });

      it.each([["small"], [pattern(17 * MIB)]])("changes nothing where that fails (%#)", async (bytes) => {
        await written("before");
        const failure = new Error("another digest");
        const verify = (): void => {
          throw failure;
        };
        await expect(drafts.write("final/k", bodyOf(bytes), { verify })).rejects.toBe(failure);
        await expect(drafts.write("final/other", bodyOf(bytes), { verify })).rejects.toBe(failure);
        expect(await objectText("final/k")).toBe("before");
        expect(await keysOf(driver)).toEqual(["final/k"]);
        await driver.delete("final/k");
        expect(await store.residue()).toEqual([]);
      });

      it.each([[[]], [["some"]], [[pattern(17 * MIB)]]])(
        "changes nothing where the body fails (%#)",
        async (chunks) => {
          await expect(drafts.write("final/k", brokenBody(...chunks), { verify: () => undefined })).rejects.toThrow(
            "the client went away",
          );
          expect(await keysOf(driver)).toEqual([]);
          expect(await store.residue()).toEqual([]);
        },
      );

      it("believes the bytes, not the length that was announced", async () => {
        await drafts.write("final/k", bodyOf(pattern(9 * MIB)), { length: 10, verify: () => undefined });
        await drafts.write("final/l", bodyOf("short"), { length: 90 * MIB, verify: () => undefined });
        expect((await driver.head("final/k"))?.size).toBe(9 * MIB);
        expect(await objectText("final/l")).toBe("short");
      });
    });

    it("an abandoned one lies under its prefix, where it can be found and deleted", async () => {
      await write(long("abandoned"), drafts.begin("abandoned/here/"));
      const keys = await keysOf(driver);
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) expect(key.startsWith("abandoned/here/")).toBe(true);
      await driver.deleteMany(keys);
      expect(await store.residue()).toEqual([]);
    });

    it("many can be written at once", async () => {
      const bytes = Array.from({ length: 20 }, (_, i) => pattern(300_000, `draft ${i}`));
      await Promise.all(
        bytes.map(async (body, i) => {
          await drafts.publish(await drafts.append(drafts.begin(`d/${i}/`), bodyOf(body)), `k/${i}`);
        }),
      );
      for (const [i, body] of bytes.entries()) {
        expect((await bytesOfBody((await driver.get(`k/${i}`)) as never)).equals(body)).toBe(true);
      }
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
