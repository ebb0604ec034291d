/** The registry as a Lambda Web Function: an HTTP server where Lambda says. */
import { listeningOn, loadFunctionConfig } from "../functions/registry/function-config.ts";
import { startServer } from "../functions/registry/server.ts";
import { ConfigError } from "../shared/config/load.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { openStdoutDestination } from "../shared/telemetry/stdout-destination.ts";

const destination = openStdoutDestination();
try {
  const { config, notices } = loadFunctionConfig(process.env);
  const logger = createLogger({ ...config.log, destination });
  for (const notice of notices) logger.warn(notice);
  const endpoint = process.env["AWS_LAMBDA_HTTP_ENDPOINT"] ?? "0.0.0.0:3000";
  const server = await startServer(listeningOn(endpoint, config), logger, { halfDuplex: true });
  process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
} catch (error) {
  const fields = error instanceof ConfigError ? { problems: error.problems } : { err: error };
  createLogger({ level: "error", formatter: "json", destination }).error("the registry cannot start", fields);
  await destination.flush();
  process.exit(1);
}
