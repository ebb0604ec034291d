/** Which requests count as pulls, and that none of them is slower or fails for it. */
import { describe, expect, it } from "vitest";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { PullRecording } from "../../shared/registry/registry.ts";
import { listKeys } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp } from "../support/app.ts";
import { withFaults, type Verdict } from "../support/faults.ts";
import { pushImage } from "../support/manifests.ts";

const name = parseRepositoryName("a");

async function registry(recordPulls: PullRecording, onRecord: () => Verdict | Promise<Verdict> = () => "pass") {
  const driver = new MemoryDriver();
  const image = await pushImage(createTestApp(driver).send, name, "v1");
  const watched = withFaults(driver, async ({ key }) => (key.startsWith(layout.pulls) ? await onRecord() : "pass"));
  const app = createTestApp(watched, { registry: { recordPulls } });
  const records = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of listKeys(driver, layout.pulls)) if (key !== layout.pullsSince) keys.push(key);
    return keys;
  };
  return { ...app, image, records };
}

describe.each<PullRecording>(["after the answer", "before the answer"])("pulls that are recorded %s", (when) => {
  it.each([
    ["GET", (digest: string) => digest, 200],
    ["HEAD", (digest: string) => digest, 200],
    ["GET", () => "v1", 200],
    ["HEAD", () => "v1", 200],
  ] as const)("%s is one", async (method, reference, status) => {
    const { send, registry: served, image, records } = await registry(when);
    const monthNow = (): string => new Date().toISOString().slice(0, 7);
    const months = [monthNow()];
    expect((await send(method, `/v2/a/manifests/${reference(image.digest)}`)).status).toBe(status);
    if (when === "after the answer") await served.settled();
    months.push(monthNow());
    expect(months.map((month) => [layout.pull(month, name, image.digest)])).toContainEqual(await records());
  });

  it("what is not there is none, nor is a blob or a list", async () => {
    const { send, registry: served, image, records } = await registry(when);
    for (const path of [
      "manifests/v2",
      `manifests/sha256:${"0".repeat(64)}`,
      "tags/list",
      `referrers/${image.digest}`,
    ]) {
      await send("GET", `/v2/a/${path}`);
    }
    await served.settled();
    expect(await records()).toEqual([]);
  });

  it("a store that fails at it fails no pull", async () => {
    const { send, image, faults } = await registry(when, () => "before");
    expect((await send("GET", `/v2/a/manifests/${image.digest}`)).bytes.equals(image.bytes)).toBe(true);
    expect(faults).toEqual([]);
  });
});

it("an answer does not wait for the store where the process goes on afterwards", async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const {
    send,
    registry: served,
    records,
  } = await registry("after the answer", async (): Promise<Verdict> => {
    await gate;
    return "pass";
  });
  expect((await send("GET", "/v2/a/manifests/v1")).status).toBe(200);
  expect(await records()).toEqual([]);
  open();
  await served.settled();
  expect(await records()).toHaveLength(1);
});

it("nothing is recorded unless asked", async () => {
  const { send, registry: served, records } = await registry("never");
  await send("GET", "/v2/a/manifests/v1");
  await served.settled();
  expect(await records()).toEqual([]);
});
