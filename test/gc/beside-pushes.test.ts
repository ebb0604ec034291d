/** Collections beside pushes of a real registry, in an order that a seed decides; print the seed of a failure and set it here. */
import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { deleteUntagged, keepAll } from "../../shared/gc/retention.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { createTestApp } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { TIMES, World } from "./support.ts";

const ROUNDS = 60;
const MINUTE = 60_000;

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  "take nothing that was acknowledged, and leave no garbage (seed %i)",
  async (seed) => {
    const random = randomOf(seed);
    const upTo = (count: number): number => Math.floor(random() * count);
    const world = new World();
    /** Each call comes a little later than it was made, so that those of all interleave. */
    const slow = (): StorageDriver =>
      withFaults(world.driver, async (): Promise<Verdict> => {
        for (let turns = upTo(4); turns > 0; turns--) await setImmediate();
        return "pass";
      });
    const times = { times: TIMES, now: () => new Date(world.time), pause: async () => await setImmediate() };
    const { send } = createTestApp(slow(), { registry: times });
    /** What tags were acknowledged to name. */
    const tags = new Map<string, ReturnType<typeof imageOf>>();
    const counts = { pushed: 0, skipped: 0, refused: 0, deleted: 0 };
    const retention = seed % 2 === 0 ? keepAll : deleteUntagged;

    const push = async (): Promise<void> => {
      const repository = `r${upTo(2)}`;
      const tag = `t${upTo(3)}`;
      const image = imageOf([`layer ${upTo(5)}`]);
      const contents = [CONFIG, ...["0", "1", "2", "3", "4"].map((it) => `layer ${it}`)];
      const wanted = contents.filter((content) => image.bytes.includes(sha256(content)));
      for (const content of wanted) {
        const head = await send("HEAD", `/v2/${repository}/blobs/${sha256(content)}`);
        if (head.status === 200) counts.skipped++;
        else if ((await pushBlob(send, repository, content).catch(() => undefined)) === undefined) {
          counts.refused++;
          return;
        }
      }
      const key = `${repository}:${tag}`;
      const before = tags.get(key);
      tags.delete(key);
      const reply = await putManifest(send, repository, tag, image);
      if (reply.status === 201) tags.set(key, image);
      else if (before !== undefined) tags.set(key, before);
      counts[reply.status === 201 ? "pushed" : "refused"]++;
    };
    const untag = async (): Promise<void> => {
      const [key] = [...tags.keys()];
      if (key === undefined || upTo(2) === 0) return;
      const [repository = "", tag = ""] = key.split(":");
      tags.delete(key);
      expect((await send("DELETE", `/v2/${repository}/manifests/${tag}`)).status).toBe(202);
    };
    const collect = async (): Promise<void> => {
      let ticks = 0;
      const collector = world.collector({ retention, elapsed: () => (ticks += 1) }, slow());
      // Sometimes only a part of a run, that another goes on with hours later.
      const outcome = await collector.step({ ms: 1 + upTo(30) });
      if (outcome.state === "done") {
        expect(outcome.summary.reason).toBeUndefined();
        counts.deleted += outcome.summary.deleted;
      }
    };
    const complete = async (): Promise<void> => {
      for (const [key, image] of tags) {
        const [repository = "", tag = ""] = key.split(":");
        const where = `seed ${seed}: ${key}`;
        const reply = await send("GET", `/v2/${repository}/manifests/${tag}`);
        expect([where, reply.status, sha256(reply.bytes)]).toEqual([where, 200, image.digest]);
        for (const [digest] of image.bytes.toString().matchAll(/sha256:[0-9a-f]{64}/g)) {
          expect([where, (await send("GET", `/v2/${repository}/blobs/${digest}`)).status]).toEqual([where, 200]);
        }
      }
    };

    for (let round = 0; round < ROUNDS; round++) {
      // One push at a time, since of two to one tag either may win.
      await Promise.all([upTo(3) === 0 ? untag() : push(), collect(), upTo(3) === 0 ? collect() : undefined]);
      await complete();
      world.time += upTo(2) === 0 ? upTo(30) * MINUTE : upTo(50) * 60 * MINUTE;
    }
    expect(counts.pushed).toBeGreaterThan(10);
    expect(counts.skipped).toBeGreaterThan(0);

    // All that is left is what tags name, once everything is older than the horizon.
    for (const key of tags.keys()) await send("DELETE", `/v2/${key.replace(":", "/manifests/")}`);
    for (let night = 0; night < 8; night++) {
      world.age();
      await world.collect({ retention: deleteUntagged });
    }
    expect((await world.keys()).filter((key) => key.startsWith(layout.blobs))).toEqual([]);
  },
);

/** Numbers from 0 to 1 that follow from a seed. */
function randomOf(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
