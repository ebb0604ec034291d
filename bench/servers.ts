/** The servers that are compared, each in a process of its own over a folder of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import { runAny } from "../test/support/process.ts";
import { tool } from "../test/support/tools.ts";

/** Where a server keeps its files, and where it listens. */
export interface Place {
  readonly root: string;
  readonly port: number | string;
}

export interface ServerKind {
  readonly name: string;
  /** What is run, before the path of its configuration. */
  readonly command: readonly string[];
  /** The whole configuration file. */
  config(place: Place): string;
  /** What it says its version is. */
  readonly version: string;
  /** What of its storage is removed to forget a blob; without it, the API is asked to. */
  blobFolder?(root: string, hex: string): string;
  /** Empties a storage that is no folder of its own. */
  forgetAll?(): Promise<void>;
  /** Added to the environment, which is otherwise only the PATH. */
  readonly env: Readonly<Record<string, string>>;
}

export const OURS = "Lading";
export const OLDEST = "docker-registry 2.8";

/** A peer that is not installed, and why it was not run. */
export interface Absent {
  readonly name: string;
  readonly because: string;
}

interface Candidate extends Omit<ServerKind, "command" | "version"> {
  readonly program: string;
  readonly where: string;
}

const NO_TRACES = { OTEL_TRACES_EXPORTER: "none" };

const PEERS: readonly Candidate[] = [
  { name: OLDEST, program: "docker-registry", where: "/usr/bin", ...distribution(), env: NO_TRACES },
  { name: "registry 3.1", program: "registry-3", where: "$LADING_TOOLS/bin", ...distribution(), env: NO_TRACES },
  {
    name: "zot",
    program: "zot",
    where: "$LADING_TOOLS/bin",
    config: ({ root, port }) =>
      JSON.stringify({
        distSpecVersion: "1.1.0",
        storage: { rootDirectory: root },
        http: { address: "127.0.0.1", port: String(port) },
        log: { level: "info" },
      }),
    env: NO_TRACES,
  },
];

/** Our server first, then the peers that are there; and those that are not. */
export async function findServers(node: string): Promise<{ kinds: ServerKind[]; absent: Absent[] }> {
  const kinds: ServerKind[] = [await ourServer(node)];
  const absent: Absent[] = [];
  for (const { program, where, ...candidate } of PEERS) {
    let file: string;
    try {
      file = tool(program);
    } catch {
      absent.push({ name: candidate.name, because: `there is no program \`${program}\` in \`${where}\`` });
      continue;
    }
    kinds.push({ ...candidate, command: [file, "serve"], version: await versionOf(file) });
  }
  return { kinds, absent };
}

async function ourServer(node: string): Promise<ServerKind> {
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  const commit = (await runAny(["git", "describe", "--always", "--dirty"])).stdout.trim();
  return {
    name: OURS,
    // The title keeps it from whoever ends the other servers of this machine by their name.
    command: [node, "--title=lading-bench", "dist/lading.js", "serve"],
    version: `${version} (commit ${commit === "" ? "unknown" : commit}), Node ${await versionOf(node)}`,
    ...distribution(),
    env: {},
  };
}

async function versionOf(program: string): Promise<string> {
  const { stdout, stderr } = await runAny([program, "--version"]);
  const line = `${stdout}\n${stderr}`.split("\n").find((text) => text.trim() !== "") ?? "unknown";
  const commit = /"commit":"([^"]+)"/.exec(line)?.[1]; // zot's is a line of JSON
  return commit ?? line.trim().replace(/^.*\s(?=v?\d)/, "");
}

/** The configuration and the storage that Lading has in common with the CNCF distribution registry. */
function distribution(): Required<Pick<ServerKind, "config" | "blobFolder">> {
  return {
    config: ({ root, port }) =>
      stringify({
        version: 0.1,
        storage: { filesystem: { rootdirectory: root }, delete: { enabled: true } },
        http: { addr: `127.0.0.1:${port}` },
      }),
    blobFolder: (root, hex) => path.join(root, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex),
  };
}

const running = new Set<ChildProcess>();

/** Ends every server at once. For the end of the process, when there is no time to wait. */
export function killServers(): void {
  for (const child of running) child.kill("SIGKILL");
}

const START_TIMEOUT_MS = 30_000;
const POLL_MS = 2;
const ATTEMPTS = 3;

