#!/usr/bin/env node
/** The command line. */
import { processConsole } from "./console.ts";
import { unknownCommand } from "./options.ts";
import { serve } from "./serve.ts";
import type { Environment } from "./storage.ts";

const USAGE = `usage: lading serve [config.yml]
       lading users add|remove|list [options]
       lading garbage-collect [options] [config.yml]
       lading gc runs|show|undo [options] [RUN] [config.yml]
       lading verify [options] [config.yml]
       lading doctor [options] HOST

serve starts the registry. Without a file it listens on 127.0.0.1:5000 and keeps its images in ./data.
Every setting of the file can also be given as a variable: REGISTRY_HTTP_ADDR=:5000
docs/configuration.md lists them.

users says who may sign in: lading users --help
garbage-collect deletes what nothing refers to any more, beside a running registry; gc says what it did, and takes it back:
lading garbage-collect --help, lading gc --help
verify reads everything that is stored and reports what is damaged: lading verify --help
doctor looks at a registry that is deployed, and says what to set: lading doctor --help
`;

/** Each with its arguments; gives the exit code, or undefined where it stays. */
const COMMANDS: ReadonlyMap<string, (args: readonly string[], env: Environment) => Promise<number | undefined>> =
  new Map([
    ["serve", async (args, env) => await serve(args, env, USAGE)],
    ["users", async (args, env) => await (await import("./users.ts")).users(args, env)],
    ["garbage-collect", async (args, env) => await (await import("./garbage-collect.ts")).garbageCollect(args, env)],
    ["gc", async (args, env) => await (await import("./gc.ts")).gc(args, env)],
    ["verify", async (args, env) => await (await import("./verify.ts")).runVerify(args, env)],
    ["doctor", async (args, env) => await (await import("./doctor.ts")).doctor(args, env)],
  ]);

// What the AWS SDK says to who builds on it, at each start on Node 20: nothing that an operator could act on.
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";

const [name = "", ...rest] = process.argv.slice(2);
const command = COMMANDS.get(name);
process.exitCode = command === undefined ? usage(name) : await command(rest, process.env);

/** What is said where no command is called. */
function usage(written: string): number {
  const console = processConsole();
  if (["--help", "-h", "help"].includes(written)) {
    console.out(USAGE.trimEnd());
    return 0;
  }
  if (written !== "") console.err(`lading: ${unknownCommand(written, [...COMMANDS.keys()])}\n`);
  console.err(USAGE.trimEnd());
  return 2;
}
