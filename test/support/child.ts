/** The built server in a process of its own, with any settings: for what a process does, such as signals and exit codes. */
import { Api, type Credentials } from "./api.ts";
import { runAny, startDaemon, type Daemon, type Finished } from "./process.ts";

export interface Child {
  /** Scheme, host and port. */
  readonly url: string;
  /** The debug server, where there is one. */
  readonly debugUrl: string;
  readonly api: Api;
  readonly daemon: Daemon;
  /** The access log so far, as logged. */
  accessLines(): string[];
  /** The value of a metric with all these labels, 0 where there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM unless it ended already; gives the exit code. */
  stop(): Promise<number | null>;
}

const ARGV = [process.execPath, "--title=registry-under-test", "lading.js", "serve"];
const DEFAULTS = { REGISTRY_HTTP_ADDR: "127.0.0.1:0", REGISTRY_STORAGE: "inmemory", REGISTRY_LOG_LEVEL: "info" };
const DEBUG = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };

const settingsOf = (env: Readonly<Record<string, string>>): Record<string, string> => ({
  ...("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY" in env
    ? { REGISTRY_HTTP_ADDR: DEFAULTS.REGISTRY_HTTP_ADDR }
    : DEFAULTS),
  ...DEBUG,
  ...env,
});

/** Starts it with these variables, on free ports of the loopback, in memory unless a folder is given. */
export async function startChild(env: Readonly<Record<string, string>> = {}, user?: Credentials): Promise<Child> {
  const announced = /serving [^"]* on ((?:https?|unix):[^"\s]+)/;
  const found = (daemon: Daemon, pattern: RegExp): string =>
    daemon.lines.map((line) => pattern.exec(line)?.[1]).find((text) => text !== undefined) ?? "";
  const daemon = await startDaemon(ARGV, {
    cwd: "dist",
    env: settingsOf(env),
    ready: (started) => found(started, announced) !== "",
  });
  const url = found(daemon, announced).replace(/^(https?:\/\/[^/]+).*/, "$1");
  const debugUrl = found(daemon, /health is at (http:\/\/[^/"]+)/);
  return {
    url,
    debugUrl,
    api: new Api({ url, user }),
    daemon,
    accessLines: () => daemon.lines.filter((line) => line.includes("response completed")),
    metric: async (name, labels = {}) => {
      const text = await (await fetch(`${debugUrl}/metrics`)).text();
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const line = text.split("\n").find((each) => {
        const [series = ""] = each.split(" ");
        return series.split("{")[0] === name && wanted.every((label) => series.includes(label));
      });
      return Number(line?.split(" ").at(-1) ?? 0);
    },
    signal: (signal) => process.kill(daemon.pid, signal),
    stop: async () => await daemon.stop(),
  };
}

/** Runs it where it must not start. */
export async function runChild(env: Readonly<Record<string, string>>, ...rest: readonly string[]): Promise<Finished> {
  return await runAny([...ARGV, ...rest], { cwd: "dist", env: settingsOf(env), timeoutMs: 15_000 });
}
