/** `lading serve`: its command line. */
import { startServer } from "../functions/registry/server.ts";
import { openLogDestination } from "../shared/telemetry/log-destination.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { processConsole, READER_GONE } from "./console.ts";
import { parseOptions, requestOf } from "./options.ts";
import { placeOf, readConfiguration, sentencesOf, type Environment } from "./storage.ts";

/** Serves until a signal; gives the exit code where it does not come so far. */
export async function serve(args: readonly string[], env: Environment, usage: string): Promise<number | undefined> {
  let serves = false;
  // That nobody reads its log any more is no reason to leave its clients.
  const console = processConsole(() => {
    if (!serves) process.exit(READER_GONE);
  });
  const request = requestOf(console, "lading serve", usage, () => readArgs(args));
  if (typeof request === "number") return request;
  serves = true;
  const fail = (error: unknown): number => {
    for (const problem of sentencesOf(error)) console.err(`lading: ${problem}`);
    return 1;
  };
  try {
    const { config, notices } = await readConfiguration(request.file ?? env["REGISTRY_CONFIGURATION_PATH"], env);
    const destination = openLogDestination();
    const logger = createLogger({ ...config.log, destination });
    for (const notice of notices) logger.warn(notice);
    const server = await startServer(config, logger);
    logger.info(`serving ${placeOf(config.storage.driver)} on ${server.url}`);
    stopOnSignal(async (signal) => {
      logger.info("stopping", { signal });
      try {
        await server.close();
        await destination.close();
        return 0;
      } catch (error) {
        return fail(error);
      }
    });
    return undefined;
  } catch (error) {
    process.exit(fail(error));
  }
}

/** Undefined where help is asked for. Throws with a sentence. */
function readArgs(args: readonly string[]) {
  const { values, positionals } = parseOptions({
    args: [...args],
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" } },
  });
  if (values.help === true) return undefined;
  const [file, ...more] = positionals;
  if (more.length > 0) throw new Error("expected one configuration file");
  return { file };
}

/** The first signal drains; a second one does not wait. */
function stopOnSignal(stop: (signal: string) => Promise<number>): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    void stop(signal).then((code) => process.exit(code));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
