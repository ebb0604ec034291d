/** A push beside the sweep of the one blob that it needs, in every order of what they ask of the store. */
import { expect, it } from "vitest";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { Marks, type WrittenMark } from "../../shared/registry/marks.ts";
import { PreconditionFailedError, type StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Send } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import type { PlannedCall } from "../support/faults.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { everySchedule } from "../support/schedules.ts";

const TIMES = gcTimes();
const DAYS = 3 * 24 * 3_600_000;
const PERMIT = "run/nonce";
const name = parseRepositoryName("a");
const blob = sha256(CONFIG);
const [mark, bytes, link] = [layout.blobMark(blob), layout.blob(blob), layout.layerLink(name, blob)];
/** It needs nothing but its configuration. */
const image = imageOf([]);

const matters = ({ key }: PlannedCall): boolean => [mark, bytes, link].includes(key);

/** As a run does it that listed the mark, `condemned` for long enough, before anything else, and found the blob a candidate. */
async function sweep(driver: StorageDriver, condemned: WrittenMark, since: Date): Promise<void> {
  const marks = new Marks(driver, TIMES);
  await driver.fenced.open(PERMIT);
  try {
    const deleting = await marks.write(mark, "deleting", condemned, PERMIT);
    const permit = { id: PERMIT, since };
    for (const key of [link, bytes]) expect(await driver.fenced.delete([{ key, permit }])).toEqual([]);
    await marks.write(mark, "swept", deleting);
  } catch (error) {
    if (!(error instanceof PreconditionFailedError)) throw error;
  }
}

it.each<
  [what: string, push: (send: Send) => Promise<number>, said: number, otherwise: number, needs: readonly string[]]
>([
  ["HEAD", async (send) => (await send("HEAD", `/v2/a/blobs/${blob}`)).status, 200, 404, [bytes, link]],
  [
    "a mount",
    async (send) => (await send("POST", `/v2/b/blobs/uploads/?mount=${blob}&from=a`)).status,
    201,
    202,
    [bytes, layout.layerLink(parseRepositoryName("b"), blob)],
  ],
  [
    "an upload",
    async (send) => (await send("POST", `/v2/a/blobs/uploads/?digest=${blob}`, { body: CONFIG })).status,
    201,
    429,
    [bytes, link],
  ],
  ["a manifest", async (send) => (await putManifest(send, "a", "tag", image)).status, 201, 404, [bytes, link]],
])("%s that is told yes finds its blob there afterwards", async (_what, push, said, otherwise, needs) => {
  const outcomes = new Set<string>();
  const trials = await everySchedule(async () => {
    let clock = Date.parse("2030-01-01T00:00:00Z");
    const driver = new MemoryDriver({ now: () => new Date(clock) });
    await pushBlob(createTestApp(driver).send, "a", CONFIG);
    clock += DAYS;
    const condemned = await new Marks(driver, TIMES).write(mark, "condemned", undefined);
    clock += TIMES.settleMs;
    let status = 0;
    return {
      driver,
      processes: [
        async (on) => {
          // It does not wait for the sweep: that it gives up is one of the outcomes.
          const { send } = createTestApp(on, { registry: { times: TIMES, pause: async () => undefined } });
          status = await push(send);
        },
        async (on) => await sweep(on, condemned, new Date(clock)),
      ],
      check: async (order) => {
        const state = (await new Marks(driver, TIMES).read(mark)).mark?.state;
        const there = await Promise.all(needs.map(async (key) => (await driver.head(key)) !== undefined));
        outcomes.add(`${status} ${state}`);
        if (status === said) {
          expect(there, order.join("\n")).toEqual(needs.map(() => true));
          expect(state, order.join("\n")).toBe("cleared");
        } else {
          expect(status, order.join("\n")).toBe(otherwise);
        }
        // Whatever became of it, a push after it succeeds.
        const { send } = createTestApp(driver);
        await pushBlob(send, "a", CONFIG);
        expect((await putManifest(send, "a", "tag", image)).status).toBe(201);
        expect((await send("GET", `/v2/a/blobs/${blob}`)).status).toBe(200);
      },
    };
  }, matters);
  expect(trials).toBeGreaterThan(20);
  expect(outcomes).toContain(`${said} cleared`);
  expect(outcomes).toContain(`${otherwise} swept`);
});
