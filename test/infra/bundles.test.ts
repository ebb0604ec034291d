/** The two functions that no client reaches, as they are deployed: loaded as Lambda does, and called. */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { lambdaNode } from "../cloud/cloud.ts";

interface Outcome {
  readonly failed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** As Lambda gives it. */
const CONTEXT = `{ functionName: "collector", getRemainingTimeInMillis: () => 900_000 }`;

/** Calls the handler of a bundle once, in a process that knows no more than this. */
async function call(bundle: string, event: object, env: Readonly<Record<string, string>>): Promise<Outcome> {
  const url = pathToFileURL(path.resolve("dist/functions", bundle, "index.mjs")).href;
  const program = `const { handler } = await import(${JSON.stringify(url)}); await handler(${JSON.stringify(event)}, ${CONTEXT});`;
  return await new Promise((resolve) => {
    execFile(lambdaNode().node, ["--input-type=module", "-e", program], { env }, (error, stdout, stderr) => {
      resolve({ failed: error !== null, stdout, stderr });
    });
  });
}

it("the collector does its night's work, and says so", async () => {
  const { failed, stdout } = await call("gc", {}, { REGISTRY_STORAGE: "inmemory" });
  expect(failed).toBe(false);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { msg: string });
  expect(lines.map(({ msg }) => msg)).toContain("purged abandoned uploads");
});

it("the collector fails where it is not told what it needs", async () => {
  const { failed, stderr } = await call("gc", {}, { REGISTRY_STORAGE: "nowhere" });
  expect(failed).toBe(true);
  expect(stderr).toContain("ConfigError");
});

it("the function for the secret asks Parameter Store with the rights that it is given", async () => {
  const asked: string[] = [];
  const store = createServer((request, response) => {
    asked.push(`${String(request.headers["x-amz-target"])} ${request.headers.authorization?.split(",")[0]}`);
    request.resume().on("end", () => {
      response.writeHead(400, { "content-type": "application/x-amz-json-1.1" });
      response.end(JSON.stringify({ __type: "ParameterNotFound", message: "no such parameter" }));
    });
  });
  await new Promise<void>((resolve) => store.listen(0, "127.0.0.1", resolve));
  try {
    const { failed, stderr } = await call(
      "secrets",
      { rotate: true, secret: "/lading/registry/secret" },
      {
        AWS_ENDPOINT_URL_SSM: `http://127.0.0.1:${(store.address() as AddressInfo).port}`,
        AWS_REGION: "eu-central-1",
        AWS_ACCESS_KEY_ID: "KEY",
        AWS_SECRET_ACCESS_KEY: "secret",
        AWS_SESSION_TOKEN: "token",
      },
    );
    expect(failed).toBe(true);
    expect(stderr).toContain("ParameterNotFound");
    expect(asked).toEqual([
      expect.stringMatching(/^AmazonSSM\.GetParameter AWS4-HMAC-SHA256 Credential=KEY\/.*\/eu-central-1\/ssm\//),
    ]);
  } finally {
    store.closeAllConnections();
    await new Promise((resolve) => store.close(resolve));
  }
});
