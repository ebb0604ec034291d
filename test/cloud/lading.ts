/** The functions behind their gateways as one registry, for the suites that know registries. */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Api } from "../support/api.ts";
import {
  readAccessLine,
  USER,
  writeHtpasswd,
  type Lading,
  type LadingOptions,
  type LoggedRequest,
} from "../support/lading.ts";
import { until } from "../support/process.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import type { Cloud } from "./cloud.ts";
import { startDeployed } from "./deployed.ts";

/** Starts the stack as it is synthesized, over buckets of its own, each function with its role. Its log has the event function's requests before the upload function's. */
export async function startCloudLading({
  folder,
  signIn = "none",
}: Pick<LadingOptions, "folder" | "signIn">): Promise<Lading> {
  const users = signIn === "none" ? undefined : [await readFile(await writeHtpasswd(folder), "utf8")];
  const cloud = await startDeployed({ store: await sharedVersitygw(), users });
  const user = signIn === "none" ? undefined : USER;
  const logs = async (): Promise<LoggedRequest[][]> => [
    await logOf(cloud.api, cloud.events.lines),
    await logOf(cloud.uploads, cloud.uploadLines),
  ];
  return {
    host: cloud.api,
    uploadsHost: cloud.uploads,
    plainHttp: true,
    caFile: undefined,
    user,
    root: cloud.buckets.storage,
    api: new Api({ url: `http://${cloud.api}`, user }),
    requests: async () => (await logs()).flat(),
    during: async (work) => {
      const before = await logs();
      await work();
      return (await logs()).flatMap((log, i) => log.slice(before[i]?.length));
    },
    stop: async () => {
      await cloud.close();
      const denied = Object.entries(cloud.policies).flatMap(([which, policy]) =>
        policy.denied.map(({ action, resource }) => `${which}: ${action} ${resource}`),
      );
      if (denied.length > 0) throw new Error(`the roles do not allow:\n${denied.join("\n")}`);
      const faults = linesOf(cloud).filter((line) => line.includes('"level":"error"'));
      if (faults.length > 0) throw new Error(`the functions logged errors:\n${faults.join("\n")}`);
    },
  };
}

const linesOf = ({ events, uploadLines }: Cloud): string[] => [...events.lines, ...uploadLines];

/** The requests that a function has answered. It has logged one by then, and what we ask for now comes behind it. */
async function logOf(host: string, lines: readonly string[]): Promise<LoggedRequest[]> {
  const mark = `/v2/?mark=${randomUUID()}`;
  await new Api({ url: `http://${host}` }).call("GET", mark);
  let logged: LoggedRequest[] = [];
  await until("the access log is written", () => {
    logged = lines.map(readAccessLine).filter((line) => line !== undefined);
    return logged.some(({ uri }) => uri === mark);
  });
  return logged.filter(({ uri }) => !uri.startsWith("/v2/?mark="));
}
