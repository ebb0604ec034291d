/** Any two requests on the same thing, in any order of their storage calls: the storage stays sound and no answer lies. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Reply, type Send } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { withFaults } from "../support/faults.ts";
import { faultsOf } from "../support/invariants.ts";
import { pushImage, putManifest, referrerOf } from "../support/manifests.ts";

const bytes = pattern(3000);
const digest = sha256(bytes);

type Request = (send: Send, location: string) => Promise<Reply>;
const append =
  (from: number, to: number): Request =>
  async (send, location) =>
    await send("PATCH", location, {
      headers: { "Content-Range": `${from}-${to - 1}` },
      body: bytes.subarray(from, to),
    });
const commit =
  (wanted: string): Request =>
  async (send, location) =>
    await send("PUT", `${location}?digest=${wanted}`);
const finish: Request = async (send, location) =>
  await send("PUT", `${location}?digest=${digest}`, { body: bytes.subarray(2000) });
const cancel: Request = async (send, location) => await send("DELETE", location);
const purge: Request = async (send, location) => await send("GET", location);

const UPLOADS: Record<string, Request> = {
  "append the middle": append(1000, 2000),
  "append the rest": append(1000, 3000),
  "append nothing that fits": append(0, 1000),
  "commit what is there": commit(sha256(bytes.subarray(0, 1000))),
  "commit what is there by sha512": commit(sha512(bytes.subarray(0, 1000))),
  "commit the whole": commit(digest),
  "commit with the rest": finish,
  cancel: cancel,
  "ask for the status": purge,
};

const image = { digest: "" };
const CONTENT: Record<string, Request> = {
  "tag it again": async (send) => await send("PUT", "/v2/r/manifests/v1", await manifest(send)),
  "tag it otherwise": async (send) => await send("PUT", "/v2/r/manifests/v2", await manifest(send)),
  "delete a blob": async (send) => await send("DELETE", `/v2/r/blobs/${sha256("layer")}`),
  "push the blob": async (send) =>
    await send("POST", `/v2/r/blobs/uploads/?digest=${sha256("layer")}`, { body: "layer" }),
  "push a referrer": async (send) => {
    const reply = await send("GET", "/v2/r/manifests/other");
    const subject = {
      mediaType: reply.header("content-type") ?? "",
      digest: sha256(reply.bytes),
      size: reply.bytes.length,
    };
    const referrer = referrerOf(subject, "t/t");
    return await putManifest(send, "r", referrer.digest, referrer);
  },
  "list the tags": async (send) => await send("GET", "/v2/r/tags/list"),
  "list the catalog": async (send) => await send("GET", "/v2/_catalog"),
  "read by tag": async (send) => await send("GET", "/v2/r/manifests/v1"),
};
async function manifest(send: Send): Promise<{ body: Uint8Array; headers: Record<string, string> }> {
  const reply = await send("GET", "/v2/r/manifests/other");
  return { body: reply.bytes, headers: { "Content-Type": reply.header("content-type") ?? "" } };
}

/** Runs these requests at once, each on its own process, with their storage calls in the scheduler's order. */
async function interleave(
  scheduler: fc.Scheduler,
  driver: MemoryDriver,
  requests: readonly Request[],
  location: string,
): Promise<Reply[]> {
  const send = (): Send =>
    createTestApp(
      withFaults(
        driver,
        async ({ operation }) => await scheduler.schedule(Promise.resolve("pass" as const), operation),
      ),
      { registry: { catalog: "index" } },
    ).send;
  return await scheduler.waitFor(Promise.all(requests.map(async (request) => await request(send(), location))));
}

const some = (requests: Record<string, Request>): fc.Arbitrary<string[]> =>
  fc.array(fc.constantFrom(...Object.keys(requests)), { minLength: 2, maxLength: 3 });

describe("at once, in any order", () => {
  it("uploads: nothing fails, no bytes get mixed up, and a retry ends complete", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), some(UPLOADS), async (scheduler, names) => {
        const driver = new MemoryDriver();
        const { send, registry } = createTestApp(driver);
        const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
        await append(0, 1000)(send, location);
        const requests = names.map((name) => UPLOADS[name] as Request);
        const replies = await interleave(scheduler, driver, requests, location);

        expect(await faultsOf(driver)).toEqual([]);
        for (const [i, { status }] of replies.entries()) expect(status, names[i]).toBeLessThan(500);
        // Of appends at one offset at most one is acknowledged.
        const appended = replies.filter(({ status }, i) => names[i]?.startsWith("append") && status === 202);
        expect(appended.length).toBeLessThanOrEqual(1);
        // What was said to be stored is.
        for (const reply of replies) {
          if (reply.status !== 201) continue;
          const wanted = reply.header("docker-content-digest") ?? "";
          const stored = await send("GET", `/v2/r/blobs/${wanted}`);
          expect([stored.status, wanted.startsWith("sha512") ? sha512(stored.bytes) : sha256(stored.bytes)]).toEqual([
            200,
            wanted,
          ]);
        }
        expect((await send("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: bytes })).status).toBe(201);
        await registry.purgeUploads({ ageMs: -1000, dryRun: false });
        expect(await faultsOf(driver)).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  it("content: nothing fails, and no tag leads nowhere", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), some(CONTENT), async (scheduler, names) => {
        const driver = new MemoryDriver();
        const { send } = createTestApp(driver);
        image.digest = (await pushImage(send, "r", "v1", ["layer", "v1"])).digest;
        await pushImage(send, "r", "other");
        const requests = names.map((name) => CONTENT[name] as Request);
        const replies = await interleave(scheduler, driver, requests, "");
        for (const [i, { status }] of replies.entries()) expect([200, 201, 202, 404], names[i]).toContain(status);
        expect(await faultsOf(driver)).toEqual([]);
        expect((await send("GET", "/v2/r/manifests/v1")).status).toBe(200);
      }),
      { numRuns: 200 },
    );
  });
});
