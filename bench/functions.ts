/** The Lambda functions: what their bundles weigh, and how long one takes from its start to its first answer. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { rotated, Samples } from "./samples.ts";

/** The rows of the samples, in milliseconds. */
export const FIRST_ANSWER = "process start to the first answer (GET /v2/)";
export const FIRST_FROM_STORE = "the same, of one that asks the bucket (HEAD of a manifest that is not there)";
/** The names of what is compared. */
export const FUNCTION = "event function";
export const EMPTY = "empty handler";

/** Kilobytes of 1,000 bytes. */
export interface Weight {
  readonly name: string;
  readonly kb: number;
  readonly gzipped: number;
}

/** Each of the folders that would be deployed. */
export function weighBundles(): Weight[] {
  return ["registry", "uploads"].map((name) => {
    const folder = path.join("dist/functions", name);
    const files = readdirSync(folder).map((file) => path.join(folder, file));
    const sum = (size: (file: string) => number): number => files.reduce((total, file) => total + size(file), 0) / 1000;
    return {
      name,
      kb: sum((file) => statSync(file).size),
      gzipped: sum((file) => gzipSync(readFileSync(file)).length),
    };
  });
}

/** Starts both again and again, in turn; `env` is the event function's, `emptyHandler` the file of the other. */
export async function measureFunctionStarts(
  node: string,
  { env, emptyHandler, starts }: { env: Readonly<Record<string, string>>; emptyHandler: string; starts: number },
): Promise<Samples> {
  const millis = new Samples("less");
  const bundles = [
    { name: FUNCTION, file: path.resolve("dist/functions/registry/index.mjs") },
    { name: EMPTY, file: emptyHandler },
  ];
  for (const [row, event] of [
    [FIRST_ANSWER, eventOf("GET", "/v2/")],
    [FIRST_FROM_STORE, eventOf("HEAD", "/v2/a/manifests/v1")],
  ] as const) {
    // The first round only brings the files into memory.
    for (let round = -1; round < starts; round++) {
      for (const { name, file } of rotated(bundles, Math.max(round, 0))) {
        const taken = await firstAnswer(node, file, env, event);
        if (round >= 0) millis.add(row, name, taken);
      }
    }
  }
  return millis;
}

async function firstAnswer(
  node: string,
  file: string,
  env: Readonly<Record<string, string>>,
  event: string,
): Promise<number> {
  const begin = performance.now();
  const child = spawn(node, [path.resolve("test/cloud/runtime.mjs"), file], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    env: { PATH: process.env["PATH"], ...env },
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("exit", () => reject(new Error(`${file} ended`)));
      child.on("message", (message: { ready?: true; result?: string; error?: string }) => {
        if (message.ready) child.send(event);
        else if (message.error !== undefined) reject(new Error(message.error));
        else resolve(performance.now() - begin);
      });
    });
  } finally {
    child.removeAllListeners();
    child.kill("SIGKILL");
  }
}

function eventOf(method: string, rawPath: string): string {
  return JSON.stringify({
    version: "2.0",
    rawPath,
    rawQueryString: "",
    headers: { host: "registry.example", "content-length": "0" },
    requestContext: { http: { method, sourceIp: "192.0.2.1", protocol: "HTTP/1.1" } },
    isBase64Encoded: false,
  });
}
