import { connect } from "node:net";
import { stat } from "node:fs/promises";
import { errorSummary } from "./error-text.ts";

/** A check of the storage driver. */
export interface StorageHealthSettings {
  readonly enabled: boolean;
  readonly intervalMs: number;
  /** How many failures in a row make it unhealthy; less than 1 means 1. */
  readonly threshold: number;
}

/** Unhealthy while the file exists: how an operator takes a server out of service by hand. */
export interface FileHealthSettings {
  readonly path: string;
  readonly intervalMs: number;
}

/** Unhealthy unless the address answers with the status. */
export interface HttpHealthSettings {
  readonly uri: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Default HEAD. */
  readonly method?: string;
  readonly statusCode: number;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly threshold: number;
}

/** Unhealthy unless `host:port` accepts a connection. */
export interface TcpHealthSettings {
  readonly addr: string;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly threshold: number;
}

/** All that is checked, each in its own interval. */
export interface HealthSettings {
  readonly storage: StorageHealthSettings;
  readonly file: readonly FileHealthSettings[];
  readonly http: readonly HttpHealthSettings[];
  readonly tcp: readonly TcpHealthSettings[];
}

/** What the checks need from outside. */
export interface HealthDependencies {
  /** Reads something small from the storage; rejects if it cannot. Should give up when the signal aborts. */
  readonly probeStorage: (signal: AbortSignal) => Promise<void>;
  /** The name of the storage check. Default `storagedriver`. */
  readonly storageName?: string;
  /** Told when a check starts to fail (with the reason) and when it passes again (undefined). Must not throw. */
  readonly onChange?: (check: string, failure: string | undefined) => void;
}

/** The running checks. */
export interface Health {
  /** The failing checks: name -> reason. Empty means healthy. Never waits: it tells what the checks found last. */
  readonly status: () => Record<string, string>;
  /** Ends all checks. */
  readonly close: () => void;
}

/** The storage has no timeout of its own in the configuration; a probe that hangs for this long has failed. */
const STORAGE_TIMEOUT_MS = 10_000;
/** A file check is one look at a local file system. */
const FILE_TIMEOUT_MS = 10_000;
/** A check without pause would be an attack. */
const MIN_INTERVAL_MS = 10;

/** Passes by returning; fails by rejecting, or by taking longer than its timeout. */
interface Check {
  readonly name: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly threshold: number;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/**
 * Starts all checks, each at once and then in its interval, counted from the end of the one before, so that no check
 * overtakes itself. Their timers do not keep the process alive.
 *
 * @throws TypeError an HTTP check's address is not a URL, or a TCP check's not `host:port`;
 *   or two checks are of the same thing
 */
export function startHealth(settings: HealthSettings, dependencies: HealthDependencies): Health {
  const checks: Check[] = [
    ...settings.file.map(fileCheck),
    ...settings.http.map(httpCheck),
    ...settings.tcp.map(tcpCheck),
  ];
  if (settings.storage.enabled) {
    checks.push({
      name: dependencies.storageName ?? "storagedriver",
      intervalMs: settings.storage.intervalMs,
      timeoutMs: STORAGE_TIMEOUT_MS,
      threshold: settings.storage.threshold,
      run: dependencies.probeStorage,
    });
  }

  const names = checks.map((check) => check.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new TypeError(`two health checks have the name '${twice}'; remove one of them`);

  const failures = new Map<string, string>();
  const closing = new AbortController();
  for (const check of checks) void repeat(check, failures, closing.signal, dependencies.onChange);
  return {
    status: () => Object.fromEntries(failures),
    close: () => closing.abort(),
  };
}

/** Runs a check until closed. Never rejects. */
async function repeat(
  check: Check,
  failures: Map<string, string>,
  closed: AbortSignal,
  onChange: HealthDependencies["onChange"],
): Promise<void> {
  let failed = 0;
  while (!closed.aborted) {
    const failure = await runOnce(check, closed);
    if (isAborted(closed)) return;
    failed = failure === undefined ? 0 : failed + 1;
    const wasFailing = failures.has(check.name);
    if (failure === undefined) {
      failures.delete(check.name);
      if (wasFailing) onChange?.(check.name, undefined);
    } else if (failed >= check.threshold) {
      failures.set(check.name, failure);
      if (!wasFailing) onChange?.(check.name, failure);
    }
    await pause(Math.max(MIN_INTERVAL_MS, check.intervalMs), closed);
  }
}

/** A function, so that the compiler does not believe that what was false before an await still is. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** The reason of the failure; undefined if the check passed. */
async function runOnce(check: Check, closed: AbortSignal): Promise<string | undefined> {
  const giveUp = new AbortController();
  const abort = (): void => giveUp.abort();
  closed.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(abort, check.timeoutMs);
  timer.unref();
  // The check itself may not listen to the signal: it is not waited for in any case.
  const ended = new Promise<never>((_resolve, reject) => {
    giveUp.signal.addEventListener("abort", () => reject(new Error(`no answer within ${check.timeoutMs} ms`)), {
      once: true,
    });
  });
  try {
    await Promise.race([ended, check.run(giveUp.signal)]);
    return undefined;
  } catch (error) {
    return errorSummary(error);
  } finally {
    clearTimeout(timer);
    closed.removeEventListener("abort", abort);
  }
}

async function pause(milliseconds: number, closed: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      closed.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    timer.unref();
    closed.addEventListener("abort", end, { once: true });
  });
}

function fileCheck(settings: FileHealthSettings): Check {
  return {
    name: settings.path,
    intervalMs: settings.intervalMs,
    timeoutMs: FILE_TIMEOUT_MS,
    threshold: 1,
    run: async () => {
      try {
        await stat(settings.path);
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
        throw error;
      }
      throw new Error("file exists");
    },
  };
}

function httpCheck(settings: HttpHealthSettings): Check {
  const url = new URL(settings.uri);
  const headers = new Headers();
  // fetch() refuses a URL with credentials, and the name of a check is shown to whoever asks.
  const hasCredentials = url.username !== "" || url.password !== "";
  if (hasCredentials) {
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers.set("authorization", `Basic ${Buffer.from(credentials).toString("base64")}`);
    url.username = "";
    url.password = "";
  }
  for (const [name, values] of Object.entries(settings.headers)) {
    headers.delete(name);
    for (const value of typeof values === "string" ? [values] : values) headers.append(name, value);
  }
  return {
    name: hasCredentials ? url.href : settings.uri,
    intervalMs: settings.intervalMs,
    timeoutMs: settings.timeoutMs,
    threshold: settings.threshold,
    run: async (signal) => {
      const response = await fetch(url, { method: settings.method ?? "HEAD", headers, signal });
      await response.body?.cancel();
      if (response.status !== settings.statusCode) {
        throw new Error(`answered with status ${response.status}, not ${settings.statusCode}`);
      }
    },
  };
}

function tcpCheck(settings: TcpHealthSettings): Check {
  const { host, port } = parseAddress(settings.addr);
  return {
    name: settings.addr,
    intervalMs: settings.intervalMs,
    timeoutMs: settings.timeoutMs,
    threshold: settings.threshold,
    run: async (signal) => {
      await new Promise<void>((resolve, reject) => {
        const socket = connect({ host, port, signal });
        socket.unref();
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.destroy();
          resolve();
        });
      });
    },
  };
}

/** `host:port`, `[v6]:port`, or `:port` for this machine. */
function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) {
    throw new TypeError(`the address of a TCP health check must be host:port, not '${address}'`);
  }
  return { host: match[1] ?? (match[2] === "" || match[2] === undefined ? "localhost" : match[2]), port };
}
