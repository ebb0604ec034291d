/** The functions behind their gateways as one registry, for the suites that know registries. */
import { randomUUID } from "node:crypto";
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
import { startCloud, type Cloud } from "./cloud.ts";

/** Starts both functions over a bucket of its own. Its log has the event function's requests before the upload function's. */
export async function startCloudLading({
  folder,
  signIn = "none",
}: Pick<LadingOptions, "folder" | "signIn">): Promise<Lading> {
  const access = await sharedVersitygw();
  const bucket = { access, name: await access.freshBucket() };
  const env =
    signIn === "none"
      ? {}
      : { REGISTRY_AUTH_HTPASSWD_REALM: "lading", REGISTRY_AUTH_HTPASSWD_PATH: await writeHtpasswd(folder) };
  const cloud = await startCloud({ bucket, env });
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
    root: bucket.name,
    api: new Api({ url: `http://${cloud.api}`, user }),
    requests: async () => (await logs()).flat(),
    during: async (work) => {
      const before = await logs();
      await work();
      return (await logs()).flatMap((log, i) => log.slice(before[i]?.length));
    },
    stop: async () => {
      await cloud.close();
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
