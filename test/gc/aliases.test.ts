/** Content that older registries stored under its sha256, though it was pushed, and is named, by its sha512. */
import { describe, expect, it } from "vitest";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { createTestApp, type Send } from "../support/app.ts";
import { sha256, sha512 } from "../support/bodies.ts";
import { CONFIG, descriptorOf, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { nameOf, TIMES, World } from "./support.ts";

const LAYER = "layer by sha512";
const STORED = sha256(LAYER);
const ALIAS = sha512(LAYER);
const IMAGE = imageOf([], { layers: [{ ...descriptorOf(LAYER), digest: ALIAS }] });

/** As they left it: bytes by sha256, links by both. */
async function leaveAlias(world: World, repository: string): Promise<void> {
  await world.driver.put(layout.blob(STORED), Buffer.from(LAYER));
  for (const digest of [STORED, ALIAS])
    await writeLink(world.driver, layout.layerLink(nameOf(repository), digest), STORED);
}

function registryOf(world: World): Send {
  const now = () => new Date(world.time);
  return createTestApp(world.driver, { registry: { times: TIMES, now, pause: async () => undefined } }).send;
}

async function statusOf(send: Send, repository: string, digest: Digest): Promise<number> {
  return (await send("GET", `/v2/${repository}/blobs/${digest}`)).status;
}

describe("a layer by its alias", () => {
  it("stays, though somebody pushed the same bytes by sha512 elsewhere", async () => {
    const world = new World();
    const send = registryOf(world);
    await leaveAlias(world, "r");
    await pushBlob(send, "r", CONFIG);
    expect((await putManifest(send, "r", "v1", IMAGE)).status).toBe(201);
    const pushed = await send("POST", `/v2/other/blobs/uploads/?digest=${ALIAS}`, { body: LAYER });
    expect(pushed.status).toBe(201);
    world.age();
    const [first] = await world.collectTwice();
    expect(first.outcome).toBe("done");
    expect(await statusOf(send, "r", ALIAS)).toBe(200);
    // By what stands in a manifest, the other may be the one that is meant.
    expect(await statusOf(send, "other", ALIAS)).toBe(200);
    await world.deleteManifest("r", IMAGE.digest);
    world.age();
    await world.collectTwice();
    expect([await world.has(STORED), await world.has(ALIAS)]).toEqual([false, false]);
  });

  it("that a push of ours relies on is no sign of another registry", async () => {
    const world = new World();
    const send = registryOf(world);
    await leaveAlias(world, "r");
    world.age();
    await pushBlob(send, "r", CONFIG);
    expect((await putManifest(send, "r", "v1", IMAGE)).status).toBe(201);
    expect((await world.collect()).outcome).toBe("done");
    // Where somebody else pushed it, the link to it is older than what the push may leave.
    world.age();
    await writeLink(world.driver, layout.revisionLink(nameOf("r"), IMAGE.digest), IMAGE.digest);
    expect((await world.collect()).reason).toContain(`relying on its old link to`);
  });
});

describe("a manifest by another digest", () => {
  it.each([
    ["its sha512", "sha512"],
    ["an algorithm that we do not know", "sha384"],
  ])("%s, keeps its children and their layers where untagged manifests go", async (_, algorithm) => {
    const world = new World();
    const child = await world.image("r", ["layer of a child"]);
    const index = await world.index("r", [child.digest]);
    await world.deleteManifest("r", index);
    const hex = algorithm === "sha512" ? sha512("index").slice("sha512:".length) : "a".repeat(96);
    const link = `${layout.repositories}r/_manifests/revisions/${algorithm}/${hex}/link`;
    await world.driver.put(link, Buffer.from(index));
    const untagged = await world.image("r", ["layer of an untagged one"]);
    world.age();
    for (let run = 0; run < 4; run++) expect((await world.collect({ retention: deleteUntagged })).outcome).toBe("done");
    expect(await world.hasRevision("r", child.digest)).toBe(true);
    expect(await world.has(index)).toBe(true);
    for (const blob of child.blobs) expect(await world.has(blob)).toBe(true);
    expect(await world.hasRevision("r", untagged.digest)).toBe(false);
  });
});
