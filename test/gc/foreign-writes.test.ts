import { describe, expect, it } from "vitest";
import type { Summary } from "../../shared/gc/summary.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import type { ListOptions, ListPage } from "../../shared/storage/driver.ts";
import { createTestApp } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import { withFaults } from "../support/faults.ts";
import {
  CONFIG,
  CONFIG_TYPE,
  descriptorOf,
  imageOf,
  manifestOf,
  pushBlob,
  putManifest,
  type TestManifest,
} from "../support/manifests.ts";
import { nameOf, TIMES, World } from "./support.ts";

const REPOSITORY = "r";
const OLD = "old layer";

/** A push to a repository that has OLD for long, by us or by who renews no links; then a run, a while later. */
async function collectAfterPush(image: TestManifest, by: "us" | "another"): Promise<Summary> {
  const world = new World();
  const now = () => new Date(world.time);
  const { send } = createTestApp(world.driver, { registry: { times: TIMES, now, pause: async () => undefined } });
  for (const content of [CONFIG, OLD]) await pushBlob(send, REPOSITORY, content);
  expect((await putManifest(send, REPOSITORY, "v1", imageOf([OLD]))).status).toBe(201);
  world.age();
  await pushBlob(send, REPOSITORY, "new layer");
  if (by === "us") {
    expect((await putManifest(send, REPOSITORY, "v2", image)).status).toBe(201);
  } else {
    await world.driver.put(layout.blob(image.digest), image.bytes);
    await writeLink(world.driver, layout.revisionLink(nameOf(REPOSITORY), image.digest), image.digest);
  }
  world.time += 60 * 60 * 1000;
  // Once as it is read, and once as it is remembered.
  const first = await world.collect();
  expect((await world.collect()).outcome).toBe(first.outcome);
  return first;
}

describe("a push of ours is none of another registry's, though it refers to something by an old link:", () => {
  const layers = [descriptorOf("new layer")];
  const old = descriptorOf(OLD, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
  const pushes = {
    "a layer that may not be distributed": imageOf([], { layers: [old, ...layers] }),
    "an annotation, beside manifests that are null": manifestOf({
      schemaVersion: 2,
      config: descriptorOf(CONFIG, CONFIG_TYPE),
      layers,
      manifests: null,
      annotations: { base: sha256(OLD) },
    }),
    "a layer": imageOf([OLD, "new layer"]),
  };

  it.each(Object.entries(pushes))("%s", async (_, image) => {
    const { outcome, reason } = await collectAfterPush(image, "us");
    expect({ outcome, reason }).toEqual({ outcome: "done", reason: undefined });
  });

  it("one of a manifest that is known, which came after the links were listed and before the revisions", async () => {
    const world = new World();
    const now = () => new Date(world.time);
    const { send } = createTestApp(world.driver, { registry: { times: TIMES, now, pause: async () => undefined } });
    for (const content of [CONFIG, OLD]) await pushBlob(send, REPOSITORY, content);
    expect((await putManifest(send, REPOSITORY, "v1", imageOf([OLD]))).status).toBe(201);
    world.age();
    const { driver } = world;
    let pushed = false;
    const list = async (prefix: string, options?: ListOptions): Promise<ListPage> => {
      const page = await driver.list(prefix, options);
      const links = page.objects.filter(({ key }) => key.includes("/_layers/"));
      if (pushed || links.length === 0) return page;
      pushed = true;
      expect((await putManifest(send, REPOSITORY, "v2", imageOf([OLD]))).status).toBe(201);
      const after = await driver.list(prefix, options);
      return { ...after, objects: [...links, ...after.objects.filter(({ key }) => !key.includes("/_layers/"))] };
    };
    const pushing = { ...withFaults(driver, () => "pass"), list };
    const { outcome, reason } = await world.collect({}, pushing);
    expect({ pushed, outcome, reason }).toEqual({ pushed: true, outcome: "done", reason: undefined });
  });

  it("but one that wrote no link again is", async () => {
    const { outcome, reason } = await collectAfterPush(pushes["a layer"], "another");
    expect(outcome).toBe("failed");
    expect(reason).toContain("relying on its old link to");
  });
});
