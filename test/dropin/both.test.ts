/**
 * Both run at once on one storage. Some actors work at the same time, each in a repository of its own but all with the same
 * blobs, and each sends every request to one of the two by lot. After each step the other must show what the step did.
 * A run can be repeated: LADING_SEED=<the seed in the test's name>.
 */
import { randomInt } from "node:crypto";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { sha256, type Api } from "../support/api.ts";
import { json } from "../support/images.ts";
import { beside, PAIRS } from "./beside.ts";
import { makeManifest, pushMade, tagsOf, type Made } from "./content.ts";

const SEED = Number(process.env["LADING_SEED"] ?? randomInt(2 ** 31));
const ACTORS = 4;
/** In a bucket what each step costs is requests, and reading it all again more of them. */
const STEPS = { folder: 40, bucket: 12 };
const ROUNDS = { folder: 60, bucket: 15 };
const TAGS = ["v1", "v2", "latest"];

/** Numbers by lot, the same for the same seed. */
function lots(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * versitygw refuses a write with 409 while it removes the folder of another key beside it. We try again; the others give
 * their client a 500, which may push again.
 */
async function unlessContended(push: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await push();
      return;
    } catch (error) {
      if (tries === 5 || !String(error).includes("RequestFailure")) throw error;
    }
  }
}

describe.each(PAIRS)("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  test(`pushes, pulls, moves of tags and deletes through both, seed ${SEED}`, async () => {
    const [ours, peer] = await place.start();
    // Few blobs, so that the actors push the same ones at the same time.
    const shared = [0, 1, 2, 3].map((i) => Buffer.from(`layer ${i} of ${SEED} `.repeat(200)));
    const history: string[] = [];

    const act = async (actor: number): Promise<void> => {
      const lot = lots(SEED + actor);
      const pick = <T>(items: readonly T[]): T | undefined => items[lot(items.length)];
      const repository = `actor/n${actor}`;
      const manifests = new Map<string, Made>();
      const tags = new Map<string, string>();
      const deleted = new Set<string>();

      const check = async (api: Api): Promise<void> => {
        for (const [tag, digest] of tags) expect((await api.manifest(repository, tag)).digest).toBe(digest);
        for (const [digest, made] of manifests) {
          expect((await api.manifest(repository, digest)).body.equals(made.bytes)).toBe(true);
          for (const blob of made.blobs) {
            expect((await api.hashBlob(repository, sha256(blob))).digest).toBe(sha256(blob));
          }
        }
        for (const digest of deleted) await api.expect(404, "GET", `/v2/${repository}/manifests/${digest}`);
        expect((await tagsOf(api, repository)).sort()).toEqual([...tags.keys()].sort());
      };

      const push = async (api: Api): Promise<string> => {
        const layers = shared.filter(() => lot(2) === 1);
        const made = makeManifest({ blobs: [json({ actor, lot: lot(1e9) }), ...layers] });
        const tag = pick([...TAGS, undefined]);
        await pushMade(api, repository, made, tag ?? made.digest);
        manifests.set(made.digest, made);
        deleted.delete(made.digest);
        if (tag !== undefined) tags.set(tag, made.digest);
        return `push ${tag ?? "by digest"}`;
      };
      const move = async (api: Api): Promise<string> => {
        const [made, tag] = [pick([...manifests.values()]), pick(TAGS)];
        if (made === undefined || tag === undefined) return await push(api);
        expect((await api.putManifest(repository, tag, made.bytes)).status).toBe(201);
        tags.set(tag, made.digest);
        return `move ${tag}`;
      };
      const remove = async (api: Api): Promise<string> => {
        const digest = pick([...manifests.keys()]);
        if (digest === undefined) return await push(api);
        await api.expect(202, "DELETE", `/v2/${repository}/manifests/${digest}`);
        manifests.delete(digest);
        deleted.add(digest);
        for (const [tag, named] of tags) if (named === digest) tags.delete(tag);
        return "delete a manifest";
      };
      const untag = async (api: Api): Promise<string> => {
        const tag = pick([...tags.keys()]);
        if (tag === undefined) return await push(api);
        await (kind.deletesTags ? api : ours.api).expect(202, "DELETE", `/v2/${repository}/manifests/${tag}`);
        tags.delete(tag);
        return `delete ${tag}`;
      };

      for (let step = 0; step < STEPS[pair.storage.on]; step++) {
        const [one, other] = lot(2) === 1 ? [ours, peer] : [peer, ours];
        const operation = pick([push, push, push, move, move, remove, untag]) ?? push;
        const began = `actor ${actor}, step ${step}, through ${one === ours ? "us" : "it"}: ${operation.name}`;
        history.push(began);
        try {
          history.push(`${began}: ${await operation(one.api)}`);
          await check(other.api);
        } catch (error) {
          throw new Error(`${began}\n${String(error)}\nbefore:\n${history.slice(-30).join("\n")}`, { cause: error });
        }
      }
      await check(ours.api);
      await check(peer.api);
    };

    await Promise.all(Array.from({ length: ACTORS }, async (_, actor) => await act(actor)));
  });

  test("in one repository, one pushes while the other deletes what stands beside it", async () => {
    const [ours, peer] = await place.start();
    let done = false;
    const deleting = async (): Promise<number> => {
      let rounds = 0;
      for (; !done; rounds++) {
        const made = makeManifest();
        await pushMade(ours.api, "team/app", made, "mine");
        await ours.api.expect(202, "DELETE", `/v2/team/app/manifests/${made.digest}`);
      }
      return rounds;
    };
    const pushing = async (): Promise<void> => {
      try {
        for (let i = 0; i < ROUNDS[pair.storage.on]; i++) {
          const made = makeManifest();
          await unlessContended(async () => await pushMade(peer.api, "team/app", made, "theirs"));
          expect((await ours.api.manifest("team/app", "theirs")).body.equals(made.bytes)).toBe(true);
          await peer.api.expect(202, "DELETE", `/v2/team/app/manifests/${made.digest}`);
          await ours.api.expect(404, "GET", "/v2/team/app/manifests/theirs");
        }
      } finally {
        done = true;
      }
    };
    const [rounds] = await Promise.all([deleting(), pushing()]);
    expect(rounds).toBeGreaterThan(0);
  });
});

describe.each(PAIRS.filter(({ storage }) => storage.on === "folder"))("$name", (pair) => {
  const place = beside(pair);

  test("the end of an upload leaves the folder in which it may be about to begin one", async () => {
    // It makes `_uploads` and then the session's folder: removed in between, its client gets a 500.
    const ours = await place.startOurs();
    await pushMade(ours.api, "team/app", makeManifest(), "v1");
    const uploads = path.join(place.storage.location.root ?? "", "docker/registry/v2/repositories/team/app/_uploads");
    expect(await readdir(uploads)).toEqual([]);
  });
});