/** Starts a server over a new folder below `folder`, and waits for its first answer. */
export async function startServer(kind: ServerKind, folder: string): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(kind, folder);
    } catch (error) {
      // Between finding a free port and listening on it, somebody else may have taken it.
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

let started = 0;

async function startOnce(kind: ServerKind, folder: string): Promise<Server> {
  const home = path.join(folder, `server-${String(++started)}`);
  const root = path.join(home, "data");
  await mkdir(root, { recursive: true });
  const port = await freePort();
  const configFile = path.join(home, "config.yml");
  await writeFile(configFile, kind.config({ root, port }));
  const logFile = path.join(home, "log");
  const log = openSync(logFile, "a");
  const begin = performance.now();
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...kind.command, configFile], {
    detached: true, // what interrupts the benchmark at a terminal does not reach it first
    stdio: ["ignore", log, log],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: home, ...kind.env },
  });
  closeSync(log);
  running.add(child);
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  }).then(() => void running.delete(child));
  const url = `http://127.0.0.1:${port}`;
  while (!(await answers(`${url}/v2/`))) {
    const late = performance.now() - begin > START_TIMEOUT_MS;
    if (late) child.kill("SIGKILL");
    if (late || !running.has(child)) {
      throw new Error(`${kind.name} did not start:\n${(await readFile(logFile, "utf8")).slice(-2000)}`);
    }
    await delay(POLL_MS);
  }
  return new Server(kind, { home, root, url, child, ended, logFile, startMs: performance.now() - begin });
}

interface Started {
  readonly home: string;
  readonly root: string;
  readonly url: string;
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  readonly logFile: string;
  readonly startMs: number;
}

/** A server that runs. */
export class Server {
  readonly kind: ServerKind;
  readonly #started: Started;

  constructor(kind: ServerKind, started: Started) {
    this.kind = kind;
    this.#started = started;
  }

  get name(): string {
    return this.kind.name;
  }

  get url(): string {
    return this.#started.url;
  }

  /** From its spawning to its first answer. */
  get startMs(): number {
    return this.#started.startMs;
  }

  /** The processor time of all its threads so far, in microseconds. */
  cpuMicros(): number {
    const tasks = `/proc/${this.#pid()}/task`;
    let nanos = 0;
    for (const task of readdirSync(tasks)) {
      try {
        nanos += Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
      } catch {
        // The thread has just ended.
      }
    }
    return nanos / 1000;
  }

  /** Begins to watch for the peak of its memory anew. */
  resetPeak(): void {
    writeFileSync(`/proc/${this.#pid()}/clear_refs`, "5");
  }

  /** The peak of its resident memory, in MB of 1,000,000 bytes. */
  peakMb(): number {
    const status = readFileSync(`/proc/${this.#pid()}/status`, "utf8");
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kibibytes === undefined) throw new Error("the kernel does not tell VmHWM");
    return (Number(kibibytes) * 1024) / 1e6;
  }

  /** Forgets a blob and the tag v1 that may hold it, so that the next upload of it is one. */
  async forget(repository: string, digest: string): Promise<void> {
    const hex = digest.slice("sha256:".length);
    if (this.kind.forgetAll !== undefined) {
      await this.kind.forgetAll();
      return;
    }
    if (this.kind.blobFolder === undefined) {
      await this.#delete(repository, "manifests/v1");
      await this.#delete(repository, `blobs/${digest}`);
      return;
    }
    const { root } = this.#started;
    await rm(this.kind.blobFolder(root, hex), { recursive: true, force: true });
    await rm(path.join(root, "docker/registry/v2/repositories", repository), { recursive: true, force: true });
  }

  /** Empties its log, which would fill the disk. */
  async emptyLog(): Promise<void> {
    await truncate(this.#started.logFile);
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    this.#started.child.kill("SIGKILL");
    await this.#started.ended;
    await rm(this.#started.home, { recursive: true, force: true });
  }

  async #delete(repository: string, what: string): Promise<void> {
    const response = await fetch(`${this.url}/v2/${repository}/${what}`, { method: "DELETE" });
    const text = await response.text();
    if (response.ok || response.status === 404) return;
    throw new Error(`${this.name} does not delete ${what}: ${response.status} ${text}`);
  }

  #pid(): number {
    const { child } = this.#started;
    if (child.pid === undefined || !running.has(child)) throw new Error(`${this.name} has ended`);
    return child.pid;
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Whether it serves the API, be it only to those who sign in. */
async function answers(url: string): Promise<boolean> {
  return await new Promise((resolve) => {
    get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 || response.statusCode === 401);
    }).once("error", () => resolve(false));
  });
}
