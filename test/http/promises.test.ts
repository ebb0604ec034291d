/** What pushes promise and are promised, beside marks in every state that a collection leaves them in. */
import { beforeEach, describe, expect, it } from "vitest";
import { parseDigest, type Digest } from "../../shared/oci/digest.ts";
import { parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";
import { gcTimes, type GcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { Marks, type MarkState } from "../../shared/registry/marks.ts";
import type { RegistryParts } from "../../shared/registry/registry.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Send, type TestAppOptions } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { freshApp } from "../support/fresh-app.ts";
import {
  CONFIG,
  descriptorOf,
  imageOf,
  indexOf,
  pushBlob,
  pushImage,
  putManifest,
  referrerOf,
} from "../support/manifests.ts";
import { STORES } from "../support/stores.ts";

const TIMES = gcTimes();
/** Every age is one that must be acted on: a store's clock cannot be set. */
const OVERDUE: GcTimes = { ...TIMES, takeoverMs: -1 };
const STALE: GcTimes = { ...TIMES, freshMs: -1 };

const name = parseRepositoryName("a");
const other = parseRepositoryName("other");
const LAYER = "layer";
const layer = sha256(LAYER);
const layerMark = layout.blobMark(layer);
const bytes = layout.blob(layer);
const PERMIT = "run/nonce";

type Start = MarkState | "none" | "deleting for long";
const STARTS: readonly Start[] = ["none", "cleared", "condemned", "deleting", "deleting for long", "swept"];

describe.each(STORES)("%s", (_, makeStore) => {
  const app = freshApp(makeStore, { damages: true });
  let driver: StorageDriver;
  let marks: Marks;
  let calls: string[];
  beforeEach(() => {
    ({ driver } = app.store);
    marks = new Marks(driver, TIMES);
    calls = [];
  });

  /** An app beside the collector whose mark it finds; it does not wait for it. What it asks of the store is in `calls`. */
  function beside(start: Start, parts: Partial<RegistryParts> = {}, more: TestAppOptions = {}): Send {
    const watched = withFaults(driver, ({ operation, key }) => {
      calls.push(`${operation} ${key}`);
      return "pass";
    });
    const times = start === "deleting for long" ? OVERDUE : TIMES;
    const registry = { times, pause: async () => undefined, ...parts };
    return createTestApp(watched, { ...more, registry }).send;
  }
  async function mark(start: Start, key = layerMark): Promise<void> {
    if (start === "none") return;
    const state = start === "deleting for long" ? "deleting" : start;
    await driver.fenced.open(PERMIT);
    await marks.write(key, state, undefined, state === "deleting" ? PERMIT : undefined);
  }
  const stateOf = async (key = layerMark): Promise<Start> => (await marks.read(key)).mark?.state ?? "none";
  const writes = (): string[] => calls.filter((call) => call.startsWith("put ") || call.startsWith("write "));

  /** What is left of a mark of something that is wanted. */
  const wanted: Record<Start, Start> = {
    none: "none",
    cleared: "cleared",
    condemned: "cleared",
    deleting: "deleting",
    "deleting for long": "cleared",
    swept: "swept",
  };
  const isPromised = (start: Start): boolean => start !== "deleting" && start !== "swept";

  describe.each(STARTS)("a blob whose mark is: %s", (start) => {
    beforeEach(async () => {
      await pushBlob(app.send, "a", LAYER);
      await pushBlob(app.send, "a", CONFIG);
      await mark(start);
    });

    it("HEAD by who may push", async () => {
      const reply = await beside(start)("HEAD", `/v2/a/blobs/${layer}`);
      expect(reply.status).toBe(isPromised(start) ? 200 : 404);
      expect(await stateOf()).toBe(wanted[start]);
    });

    it("HEAD by who may only pull reads no mark", async () => {
      const authorizer = {
        authorize: (_who: unknown, access: readonly object[]) => !JSON.stringify(access).includes("push"),
        mayPullEverywhere: () => true,
      };
      const reply = await beside(start, {}, { parts: { authorizer } })("HEAD", `/v2/a/blobs/${layer}`);
      expect(reply.status).toBe(200);
      expect(calls.filter((call) => call.includes("_gc"))).toEqual([]);
      expect(writes()).toEqual([]);
    });

    it("HEAD where the registry is read-only, and GET, read no mark", async () => {
      const send = beside(start, { times: { ...OVERDUE, freshMs: -1 } }, { settings: { readOnly: true } });
      expect((await send("HEAD", `/v2/a/blobs/${layer}`)).status).toBe(200);
      expect((await beside(start)("GET", `/v2/a/blobs/${layer}`)).status).toBe(200);
      expect(calls.filter((call) => call.includes("_gc"))).toEqual([]);
      expect(writes()).toEqual([]);
    });

    it.each(["&from=a", ""])("a mount (%j)", async (from) => {
      const reply = await beside(start)("POST", `/v2/other/blobs/uploads/?mount=${layer}${from}`);
      expect(reply.status).toBe(isPromised(start) ? 201 : 202);
      expect(await stateOf()).toBe(wanted[start]);
      expect((await driver.head(layout.layerLink(other, layer))) !== undefined).toBe(isPromised(start));
    });

    it("a manifest that names it", async () => {
      const image = imageOf([LAYER]);
      const reply = await putManifest(beside(start), "a", "tag", image);
      expect(reply.status).toBe(isPromised(start) ? 201 : 404);
      if (!isPromised(start)) expect(reply.code).toBe("MANIFEST_BLOB_UNKNOWN");
      expect(await stateOf()).toBe(wanted[start]);
      expect((await app.send("GET", "/v2/a/manifests/tag")).status).toBe(isPromised(start) ? 200 : 404);
    });

    it.each(["one request", "a session"])("an upload of it in %s", async (how) => {
      const send = beside(start);
      let reply;
      if (how === "one request") {
        reply = await send("POST", `/v2/a/blobs/uploads/?digest=${layer}`, { body: LAYER });
      } else {
        const session = (await send("POST", "/v2/a/blobs/uploads/")).header("location") ?? "";
        expect((await send("PATCH", session, { body: LAYER })).status).toBe(202);
        reply = await send("PUT", `${session}?digest=${layer}`);
      }
      if (start === "deleting") {
        expect([reply.status, reply.header("retry-after")]).toEqual([429, "5"]);
        expect(await stateOf()).toBe("deleting");
      } else {
        expect(reply.status).toBe(201);
        expect(await stateOf()).toBe(start === "none" ? "none" : "cleared");
        // A body that is being received shows at its end, which waits for the mark.
        const order = calls.filter((call) => /^(put|publish) /.test(call));
        const cleared = start === "none" || start === "cleared" ? [] : [`put ${layerMark}`];
        const published = how === "one request" ? [] : [`publish ${bytes}`];
        const linked = [...cleared, ...published, `put ${layout.layerLink(name, layer)}`];
        expect(order.slice(-linked.length)).toEqual(linked);
      }
    });
  });

  it("what a paused deletion would take of a blob that is wanted again it does not get", async () => {
    await pushBlob(app.send, "a", LAYER);
    await mark("deleting");
    const { asOf } = await driver.look(layerMark, 1000);
    expect((await beside("deleting for long")("HEAD", `/v2/a/blobs/${layer}`)).status).toBe(200);
    // In a bucket nobody can take the permit back; but then it has expired by the time that the mark may be taken over.
    const since = new Date(asOf.getTime() - driver.fenced.lifetimeMs - 1000);
    expect(await driver.fenced.delete([{ key: bytes, permit: { id: PERMIT, since } }])).toEqual([bytes]);
    expect((await app.send("GET", `/v2/a/blobs/${layer}`)).status).toBe(200);
  });

  it("an upload that waits goes on when the deletion has ended", async () => {
    await mark("deleting");
    let pauses = 0;
    const pause = async (): Promise<void> => {
      pauses++;
      if (pauses === 2) await marks.write(layerMark, "swept", (await marks.read(layerMark)).mark);
    };
    await pushBlob(beside("none", { pause }), "a", LAYER);
    expect(pauses).toBe(2);
    expect(await stateOf()).toBe("cleared");
  });

  describe("a link", () => {
    const link = layout.layerLink(name, layer);
    const etagOf = async (key: string): Promise<string | undefined> => (await driver.head(key))?.etag;
    beforeEach(async () => {
      await pushBlob(app.send, "a", LAYER);
      await pushBlob(app.send, "a", CONFIG);
    });

    it.each(["HEAD", "PUT"])("that is young is left alone by %s, one that is old is written again", async (method) => {
      const ask = async (times: GcTimes): Promise<string[]> => {
        calls.length = 0;
        const send = beside("none", { times });
        if (method === "HEAD") expect((await send("HEAD", `/v2/a/blobs/${layer}`)).status).toBe(200);
        else expect((await putManifest(send, "a", "tag", imageOf([LAYER]))).status).toBe(201);
        return writes().filter((call) => call.includes("_layers"));
      };
      expect(await ask(TIMES)).toEqual([]);
      const written = await ask(STALE);
      const config = layout.layerLink(name, sha256(CONFIG));
      expect(written.sort()).toEqual((method === "HEAD" ? [link] : [config, link]).map((key) => `put ${key}`).sort());
      expect((await app.send("GET", `/v2/a/blobs/${layer}`)).status).toBe(200);
    });

    it("that a manifest names many times is asked for once, and each size that it says is held to it", async () => {
      const layers = Array.from({ length: 1000 }, () => descriptorOf(LAYER));
      expect((await putManifest(beside("none"), "a", "tag", imageOf([], { layers }))).status).toBe(201);
      expect(calls.filter((call) => call.endsWith(bytes))).toHaveLength(1);
      const lies = [...layers, { ...descriptorOf(LAYER), size: LAYER.length + 1 }];
      expect((await putManifest(beside("none"), "a", "tag", imageOf([], { layers: lies }))).status).toBe(400);
    });

    it("that is deleted while it would be written again stays deleted", async () => {
      const deleting = withFaults(driver, async ({ operation, key }): Promise<Verdict> => {
        if (operation === "put" && key === link) await driver.delete(link);
        return "pass";
      });
      const { send } = createTestApp(deleting, { registry: { times: STALE } });
      expect((await send("HEAD", `/v2/a/blobs/${layer}`)).status).toBe(404);
      expect(await etagOf(link)).toBeUndefined();
    });

    it("that leads nowhere promises nothing", async () => {
      await driver.put(link, Buffer.from("sha256:nothing"));
      expect((await beside("none")("HEAD", `/v2/a/blobs/${layer}`)).status).toBe(404);
    });

    it("to what lies under another digest goes by that one's mark", async () => {
      const alias = parseDigest(`sha512:${"0".repeat(128)}`);
      await driver.put(layout.layerLink(name, alias), Buffer.from(layer));
      await mark("condemned");
      expect((await beside("none")("HEAD", `/v2/a/blobs/${alias}`)).status).toBe(200);
      expect(await stateOf()).toBe("cleared");
      const mounted = await beside("none")("POST", `/v2/other/blobs/uploads/?mount=${alias}&from=a`);
      expect(mounted.status).toBe(201);
      expect((await app.send("GET", `/v2/other/blobs/${alias}`)).bytes.toString()).toBe(LAYER);
    });
  });

  describe("a manifest", () => {
    const image = imageOf([LAYER]);
    const revision = layout.revisionMark(name, image.digest);
    const own = layout.blobMark(image.digest);
    beforeEach(async () => {
      await pushImage(app.send, "a", "old", [LAYER]);
    });

    it.each(STARTS)("that is pushed again beside its own marks: %s", async (start) => {
      for (const key of [own, revision]) await mark(start, key);
      const reply = await putManifest(beside(start), "a", "tag", image);
      expect(reply.status).toBe(start === "deleting" ? 429 : 201);
      for (const key of [own, revision]) {
        expect(await stateOf(key)).toBe(start === "swept" ? "cleared" : wanted[start]);
      }
      // The bytes are written though they are there.
      expect(writes().includes(`put ${layout.blob(image.digest)}`)).toBe(start !== "deleting");
    });

    it.each(STARTS)("that names a child whose mark is: %s", async (start) => {
      await mark(start, revision);
      const reply = await putManifest(beside(start), "a", "index", indexOf([image]));
      expect(reply.status).toBe(isPromised(start) ? 201 : 404);
      expect(await stateOf(revision)).toBe(wanted[start]);
    });

    it.each(STARTS)("that has a referrer whose mark is: %s", async (start) => {
      const signature = referrerOf(image.descriptor, "application/x-signature");
      expect((await putManifest(app.send, "a", signature.digest, signature)).status).toBe(201);
      const of = layout.revisionMark(name, signature.digest);
      await mark(start, of);
      const reply = await putManifest(beside(start), "a", "tag", image);
      // One that was swept is as if it had never been.
      expect(reply.status).toBe(start === "deleting" ? 429 : 201);
      expect(await stateOf(of)).toBe(wanted[start]);
    });
  });

  it.each<[what: string, work: (send: Send) => Promise<{ status: number }>]>([
    ["HEAD", async (send) => await send("HEAD", `/v2/a/blobs/${layer}`)],
    ["a mount", async (send) => await send("POST", `/v2/other/blobs/uploads/?mount=${layer}&from=a`)],
    ["an upload", async (send) => await send("POST", `/v2/a/blobs/uploads/?digest=${layer}`, { body: LAYER })],
    ["a manifest", async (send) => await putManifest(send, "a", "tag", imageOf([LAYER]))],
  ])("%s of which nothing is ever in time is given up, and the client told to come again", async (_what, work) => {
    await pushBlob(app.send, "a", LAYER);
    await pushBlob(app.send, "a", CONFIG);
    const reply = await work(beside("none", { times: { ...TIMES, promiseMs: -1 } }));
    expect(reply.status).toBe(429);
    expect((await app.send("GET", "/v2/a/manifests/tag")).status).toBe(404);
  });

  it("an upload that took too long looks again, and is not acknowledged without its bytes", async () => {
    const slow = withFaults(driver, async ({ operation, key }): Promise<Verdict> => {
      if (operation === "put" && key === layout.layerLink(name, layer)) await driver.delete(bytes);
      return "pass";
    });
    const late = createTestApp(slow, { registry: { times: { ...TIMES, promiseMs: -1 } } });
    const reply = await late.send("POST", `/v2/a/blobs/uploads/?digest=${layer}`, { body: LAYER });
    expect([reply.status, reply.header("retry-after")]).toEqual([429, "1"]);
  });

  it("an upload whose answer was lost is promised again", async () => {
    const session = (await app.send("POST", "/v2/a/blobs/uploads/")).header("location") ?? "";
    const put = async (send: Send): Promise<number> =>
      (await send("PUT", `${session}?digest=${layer}`, { body: LAYER })).status;
    expect(await put(app.send)).toBe(201);
    await mark("condemned");
    expect(await put(beside("condemned"))).toBe(201);
    expect(await stateOf()).toBe("cleared");
  });
});

describe("a manifest whose names came too late", () => {
  const signed = imageOf([]);
  const signature = referrerOf(signed.descriptor, "application/x-signature");
  const latest = layout.tagLink(name, parseTag("latest"));
  const entry = layout.referrerLink(name, signed.digest, signature.digest);
  it.each([
    ["tag", latest, "latest", signed],
    ["entry among the referrers", entry, signature.digest, signature],
  ])("is written again: %s", async (_what, key, reference, manifest) => {
    let clock = Date.parse("2030-01-01T00:00:00Z");
    const driver = new MemoryDriver({ now: () => new Date(clock) });
    const { send } = createTestApp(driver);
    await pushBlob(send, "a", CONFIG);
    let times = 0;
    const slow = withFaults(driver, async ({ operation, key: of }): Promise<Verdict> => {
      if (operation !== "put" || of !== key || ++times > 1) return "pass";
      // Long enough for runs that collect what is untagged.
      clock += TIMES.horizonMs + TIMES.settleMs;
      await driver.delete(layout.revisionLink(name, manifest.digest));
      return "pass";
    });
    expect((await putManifest(createTestApp(slow).send, "a", reference, manifest)).status).toBe(201);
    expect(times).toBe(2);
    expect((await send("GET", `/v2/a/manifests/${reference}`)).status).toBe(200);
  });
});

describe("where nothing is marked", () => {
  const cost = async (work: (send: Send) => Promise<unknown>, driver: StorageDriver): Promise<string[]> => {
    const calls: string[] = [];
    const watched = withFaults(driver, ({ operation, key }) => {
      calls.push(
        `${operation} ${key.includes("_gc/") ? "mark" : key.endsWith("/data") ? "bytes" : (key.split("/").at(-1) ?? "")}`,
      );
      return "pass";
    });
    await work(createTestApp(watched).send);
    return calls.sort();
  };
  const digestOf = (bytes: string): Digest => sha256(bytes);

  describe.each(STORES)("%s", (_, makeStore) => {
    const app = freshApp(makeStore);
    it("a promise costs one look more, at once with the others", async () => {
      await pushImage(app.send, "a", "tag", [LAYER]);
      const { driver } = app.store;
      const head = async (send: Send): Promise<unknown> => await send("HEAD", `/v2/a/blobs/${digestOf(LAYER)}`);
      expect(await cost(head, driver)).toEqual(["head bytes", "look link", "look mark"]);
      const upload = async (send: Send): Promise<unknown> => await pushBlob(send, "a", "new");
      expect(await cost(upload, driver)).toEqual(["look mark", "put link", "write bytes"]);
      const put = async (send: Send): Promise<unknown> => await putManifest(send, "a", "tag", imageOf([LAYER]));
      expect((await cost(put, driver)).filter((call) => call.startsWith("look") || call.startsWith("head"))).toEqual([
        ...["head bytes", "head bytes", "look link", "look link"],
        ...["look mark", "look mark", "look mark", "look mark"],
      ]);
    });
  });
});
