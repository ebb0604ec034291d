/** A last PUT that takes longer than its client waits: sent again, it waits for the first, and nothing is made twice. */
import { beforeEach, describe, expect, it } from "vitest";
import type { DraftStore, StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Reply, type SendOptions, type TestApp } from "../support/app.ts";
import { ManualBody, pattern, sha256 } from "../support/bodies.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { contentKeys, faultsOf, snapshot } from "../support/invariants.ts";

const bytes = pattern(4000);
const digest = sha256(bytes);

/** A store that makes content visible when it is told to: a draft that is published, or a body that is written in place. */
class HeldStore {
  readonly memory = new MemoryDriver();
  readonly driver: StorageDriver;
  /** How often content was to be made visible. */
  publications = 0;
  calls = 0;
  /** Lets all that are held go on, with this outcome. */
  release: (verdict: Verdict) => void = () => undefined;
  #begin: () => void = () => undefined;
  /** Resolves when the first is held. */
  readonly begun = new Promise<void>((resolve) => (this.#begin = resolve));
  readonly #verdict = new Promise<Verdict>((resolve) => (this.release = resolve));

  constructor() {
    const driver = withFaults(this.memory, async ({ operation }) => {
      this.calls++;
      return operation === "publish" ? await this.#hold() : "pass";
    });
    const write: DraftStore["write"] = async (key, body, options) => {
      const verify = async (): Promise<void> => {
        await options.verify();
        await this.#hold();
      };
      await driver.drafts.write(key, body, { ...options, verify });
    };
    this.driver = { ...driver, drafts: { ...driver.drafts, write } };
  }

  async #hold(): Promise<Verdict> {
    this.publications++;
    this.#begin();
    return await this.#verdict;
  }
}

let store: HeldStore;
let app: TestApp;
let location: string;
beforeEach(async () => {
  store = new HeldStore();
  app = createTestApp(store.driver);
  location = (await app.send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
});

const put = async (options: SendOptions = {}, wanted: string = digest): Promise<Reply> =>
  await app.send("PUT", `${location}?digest=${wanted}`, options);
const patch = async (): Promise<void> => {
  expect((await app.send("PATCH", location, { body: bytes })).status).toBe(202);
};
/** Everything that can happen without a timer has happened. */
const settled = async (): Promise<void> => {
  for (let calls = -1; calls !== store.calls;) {
    calls = store.calls;
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  }
};
const isPending = async (reply: Promise<Reply>): Promise<boolean> => {
  let pending = true;
  void reply.then(() => (pending = false));
  await settled();
  return pending;
};
const isWhole = async (): Promise<void> => {
  expect((await app.send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
  expect(await faultsOf(store.memory)).toEqual([]);
  const keys = [...(await snapshot(store.memory)).keys()];
  expect(contentKeys(await snapshot(store.memory))).toHaveLength(2);
  expect(keys.filter((key) => key.includes("_uploads"))).toEqual([]);
};

describe("a PUT that is sent again while the first is still at work", () => {
  it("without a body, after PATCHes: one publication, and both are told", async () => {
    await patch();
    const first = put();
    await store.begun;
    const others = [put(), put(), put()];
    for (const reply of [first, ...others]) expect(await isPending(reply)).toBe(true);
    store.release("pass");
    const replies = await Promise.all([first, ...others]);
    for (const reply of replies) {
      expect([reply.status, reply.header("docker-content-digest"), reply.header("location")]).toEqual([
        201,
        digest,
        `/v2/r/blobs/${digest}`,
      ]);
    }
    expect(store.publications).toBe(1);
    await isWhole();
  });

  it("with the whole body: the body is read and let go, and the answer waits", async () => {
    const first = put({ body: bytes });
    await store.begun;
    const { calls } = store;
    const body = new ManualBody();
    const second = put({ body });
    for (let i = 0; i < 40; i++) body.write(bytes.subarray(i * 100, (i + 1) * 100));
    expect(await isPending(second)).toBe(true);
    body.end();
    expect(await isPending(second)).toBe(true);
    expect(store.calls).toBe(calls);
    store.release("pass");
    expect([(await first).status, (await second).status]).toEqual([201, 201]);
    expect([store.publications, app.reports.at(-1)?.received]).toEqual([1, bytes.length]);
    await isWhole();
  });

  it("and whose body is longer on its way than the first takes", async () => {
    const first = put({ body: bytes });
    await store.begun;
    const body = new ManualBody();
    const second = put({ body });
    await body.started;
    store.release("pass");
    expect((await first).status).toBe(201);
    expect(await isPending(second)).toBe(true);
    body.write(bytes);
    body.end();
    expect((await second).status).toBe(201);
    expect(store.publications).toBe(1);
    await isWhole();
  });

  it("and again when it is done", async () => {
    store.release("pass");
    for (let i = 0; i < 3; i++) expect((await put({ body: bytes })).status).toBe(201);
    expect(store.publications).toBe(1);
    await isWhole();
  });

  it("whose own body breaks off is told so, and the first goes on", async () => {
    const first = put({ body: bytes });
    await store.begun;
    const body = new ManualBody();
    const second = put({ body });
    await body.started;
    body.fail();
    expect([(await second).status, (await second).code]).toEqual([400, "BLOB_UPLOAD_INVALID"]);
    store.release("pass");
    expect((await first).status).toBe(201);
    await isWhole();
  });

  it.each<[verdict: Verdict]>([["before"], ["after"]])(
    "fails with the first (%s its effect), and a third begins anew",
    async (verdict) => {
      await patch();
      const first = put();
      await store.begun;
      const second = put();
      await settled();
      store.release(verdict);
      // A publication that was only reported as failed is found to be there.
      const status = verdict === "before" ? 500 : 201;
      expect([(await first).status, (await second).status, store.publications]).toEqual([status, status, 1]);
      app = createTestApp(store.memory);
      expect((await put()).status).toBe(201);
      await isWhole();
    },
  );

  it("by another digest is not the same", async () => {
    await patch();
    const first = put();
    await store.begun;
    const second = await put({}, sha256("x"));
    expect([second.status, second.code]).toEqual([400, "DIGEST_INVALID"]);
    store.release("pass");
    expect((await first).status).toBe(201);
    await isWhole();
  });

  it("to another session or repository is not the same", async () => {
    await patch();
    const first = put();
    await store.begun;
    for (const repository of ["r", "s"]) {
      const other = (await app.send("POST", `/v2/${repository}/blobs/uploads/`)).header("location") ?? "";
      const reply = await app.send("PUT", `${other}?digest=${digest}`);
      expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
      await app.send("DELETE", other);
    }
    store.release("pass");
    expect((await first).status).toBe(201);
    await isWhole();
  });
});

it("a PUT whose own body has not ended is not waited for: its connection may be dead", async () => {
  store.release("pass");
  const body = new ManualBody();
  const first = put({ body });
  await body.started;
  body.write(bytes.subarray(0, 1000));
  expect((await put({ body: bytes })).status).toBe(201);
  body.fail();
  expect((await first).status).toBe(400);
  expect(store.publications).toBe(1);
  await isWhole();
});
