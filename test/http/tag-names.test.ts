/** Tags that are called as parts of keys and paths are: to a registry they are tags like any other. */
import { beforeEach, describe, expect, it } from "vitest";
import { Collector } from "../../shared/gc/collector.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listChildren, listKeys } from "../../shared/storage/driver.ts";
import type { Finding } from "../../shared/verify/finding.ts";
import { verify } from "../../shared/verify/verify.ts";
import { freshApp } from "../support/fresh-app.ts";
import { CONFIG, imageOf, pushBlob, putManifest } from "../support/manifests.ts";
import { STORES } from "../support/stores.ts";

const TAGS = [
  ...["_uploads", "_layers", "_manifests", "_referrers", "_catalog", "_gc", "_", "__proto__", "constructor"],
  ...["tags", "list", "revisions", "current", "index", "link", "data", "startedat", "state", "sha256", "sha512"],
  ...["manifests", "blobs", "uploads", "referrers", "repositories", "docker", "v2", "a..", "x".repeat(128)],
].sort();
const REPOSITORY = "a/blobs";
const imageOfTag = (tag: string) => imageOf(["layer"], { annotations: { tag } });

describe.each(STORES)("tags with names of the layout on %s", (_, makeStore) => {
  const on = freshApp(makeStore);
  const { send } = on;
  const listed = async (): Promise<unknown> => (await send("GET", `/v2/${REPOSITORY}/tags/list`)).json();

  beforeEach(async () => {
    for (const content of [CONFIG, "layer"]) await pushBlob(send, REPOSITORY, content);
    for (const tag of TAGS) {
      expect([tag, (await putManifest(send, REPOSITORY, tag, imageOfTag(tag))).status]).toEqual([tag, 201]);
    }
  });

  it("are listed, and pulled", async () => {
    expect(await listed()).toEqual({ name: REPOSITORY, tags: TAGS });
    for (const tag of TAGS) {
      const reply = await send("GET", `/v2/${REPOSITORY}/manifests/${tag}`);
      expect([tag, reply.status, reply.bytes.equals(imageOfTag(tag).bytes)]).toEqual([tag, 200, true]);
    }
  });

  it("are deleted, and leave nothing", async () => {
    for (const tag of TAGS) {
      expect([tag, (await send("DELETE", `/v2/${REPOSITORY}/manifests/${tag}`)).status]).toEqual([tag, 202]);
      expect((await send("HEAD", `/v2/${REPOSITORY}/manifests/${tag}`)).status).toBe(404);
    }
    expect(await listed()).toEqual({ name: REPOSITORY, tags: [] });
    for (const part of on.store.driver.parts ?? [on.store.driver]) {
      expect(await listChildren(part, `${layout.manifests(REPOSITORY)}tags/`)).toEqual([]);
    }
  });

  it("keep their images from a collection of what is untagged", async () => {
    const untagged = imageOf(["layer"]);
    await putManifest(send, REPOSITORY, untagged.digest, untagged);
    const times = gcTimes(2, { promiseMs: 1 });
    const eligible = async (): Promise<(string | undefined)[]> => {
      const found: (string | undefined)[] = [];
      const collector = new Collector(on.store.driver, {
        ...{ times, retention: deleteUntagged, dryRun: true, force: true, setAside: false },
        ...{ trashMs: Infinity, uploadAgeMs: undefined },
        report: (event) => {
          if (event.kind === "eligible") found.push(event.digest);
        },
      });
      expect(await collector.run()).toMatchObject({ outcome: "done" });
      return found;
    };
    // Once the youngest is old enough, all are.
    await expect.poll(eligible).toContain(untagged.digest);
    expect(await eligible()).toEqual([untagged.digest]);
    for await (const { key } of listKeys(on.store.driver, layout.gcRuns)) await on.store.driver.delete(key);
    for await (const { key } of listKeys(on.store.driver, layout.gcReferences)) await on.store.driver.delete(key);
  });

  it("are sound to who reads everything", async () => {
    const findings: Finding[] = [];
    const options = { times: gcTimes(), repair: false, reads: 4, allowSparse: false, allowSparseIndexes: false };
    const verified = await verify(on.store.driver, { ...options, report: (finding) => findings.push(finding) });
    expect(findings).toEqual([]);
    expect(verified).toMatchObject({ repositories: 1, links: 2 + 3 * TAGS.length });
  });
});
