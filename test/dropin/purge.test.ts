/** Their purge of uploads, over storages with open uploads of ours. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { startLading } from "../support/lading.ts";
import { PEERS, startPeer, type PeerKind } from "../support/peers.ts";
import { until } from "../support/process.ts";
import { scratchFolder } from "../support/scratch.ts";
import { removeFolder } from "../support/temp.ts";
import { STORAGES, type Storage } from "../support/storage.ts";
import { finishUpload, makeManifest, openUpload, pushMade } from "./content.ts";

/** After so long none of some thousand runs would have drawn what one of 60 does. Most take a minute. */
const LUCK_MS = 3_000_000;

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

describe.each(PEERS)("$name", (kind) => {
  test("leaves a young session of ours as it is, and takes an old one whole", { timeout: 2 * LUCK_MS }, async () => {
    const folder = await scratchFolder("purge");
    opened.push(async () => await removeFolder(folder));
    const places = await Promise.all(
      STORAGES.map(async ({ make }, i) => {
        const storage = await make();
        opened.push(async () => await storage.close());
        const own = path.join(folder, String(i));
        await mkdir(own);
        const ours = await startLading({ folder: own, ...storage.location });
        opened.push(async () => await ours.stop());
        const made = makeManifest();
        await pushMade(ours.api, "ours/a", made, "v1");
        const [young, old] = [await openUpload(ours.api, "ours/a"), await openUpload(ours.api, "ours/a")];
        const session = `docker/registry/v2/repositories/ours/a/_uploads/${path.basename(old)}/`;
        expect(await storage.keys(session)).toContain(`${session}state`);
        await storage.write(`${session}startedat`, "2020-01-02T03:04:05Z");
        return { storage, own, ours, made, young, old, session };
      }),
    );

    // It waits for a random number of minutes first, of 60: some run has to draw none. What it draws goes by the second or
    // by the process, so one is tried on each storage at a time, for as long as no bad luck lasts.
    let waiting = places;
    await until(
      "a run purges each storage",
      async () => {
        const purged = await Promise.all(
          waiting.map(async ({ storage, own, session }) => await purges(kind, storage, own, session)),
        );
        waiting = waiting.filter((_, i) => purged[i] !== true);
        return waiting.length === 0;
      },
      LUCK_MS,
    );

    for (const { ours, made, young, old } of places) {
      await ours.api.expect(404, "GET", old);
      await finishUpload(ours.api, young);
      expect((await ours.api.manifest("ours/a", "v1")).body.equals(made.bytes)).toBe(true);
    }
  });
});

/** Starts it, and waits for its purge if that comes at once. */
async function purges(kind: PeerKind, storage: Storage, folder: string, session: string): Promise<boolean> {
  const peer = await startPeer(kind, { ...storage.location, folder, purgeOlderThan: "1h" });
  try {
    if (!peer.lines.some((line) => line.includes("Starting upload purge in 0s"))) return false;
    await until("the old upload is gone", async () => (await storage.keys(session)).length === 0);
    return true;
  } finally {
    await peer.stop();
  }
}
