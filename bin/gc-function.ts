/** The Lambda function that runs every night. */
import { nightly } from "../functions/gc/nightly.ts";
import { loadFunctionConfig } from "../functions/registry/function-config.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { openStdoutDestination } from "../shared/telemetry/stdout-destination.ts";

const destination = openStdoutDestination();

/** What is used of Lambda's context. */
interface Context {
  readonly functionName: string;
  getRemainingTimeInMillis(): number;
}

/** Throws what could not be done, so that Lambda counts an error and calls again. */
export async function handler(_event: unknown, context: Context): Promise<void> {
  try {
    const loaded = loadFunctionConfig(process.env);
    const logger = createLogger({ ...loaded.config.log, destination });
    const { functionName } = context;
    await nightly(loaded, logger, { functionName, remaining: () => context.getRemainingTimeInMillis() });
  } finally {
    await destination.flush();
  }
}
