/** What a run costs, and how that grows: requests, and what memory its tables take. bench/gc.ts does it with a million. */
import { describe, expect, it } from "vitest";
import { Collector } from "../../shared/gc/collector.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { layout } from "../../shared/registry/layout.ts";
import { DEFAULTS, nameOf, TIMES } from "./support.ts";
import { SimulatedStore } from "./simulated-store.ts";

/** Requests of a run that do not grow with what is stored: lease, marks, summary, ends of ranges listed side by side. */
const CONSTANT = 60;

describe.each([10_000, 100_000])("a run over %i blobs", (blobs) => {
  it("takes one LIST for 1,000 keys and one GET for each manifest not seen before, and all of the garbage", async () => {
    const store = new SimulatedStore(blobs);
    const collect = async () => {
      Object.assign(store.requests, { list: 0, get: 0, put: 0, delete: 0 });
      const summary = await new Collector(store, DEFAULTS).run();
      store.time += TIMES.settleMs + 60_000;
      return { summary, requests: { ...store.requests } };
    };
    store.time += TIMES.horizonMs + 60_000;
    const { garbage, keys, manifests, repositories } = store;

    const first = await collect();
    expect(first.summary).toMatchObject({
      outcome: "done",
      blobs,
      repositories,
      manifestsRead: manifests,
      eligible: garbage,
    });
    expect(first.summary).toMatchObject({ condemned: garbage, deleted: 0, incomplete: 0, marked: blobs - garbage });
    expect(first.requests.list).toBeLessThan(keys / 1000 + CONSTANT);
    expect(first.requests.get).toBeLessThan(manifests + CONSTANT);
    expect(first.requests.put).toBeLessThan(garbage + CONSTANT);

    const second = await collect();
    expect(second.summary).toMatchObject({ outcome: "done", manifestsRead: 0, deleted: garbage, lost: 0, refused: 0 });
    expect(second.requests.list).toBeLessThan((keys + garbage) / 1000 + CONSTANT);
    expect(second.requests.get).toBeLessThan(garbage / 500 + CONSTANT);
    expect(second.requests.put).toBeLessThan(2 * garbage + garbage / 500 + CONSTANT);
    expect(second.requests.delete).toBeLessThan(garbage / 200 + CONSTANT);
    for (let blob = 0; blob < blobs; blob += 37) expect(store.has(blob)).toBe(!store.isGarbage(blob));

    // A night after some pushes costs what was pushed.
    const pushes = 100;
    for (let i = 0; i < pushes; i++) await push(store, nameOf(store.repositoryName(i)), i);
    const third = await collect();
    expect(third.summary).toMatchObject({ outcome: "done", manifestsRead: pushes, eligible: 0 });
    expect(third.requests.get).toBeLessThan(pushes + CONSTANT);
    expect(third.requests.put).toBeLessThan(CONSTANT);
  });
});

async function push(store: SimulatedStore, name: ReturnType<typeof nameOf>, number: number): Promise<void> {
  const put = async (bytes: Buffer, link: (digest: Digest) => string): Promise<Digest> => {
    const digest = digestOf("sha256", bytes);
    await store.put(layout.blob(digest), bytes);
    await store.put(link(digest), Buffer.from(digest));
    return digest;
  };
  const config = await put(Buffer.from(`pushed ${number}`), (digest) => layout.layerLink(name, digest));
  const descriptor = { mediaType: "application/octet-stream", digest: config, size: 8 };
  const manifest = { schemaVersion: 2, config: descriptor, layers: [] };
  await put(Buffer.from(JSON.stringify(manifest)), (digest) => layout.revisionLink(name, digest));
}
