/** Programs that tests run: to their end, or as daemons that end with the test, whatever becomes of it. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

export interface RunOptions {
  /** Instead of the test's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const RUN_TIMEOUT_MS = 240_000;
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

/** Runs a program to its end, whatever its exit code. */
export async function runAny(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = launch(argv, options);
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? RUN_TIMEOUT_MS);
  try {
    const code = await ended(child);
    return { code, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a program that must succeed; gives what it wrote to its standard output. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runAny(argv, options);
  if (code !== 0) throw new Error(`exit code ${String(code)}: ${argv.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}

export interface Daemon {
  readonly pid: number;
  /** All lines of both outputs so far. */
  readonly lines: readonly string[];
  running(): boolean;
  /** Asks it to end, and waits; after a while it is not asked any more. Gives its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a program and waits until `ready` says so. */
export async function startDaemon(
  argv: readonly string[],
  options: RunOptions & { readonly ready: (daemon: Daemon) => boolean | Promise<boolean> },
): Promise<Daemon> {
  const child = launch(argv, options);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on("line", (line) => lines.push(line));
  }
  const exit = ended(child);
  exit.catch(() => undefined);
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  const daemon: Daemon = {
    pid: child.pid ?? 0,
    lines,
    running,
    stop: async (signal = "SIGTERM") => {
      if (!running())
        lines.push(`(had ended with ${String(child.exitCode ?? child.signalCode)} before it was stopped)`);
      else child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      const code = await exit;
      clearTimeout(timer);
      return code;
    },
  };
  try {
    await until(`${argv.join(" ")} is ready`, async () => {
      if (!running()) throw new Error(`ended at once: ${argv.join(" ")}\n${lines.join("\n")}`);
      return await options.ready(daemon);
    });
  } catch (error) {
    await daemon.stop();
    throw new Error(`${String(error)}\n${lines.slice(-40).join("\n")}`, { cause: error });
  }
  return daemon;
}

/** Waits for a condition. Throws when it does not come true in time. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = START_TIMEOUT_MS,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(POLL_MS);
  }
}

/** Wraps a command so that it sees `folder` in the place of each of `places`, which the rest of the machine does not. */
export function withFolders(folders: Readonly<Record<string, string>>, argv: readonly string[]): string[] {
  const mounts = Object.entries(folders).map(([place, folder]) => `mount --bind '${folder}' '${place}'`);
  return ["unshare", "-m", "sh", "-c", `${mounts.join(" && ")} && exec "$@"`, "sh", ...argv];
}

/** The child is told to end when the test's process dies, however it dies. */
function launch(argv: readonly string[], { env, cwd }: RunOptions): ChildProcess {
  return spawn("setpriv", ["--pdeathsig", "TERM", ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(env === undefined ? {} : { env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", ...env } }),
    ...(cwd === undefined ? {} : { cwd }),
  });
}

function collect(stream: ChildProcess["stdout"]): () => string {
  const chunks: Buffer[] = [];
  stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

async function ended(child: ChildProcess): Promise<number | null> {
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
}
