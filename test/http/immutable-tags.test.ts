/** Tags that never name anything else: who may push what to them, and which of two pushes at one moment wins. */
import { beforeEach, describe, expect, it } from "vitest";
import { selectsTag } from "../../shared/oci/name-pattern.ts";
import { parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Reply, type Send } from "../support/app.ts";
import type { PlannedCall } from "../support/faults.ts";
import { freshApp } from "../support/fresh-app.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { everySchedule } from "../support/schedules.ts";
import { STORES } from "../support/stores.ts";

const isImmutable = selectsTag([{ repositories: ["prod/**"], tags: ["v*"], except: ["v*-rc*"] }]);
const REPOSITORY = "prod/app";
const one = imageOf([], { annotations: { number: "one" } });
const two = imageOf([], { annotations: { number: "two" } });
const name = parseRepositoryName(REPOSITORY);
const link = layout.tagLink(name, parseTag("v1"));

const named = async (send: Send, tag: string, repository = REPOSITORY): Promise<string | null> =>
  (await send("HEAD", `/v2/${repository}/manifests/${tag}`)).header("docker-content-digest");

describe.each(STORES)("immutable tags on %s", (_, makeStore) => {
  const on = freshApp(makeStore);
  const { send } = on;
  const put = async (reference: string, image = one, repository = REPOSITORY): Promise<Reply> =>
    await putManifest(send, repository, reference, image);

  beforeEach(async () => {
    on.restart({ isImmutable });
    for (const repository of [REPOSITORY, "other"]) await pushBlob(send, repository, CONFIG);
    expect((await put("v1")).status).toBe(201);
  });

  it.each<[what: string, reference: string, image: typeof one, repository: string, status: number]>([
    ["another manifest by the tag", "v1", two, REPOSITORY, 400],
    ["another manifest by its digest, with the tag", `${two.digest}?tag=v1`, two, REPOSITORY, 400],
    ["another manifest with a new tag and this one", `${two.digest}?tag=v2&tag=v1`, two, REPOSITORY, 400],
    ["the same manifest again", "v1", one, REPOSITORY, 201],
    ["the same manifest again by its digest", `${one.digest}?tag=v1`, one, REPOSITORY, 201],
    ["another manifest by a new tag", "v2", two, REPOSITORY, 201],
    ["another manifest by its digest alone", two.digest, two, REPOSITORY, 201],
  ])("a push of %s", async (_what, reference, image, repository, status) => {
    const reply = await put(reference, image, repository);
    expect(reply.status).toBe(status);
    expect(await named(send, "v1")).toBe(one.digest);
    if (status === 201) return;
    expect(reply.json()).toEqual({
      errors: [
        {
          code: "TAG_INVALID",
          // The words of ECR: kaniko looks for them.
          message:
            "The image tag 'v1' already exists in the 'prod/app' repository and cannot be overwritten because the tag is immutable.",
          detail: { tag: "v1", digest: one.digest },
        },
      ],
    });
    // It was refused before anything was written.
    expect((await send("HEAD", `/v2/${REPOSITORY}/manifests/${two.digest}`)).status).toBe(404);
    expect(await named(send, "v2")).toBeNull();
  });

  it.each([
    ["v1-rc1", REPOSITORY],
    ["latest", REPOSITORY],
    ["v1", "other"],
  ])("the tag %s of %s may move, and go", async (tag, repository) => {
    for (const image of [one, two]) {
      expect((await put(tag, image, repository)).status).toBe(201);
      expect(await named(send, tag, repository)).toBe(image.digest);
    }
    expect((await send("DELETE", `/v2/${repository}/manifests/${tag}`)).status).toBe(202);
  });

  it.each(["v1", one.digest])("DELETE of %s is refused, and takes nothing", async (reference) => {
    await put("latest");
    const reply = await send("DELETE", `/v2/${REPOSITORY}/manifests/${reference}`);
    expect([reply.status, reply.code]).toEqual([403, "DENIED"]);
    expect([await named(send, "v1"), await named(send, "latest")]).toEqual([one.digest, one.digest]);
  });

  it("of pushes by several processes at one moment, one wins", async () => {
    const images = Array.from({ length: 6 }, (_, number) => imageOf([], { annotations: { number: String(number) } }));
    const statuses = await Promise.all(
      images.map(async (image) => {
        const peer = createTestApp(on.store.peer(), { registry: { isImmutable } });
        return (await putManifest(peer.send, REPOSITORY, "v7", image)).status;
      }),
    );
    expect(statuses.toSorted()).toEqual([201, 400, 400, 400, 400, 400]);
    expect(await named(send, "v7")).toBe(images[statuses.indexOf(201)]?.digest);
  });

  it("what is pushed again is as young as the push", async () => {
    const before = (await on.store.driver.head(link))?.lastModified ?? new Date();
    // A store may tell whole seconds.
    await expect
      .poll(async () => {
        expect((await put("v1")).status).toBe(201);
        return ((await on.store.driver.head(link))?.lastModified ?? before).getTime() > before.getTime();
      })
      .toBe(true);
  });
});

it.each(["", "sha256:short", "x".repeat(3000)])("a link of %j leads nowhere, and is written over", async (text) => {
  const driver = new MemoryDriver();
  const { send } = createTestApp(driver, { registry: { isImmutable } });
  await pushBlob(send, REPOSITORY, CONFIG);
  await driver.put(link, Buffer.from(text));
  expect((await putManifest(send, REPOSITORY, "v1", one)).status).toBe(201);
  expect((await putManifest(send, REPOSITORY, "v1", two)).status).toBe(400);
  expect(await named(send, "v1")).toBe(one.digest);
});

it.each([
  ["two manifests, of which one wins", [one, two], 1],
  ["three manifests, of which one wins", [one, two, imageOf([], { annotations: { number: "three" } })], 1],
  ["one manifest twice, which is one", [one, one], 2],
])("of pushes of %s at one moment, in every order", async (_what, images, winners) => {
  const won = new Set<string>();
  const trials = await everySchedule(
    async () => {
      const driver = new MemoryDriver();
      await pushBlob(createTestApp(driver).send, REPOSITORY, CONFIG);
      const statuses: number[] = [];
      return {
        driver,
        processes: images.map((image, index) => async (gated) => {
          const { send } = createTestApp(gated, { registry: { isImmutable } });
          statuses[index] = (await putManifest(send, REPOSITORY, "v1", image)).status;
        }),
        check: async (order) => {
          const digest = await named(createTestApp(driver).send, "v1");
          const told = images.filter((_image, index) => statuses[index] === 201);
          expect(told, order.join("\n")).toHaveLength(winners);
          expect(new Set(told.map((image) => image.digest)), order.join("\n")).toEqual(new Set([digest]));
          expect(statuses.filter((status) => status !== 201 && status !== 400)).toEqual([]);
          won.add(digest ?? "");
        },
      };
    },
    ({ key }: PlannedCall) => key === link,
  );
  expect(trials).toBeGreaterThan(5);
  expect(won).toEqual(new Set(images.map((image) => image.digest)));
});
