/** URLs that a bucket's driver signs, asked for with no credentials, as a client that was redirected does. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Presigner } from "../../shared/storage/driver.ts";
import { pattern } from "../support/bodies.ts";
import { sharedCephRgw, sharedVersitygw } from "../support/s3-servers.ts";
import { s3Store } from "../support/s3-stores.ts";
import type { TestStore } from "../support/stores.ts";

const bytes = pattern(100_000);
/** Of the URLs, in seconds; see `s3Settings`. */
const LIFETIME = 60;

describe.each([
  ["versitygw", "", sharedVersitygw],
  ["versitygw, below a root", "some/root/", sharedVersitygw],
  ["Ceph RGW", "", sharedCephRgw],
])("%s", (_, root, server) => {
  let store: TestStore;
  let presigner: Presigner;
  beforeEach(async () => {
    store = await s3Store(server, { root })();
    presigner = store.driver.presigner as Presigner;
    await store.driver.put("a/data", bytes);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await store.close();
  });

  it("give the object's bytes to GET, and their number to HEAD", async () => {
    const get = await fetch(await presigner.presign("a/data", "GET"));
    expect(get.status).toBe(200);
    expect(Buffer.from(await get.arrayBuffer()).equals(bytes)).toBe(true);
    const head = await fetch(await presigner.presign("a/data", "HEAD"), { method: "HEAD" });
    expect(head.status).toBe(200);
    for (const { headers } of [get, head]) {
      expect(headers.get("content-length")).toBe("100000");
      expect(headers.get("content-type")).toBe("application/octet-stream");
      expect(headers.get("accept-ranges")).toBe("bytes");
      expect(headers.get("content-encoding")).toBeNull();
    }
  });

  it.each([
    ["bytes=10-19", 206, "bytes 10-19/100000", bytes.subarray(10, 20)],
    ["bytes=99990-", 206, "bytes 99990-99999/100000", bytes.subarray(99_990)],
    ["bytes=-5", 206, "bytes 99995-99999/100000", bytes.subarray(99_995)],
    ["bytes=100000-", 416, null, undefined],
  ])("take the range %s", async (range, status, contentRange, part) => {
    const reply = await fetch(await presigner.presign("a/data", "GET"), { headers: { Range: range } });
    expect([reply.status, reply.headers.get("content-range")]).toEqual([status, contentRange]);
    const body = Buffer.from(await reply.arrayBuffer());
    if (part !== undefined) expect(body.equals(part)).toBe(true);
  });

  it("are for one method and one key", async () => {
    await store.driver.put("a/data2", bytes);
    const [get, head] = [await presigner.presign("a/data", "GET"), await presigner.presign("a/data", "HEAD")];
    const denied = async (url: string, method: string): Promise<void> => {
      const reply = await fetch(url, { method });
      expect([method, reply.status]).toEqual([method, 403]);
      await reply.body?.cancel();
    };
    for (const method of ["HEAD", "PUT", "DELETE"]) await denied(get, method);
    for (const method of ["GET", "PUT", "DELETE"]) await denied(head, method);
    await denied(get.replace("/data?", "/data2?"), "GET");
    await denied(head.replace("/data?", "/data2?"), "HEAD");
    await denied(get.replace(/a\/data\?/, "?list-type=2&"), "GET");
    await denied(get.replace("octet-stream", "json"), "GET");
    await denied(head.replace("octet-stream", "json"), "HEAD");
    await denied(get.replace(/\?.*/, ""), "GET");
    expect((await store.driver.head("a/data"))?.size).toBe(100_000);
  });

  it.each([
    [LIFETIME - 20, 200],
    [LIFETIME + 1, 403],
  ])("%i seconds later give %i", async (age, status) => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() - age * 1000 });
    const urls = [await presigner.presign("a/data", "GET"), await presigner.presign("a/data", "HEAD")];
    vi.useRealTimers();
    const [get = "", head = ""] = urls;
    expect(new URL(get).searchParams.get("X-Amz-Expires")).toBe(String(LIFETIME));
    expect((await fetch(get)).status).toBe(status);
    expect((await fetch(head, { method: "HEAD" })).status).toBe(status);
  });

  it("are signed for keys that are not there, without a request", async () => {
    for (const method of ["GET", "HEAD"] as const) {
      expect((await fetch(await presigner.presign("b", method), { method })).status).toBe(404);
    }
    await expect(presigner.presign("../b", "GET")).rejects.toThrow();
  });
});
