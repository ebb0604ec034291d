/** The Lambda function that runs every night. */
import { nightly } from "../functions/gc/nightly.ts";
import { loadFunctionConfig } from "../functions/registry/function-config.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { openStdoutDestination } from "../shared/telemetry/stdout-destination.ts";

const destination = openStdoutDestination();

/** Throws what could not be done, so that Lambda counts an error and calls again. */
export async function handler(_event?: unknown, context?: { getRemainingTimeInMillis(): number }): Promise<void> {
  try {
    const loaded = loadFunctionConfig(process.env);
    const logger = createLogger({ ...loaded.config.log, destination });
    await nightly(loaded, logger, () => context?.getRemainingTimeInMillis() ?? Infinity);
  } finally {
    await destination.flush();
  }
}
