import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { sha256 } from "../support/api.ts";
import { run } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { describeCells } from "./cell.ts";
import { ownEnvironment } from "./client.ts";

describeCells({ name: "helm", family: "put" }, (place, cell) => {
  // A plus sign, which no tag may have, is an underscore in the registry.
  const version = "0.1.0+build.7";
  const tag = "0.1.0_build.7";
  let helm: (...args: string[]) => Promise<string>;
  let chart: string;

  beforeAll(async () => {
    const { server, folder, home } = place;
    const env = { ...(await ownEnvironment(home)), HELM_REGISTRY_CONFIG: path.join(home, "helm.json") };
    const trust = server.plainHttp ? ["--plain-http"] : ["--ca-file", server.caFile ?? ""];
    const program = tool("helm");
    helm = async (...args) => await run([program, ...args, ...trust], { env });
    if (server.user !== undefined) {
      const { name, password } = server.user;
      await helm("registry", "login", server.host, "-u", name, "-p", password);
    }
    await mkdir(path.join(folder, "chart1"));
    await writeFile(path.join(folder, "chart1/Chart.yaml"), `apiVersion: v2\nname: chart1\nversion: ${version}\n`);
    await writeFile(path.join(folder, "chart1/values.bin"), randomBytes(50_000));
    chart = path.join(folder, `chart1-${version}.tgz`);
    await run(["tar", "-C", folder, "-czf", chart, "chart1"]);
  });

  const push = async (): Promise<string> => await helm("push", chart, `oci://${place.server.host}/charts`);

  test("pushes a chart, and the registry holds every byte", async () => {
    const { server } = place;
    const log = await server.during(push);
    expect(log.filter(({ method }) => method === "PATCH")).toEqual([]);
    const { body } = await server.api.manifest("charts/chart1", tag);
    const manifest = JSON.parse(body.toString()) as { config: { digest: string }; layers: { digest: string }[] };
    const packed = sha256(await readFile(chart));
    expect(manifest.layers.map(({ digest }) => digest)).toEqual([packed]);
    for (const digest of [packed, manifest.config.digest]) {
      expect((await server.api.hashBlob("charts/chart1", digest)).digest).toBe(digest);
    }
    if (cell.signIn === "htpasswd") {
      expect(log.filter(({ status }) => status === 201).map(({ user }) => user)).not.toContain(undefined);
    }
  });

  test("pulls every byte back", async () => {
    const to = path.join(place.folder, "pulled");
    await mkdir(to);
    await helm("pull", `oci://${place.server.host}/charts/chart1`, "--version", version, "-d", to);
    expect((await readFile(path.join(to, path.basename(chart)))).equals(await readFile(chart))).toBe(true);
  });

  test("pushes again without sending the chart", async () => {
    const log = await place.server.during(push);
    expect(log.filter(({ uri }) => uri.includes("/blobs/uploads/"))).toEqual([]);
  });

  test("finds the newest version without being told", async () => {
    const shown = await helm("show", "chart", `oci://${place.server.host}/charts/chart1`);
    expect(shown).toContain(`version: ${version}`);
    expect(await place.server.api.tags("charts/chart1")).toEqual([tag]);
  });

  test("no longer finds a chart that was deleted", async () => {
    const { digest } = await place.server.api.manifest("charts/chart1", tag);
    await place.server.api.expect(202, "DELETE", `/v2/charts/chart1/manifests/${digest}`);
    await expect(helm("show", "chart", `oci://${place.server.host}/charts/chart1`)).rejects.toThrow();
  });
});
