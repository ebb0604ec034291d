/** `lading verify` as it is run, over a folder that a registry serves at the same time: what it prints where, how it ends. */
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parseDigest } from "../../shared/oci/digest.ts";
import { parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Finding } from "../../shared/verify/finding.ts";
import type { Verified } from "../../shared/verify/verify.ts";
import { sha256 } from "../support/bodies.ts";
import { startLading, type Lading } from "../support/lading.ts";
import { CONFIG, imageOf } from "../support/manifests.ts";
import { runAny } from "../support/process.ts";
import { removeFolder, temporaryFolder } from "../support/temp.ts";

const name = parseRepositoryName("team/app");
const layer = Buffer.from("a layer");
const image = imageOf([layer]);
const layerLink = layout.layerLink(name, parseDigest(sha256(layer)));
const tagLink = layout.tagLink(name, parseTag("v1"));

let folder: string;
let lading: Lading;
let config: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  lading = await startLading({ folder });
  config = path.join(folder, "config.yml");
  for (const blob of [CONFIG, layer]) await lading.api.pushBlob(name, Buffer.from(blob));
  expect((await lading.api.putManifest(name, "v1", image.bytes, image.mediaType)).status).toBe(201);
});

afterEach(async () => {
  await lading.stop();
  await removeFolder(folder);
});

const verify = async (args: readonly string[], env: Record<string, string> = {}) =>
  await runAny([process.execPath, "dist/lading.js", "verify", ...args], { env });

const damage = async (key: string): Promise<void> => await writeFile(path.join(lading.root, key), "x");

/** The lines of standard output, each of which must be JSON. */
function linesOf(stdout: string): { findings: Finding[]; summary: Verified | undefined } {
  const lines = stdout.split("\n");
  expect(lines.pop()).toBe("");
  const objects = lines.map((line) => JSON.parse(line) as Finding | { summary: Verified });
  const last = objects.at(-1);
  return {
    findings: objects.filter((object) => "kind" in object),
    summary: last !== undefined && "summary" in last ? last.summary : undefined,
  };
}

it("prints nothing but JSON, and ends with what it found", async () => {
  const whole = await verify(["--json", config]);
  expect(whole).toMatchObject({ code: 0, stderr: "" });
  const counts = { repositories: 1, damages: 0, notes: 0, repaired: 0, repairable: 0 };
  expect(linesOf(whole.stdout)).toEqual({
    findings: [],
    summary: { blobs: 3, bytes: CONFIG.length + layer.length + image.bytes.length, links: 5, ...counts },
  });

  await damage(layerLink);
  await damage(tagLink);
  const malformed = { kind: "link malformed", key: layerLink, repository: name, digest: sha256(layer) };
  const tag = { kind: "tag malformed", key: tagLink, repository: name, tag: "v1" };
  for (const [flag, repair, damages] of [
    ["--json", "possible", 2],
    ["--repair", "done", 1],
  ] as const) {
    const { code, stdout } = await verify(["--json", flag, config]);
    expect(code).toBe(1);
    const { findings, summary } = linesOf(stdout);
    expect(findings).toHaveLength(2);
    expect(findings).toEqual(
      expect.arrayContaining([expect.objectContaining({ ...malformed, repair }), expect.objectContaining(tag)]),
    );
    expect(summary).toMatchObject({ damages, repaired: 2 - damages });
  }
  expect(await readFile(path.join(lading.root, layerLink), "utf8")).toBe(sha256(layer));
  await lading.api.expect(200, "GET", `/v2/${name}/blobs/${sha256(layer)}`);

  await lading.api.putManifest(name, "v1", image.bytes, image.mediaType);
  expect((await verify(["--json", config])).code).toBe(0);
});

it("says the same in words, and with --quiet only what is damaged", async () => {
  const env = { REGISTRY_CONFIGURATION_PATH: config };
  expect((await verify([], env)).stdout).toMatch(
    /^3 blobs \(.*\), 1 repository, 5 links read in \/\S+\n0 damaged, 0 to know\n$/,
  );
  expect(await verify(["-q", config])).toEqual({ code: 0, stdout: "", stderr: "" });
  await damage(layerLink);
  const line = `link malformed: ${layerLink}: it holds no digest`;
  const first = await verify([config]);
  expect(first).toMatchObject({ code: 1, stderr: "" });
  expect(first.stdout).toContain(`DAMAGE    ${line} (--repair sees to it)\n`);
  expect(first.stdout).toContain("1 damaged, 0 to know; --repair would see to 1 of them\n");
  expect(await verify(["-q", config])).toEqual({
    code: 1,
    stdout: `DAMAGE    ${line} (--repair sees to it)\n`,
    stderr: "",
  });
  const repaired = await verify(["--repair", config]);
  expect(repaired.code).toBe(0);
  expect(repaired.stdout).toContain(`repaired  ${line} (repaired)\n`);
  expect(repaired.stdout).toContain("0 damaged, 0 to know, 1 repaired\n");
  expect(await verify(["-q", config])).toEqual({ code: 0, stdout: "", stderr: "" });
});

it("ends with 2 where it is called wrongly, and with 1 where nothing can be looked at", async () => {
  const wrong = await verify(["--repare", config]);
  expect(wrong).toMatchObject({ code: 2, stdout: "" });
  expect(wrong.stderr).toMatch(/^lading verify: .*--repare[^]*usage: lading verify/);
  expect(await verify([config, config])).toMatchObject({ code: 2, stdout: "" });
  expect(await verify(["--help"])).toMatchObject({ code: 0, stderr: "" });
  expect(await verify(["--json", "nowhere.yml"])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^lading verify: the configuration nowhere.yml cannot be read/) as string,
  });
  const memory = await verify(["--json"], { REGISTRY_STORAGE: "inmemory" });
  expect(memory).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("inmemory") as string });

  const at = (root: string): Record<string, string> => ({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root });
  const unmounted = path.join(folder, "not-mounted");
  expect(await verify(["--quiet"], at(unmounted))).toEqual({
    code: 1,
    stdout: "",
    stderr: `lading verify: nothing of a registry is stored in ${unmounted}: is it the right place, and is it mounted?\n`,
  });

  // What cannot be listed: there is no summary of what was not looked at.
  const broken = path.join(folder, "broken", layout.root);
  await mkdir(broken, { recursive: true });
  await mkdir(path.join(broken, "_catalog"));
  await writeFile(path.join(folder, "broken", layout.catalogComplete), "x");
  await symlink("repositories", path.join(broken, "repositories"));
  const unlisted = await verify(["--json"], at(path.join(folder, "broken")));
  expect(unlisted).toMatchObject({ code: 1, stdout: "" });
  expect(unlisted.stderr).toMatch(/lading verify: .*ELOOP.*\n$/);
});
