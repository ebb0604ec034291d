#!/usr/bin/env node
/** The command line. */
import { startServer } from "../functions/registry/server.ts";
import { openLogDestination } from "../shared/telemetry/log-destination.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { meant } from "./options.ts";
import { placeOf, readConfiguration, sentencesOf } from "./storage.ts";

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

const COMMANDS: readonly string[] = ["serve", "users", "garbage-collect", "gc", "verify", "doctor"];

const [command, ...rest] = process.argv.slice(2);
if (command === "serve" && rest.length <= 1) await serve(rest[0] ?? process.env["REGISTRY_CONFIGURATION_PATH"]);
else if (command === "doctor") process.exitCode = await (await import("./doctor.ts")).doctor(rest, process.env);
else if (command === "users") process.exitCode = await (await import("./users.ts")).users(rest, process.env);
else if (command === "garbage-collect") {
  process.exitCode = await (await import("./garbage-collect.ts")).garbageCollect(rest, process.env);
} else if (command === "gc") process.exitCode = await (await import("./gc.ts")).gc(rest, process.env);
else if (command === "verify") process.exitCode = await (await import("./verify.ts")).runVerify(rest, process.env);
else if (command === "--help" || command === "help") process.stdout.write(USAGE);
else {
  const isKnown = command === undefined || COMMANDS.includes(command);
  process.stderr.write(
    isKnown ? USAGE : `lading: there is no command ${command}${meant(command, COMMANDS)}\n\n${USAGE}`,
  );
  process.exitCode = 2;
}

async function serve(file: string | undefined): Promise<void> {
  try {
    const { config, notices } = await readConfiguration(file, process.env);
    const destination = openLogDestination();
    const logger = createLogger({ ...config.log, destination });
    for (const notice of notices) logger.warn(notice);
    const server = await startServer(config, logger);
    logger.info(`serving ${placeOf(config.storage.driver)} on ${server.url}`);
    stopOnSignal(async (signal) => {
      logger.info("stopping", { signal });
      await server.close();
      await destination.close();
    });
  } catch (error) {
    fail(error);
  }
}

/** The first signal drains; a second one does not wait. */
function stopOnSignal(stop: (signal: string) => Promise<void>): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    stop(signal).then(() => process.exit(0), fail);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

function fail(error: unknown): never {
  for (const problem of sentencesOf(error)) process.stderr.write(`lading: ${problem}\n`);
  process.exit(1);
}
