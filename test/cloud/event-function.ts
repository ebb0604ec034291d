/** A Lambda function: processes that each answer one event at a time, and stand still in between. */
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

/** All processes are at work, and no more may be started. */
export class FunctionThrottledError extends Error {
  override readonly name = "FunctionThrottledError";
}

export interface EventFunctionOptions {
  /** The program that runs it. */
  readonly node: string;
  /** The bundle with the handler. */
  readonly bundle: string;
  readonly env: Readonly<Record<string, string>>;
  /** How many processes there may be. */
  readonly concurrency: number;
}

export interface EventFunction {
  /**
   * Answers an event, both as JSON. Throws FunctionThrottledError, and what the function throws. `timeoutMs`: the time that the
   * function is told it has, 15 minutes unless said; nobody ends it after that.
   */
  readonly invoke: (event: string, timeoutMs?: number) => Promise<string>;
  /** All that its processes have written, line by line. */
  readonly lines: readonly string[];
  /** Processes that were started so far. */
  readonly started: () => number;
  /** The most memory that one of its processes that run has held, in MiB: Lambda would have ended it above its setting. */
  readonly peakMib: () => number;
  /** Ends the processes that answer nothing just now, as Lambda does when it likes. */
  retire(): Promise<void>;
  close(): Promise<void>;
}

type Reply = { readonly ready: true } | { readonly result: string } | { readonly error: string };

export function createEventFunction({ node, bundle, env, concurrency }: EventFunctionOptions): EventFunction {
  const lines: string[] = [];
  const all = new Set<ChildProcess>();
  const idle: ChildProcess[] = [];
  let started = 0;

  const start = async (): Promise<ChildProcess> => {
    started++;
    const argv = [node, path.resolve("test/cloud/runtime.mjs"), path.resolve(bundle)];
    // A process that stands still can only be killed.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", ...argv], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { PATH: process.env["PATH"], AWS_LAMBDA_FUNCTION_NAME: "registry", ...env },
    });
    all.add(child);
    child.once("exit", () => all.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => lines.push(line));
    }
    await nextReply(child);
    return child;
  };

  return {
    lines,
    started: () => started,
    peakMib: () => Math.max(0, ...[...all].map(peakOf)),
    invoke: async (event, timeoutMs = 900_000) => {
      let child = idle.pop();
      if (child === undefined) {
        if (all.size >= concurrency) throw new FunctionThrottledError("no process is free");
        child = await start();
      } else child.kill("SIGCONT");
      const reply = nextReply(child);
      child.send({ event, timeoutMs });
      const message = await reply;
      child.kill("SIGSTOP");
      idle.push(child);
      if ("error" in message) throw new Error(message.error);
      return "result" in message ? message.result : "";
    },
    retire: async () => await end(idle.splice(0)),
    close: async () => await end([...all]),
  };
}

function peakOf({ pid }: ChildProcess): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Kills them: a process that stands still hears nothing else. */
async function end(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }),
  );
}

async function nextReply(child: ChildProcess): Promise<Reply> {
  return await new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("the function's process ended"));
    child.once("exit", ended);
    child.once("message", (message) => {
      child.off("exit", ended);
      resolve(message as Reply);
    });
  });
}
