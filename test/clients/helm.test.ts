import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { sha256 } from "../support/api.ts";
import { run } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { describeCells } from "./cell.ts";
import { ownEnvironment } from "./client.ts";

describeCells({ name: "helm", family: "put", staysOnHost: true }, (place, cell) => {
  // A plus sign, which no tag may have, is an underscore in the registry.
  const version = "0.1.0+build.7";
  const tag = "0.1.0_build.7";
  let helm: (...args: string[]) => Promise<string>;
  let chart: string;
  let makeChart: (name: string, fileSizes: readonly number[]) => Promise<string>;

  beforeAll(async () => {
    const { server, folder, home } = place;
    const env = { ...(await ownEnvironment(home)), HELM_REGISTRY_CONFIG: path.join(home, "helm.json") };
    const trust = server.plainHttp ? ["--plain-http"] : ["--ca-file", server.caFile ?? ""];
    const program = tool("helm");
    helm = async (...args) => await run([program, ...args, ...trust], { env });
    for (const host of [server.host, server.uploadsHost]) {
      if (server.user === undefined || host === undefined) continue;
      await helm("registry", "login", host, "-u", server.user.name, "-p", server.user.password);
    }
    makeChart = async (name, fileSizes) => {
      await mkdir(path.join(folder, name));
      await writeFile(path.join(folder, name, "Chart.yaml"), `apiVersion: v2\nname: ${name}\nversion: ${version}\n`);
      for (const [i, bytes] of fileSizes.entries()) {
        await writeFile(path.join(folder, name, `content-${i}.bin`), randomBytes(bytes));
      }
      const file = path.join(folder, `${name}-${version}.tgz`);
      await run(["tar", "-C", folder, "-czf", file, name]);
      return file;
    };
    chart = await makeChart("chart1", [50_000]);
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

  if (cell.host === "cloud") {
    // Helm takes files of at most 5 MiB, and charts of at most 32 MiB.
    test.each<[megabytes: number, name: string, files: number, where: "host" | "uploadsHost"]>([
      [4, "medium", 1, "host"],
      [28, "large", 7, "uploadsHost"],
    ])("moves a chart of %d MB, %s, %d files, at the address %s", async (_, name, files, where) => {
      const { server, folder } = place;
      const at = `oci://${server[where] ?? ""}/charts`;
      const packed = await makeChart(
        name,
        Array.from({ length: files }, () => 4_000_000),
      );
      await helm("push", packed, at);
      const to = path.join(folder, `pulled-${name}`);
      await mkdir(to);
      await helm("pull", `${at}/${name}`, "--version", version, "-d", to);
      expect((await readFile(path.join(to, path.basename(packed)))).equals(await readFile(packed))).toBe(true);
    });
  }
});
