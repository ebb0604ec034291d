/** What a person calls: `npx cdk synth`, on a machine that knows of no account and has no network. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(path.join(tmpdir(), "lading-synth-"));
afterAll(() => rmSync(folder, { recursive: true }));

function synth(...context: string[]): { status: number | null; stderr: string; seconds: number; output: string } {
  const output = path.join(folder, String(context.length));
  const nowhere = "http://127.0.0.1:9";
  const began = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      "node_modules/aws-cdk/bin/cdk",
      "synth",
      "--quiet",
      "--output",
      output,
      ...context.flatMap((pair) => ["-c", pair]),
    ],
    {
      encoding: "utf8",
      // Whoever asks for something over the network gets nowhere.
      env: {
        PATH: process.env["PATH"],
        HOME: folder,
        HTTP_PROXY: nowhere,
        HTTPS_PROXY: nowhere,
        AWS_EC2_METADATA_DISABLED: "true",
        CI: "true",
      },
    },
  );
  return { status, stderr, seconds: (performance.now() - began) / 1000, output };
}

describe("cdk synth", () => {
  it("needs no credentials and no network, and says how long it took", () => {
    const { status, stderr, seconds, output } = synth();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    process.stdout.write(`cdk synth took ${seconds.toFixed(1)} s\n`);
    const template = JSON.parse(readFileSync(path.join(output, "lading-registry.template.json"), "utf8")) as {
      Resources: object;
    };
    expect(Object.keys(template.Resources).length).toBeGreaterThan(40);
  });

  it("deploys what the build made and the suites run, byte for byte", () => {
    const output = path.join(folder, "0");
    const deployed = readdirSync(output).filter((name) => name.startsWith("asset."));
    const filesOf = (place: string): Record<string, string> =>
      Object.fromEntries(readdirSync(place).map((name) => [name, readFileSync(path.join(place, name), "utf8")]));
    const contents = deployed.map((name) => filesOf(path.join(output, name)));
    for (const name of ["registry", "uploads", "gc", "secrets"]) {
      const built = filesOf(path.join("dist/functions", name));
      expect(Object.keys(built)).toContain("package.json");
      expect(
        contents.some((files) => isDeepStrictEqual(files, built)),
        name,
      ).toBe(true);
    }
    // And what the CDK copies the upload function's bundle with.
    expect(deployed).toHaveLength(5);
  });

  it("says what is wrong in a sentence each, and nothing of the code", () => {
    const { status, stderr } = synth("domainName=registry.example.com", "gcShedule=cron(0 3 * * ? *)");
    expect(status).toBe(1);
    const lines = stderr.trim().split("\n");
    expect(lines.slice(0, 2)).toEqual([
      "gcShedule is not a setting; did you mean gcSchedule?",
      "domainName needs certificateArn: the certificate for that name",
    ]);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
