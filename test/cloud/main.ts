/** `npm run cloud`: the functions on this machine, to push to and pull from. Ends with Ctrl-C. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { HOSTNAMES, lambdaNode, startCloud } from "./cloud.ts";

const FOLDER = "data/cloud";
const PORTS = { api: 5080, uploads: 5081 };

execFileSync(process.execPath, ["bin/build.js"], { stdio: "inherit" });
mkdirSync(FOLDER, { recursive: true });
const { notice } = lambdaNode();
if (notice !== undefined) process.stdout.write(`${notice}\n`);
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("REGISTRY_")));
const cloud = await startCloud({ folder: FOLDER, ports: PORTS, env: env as Record<string, string> });
process.stdout.write(
  `API Gateway and the event function:  http://${cloud.api}/v2/   (at most 4.4 MB a request)\n` +
    `the upload function:                 http://${cloud.uploads}/v2/\n` +
    `images are in ${FOLDER}; REGISTRY_* variables reach both functions\n${nameNotice()}`,
);
const stop = (): void => void cloud.close().then(() => process.exit(0));
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

/** Makes the names known to this machine where that is allowed. */
function nameNotice(): string {
  const line = `127.0.0.1 ${HOSTNAMES.api} ${HOSTNAMES.uploads}`;
  try {
    if (!readFileSync("/etc/hosts", "utf8").includes(line)) appendFileSync("/etc/hosts", `${line}\n`);
    return "";
  } catch {
    return `clients find these names once /etc/hosts has the line:\n${line}\n`;
  }
}
