/** The server as `lading serve` runs it, but for the times of garbage collection. */
import { startServer } from "../../../functions/registry/server.ts";
import { loadConfig } from "../../../shared/config/load.ts";
import { createLogger } from "../../../shared/telemetry/logger.ts";
import { bucketSection } from "../../support/lading.ts";
import { ownSettings, TIMES } from "./settings.ts";

const { access, bucket } = ownSettings();
const yaml = JSON.stringify({
  version: 0.1,
  log: { level: "warn", formatter: "json" },
  storage: { s3: bucketSection({ access, name: bucket }), delete: { enabled: true } },
  http: { addr: "127.0.0.1:0" },
});
const { config } = loadConfig({ yaml, env: {} });
const destination = { write: (line: string): void => void process.stdout.write(line) };
const server = await startServer(config, createLogger({ ...config.log, destination }), { gcTimes: TIMES });
process.stdout.write(`serving on ${server.url}\n`);
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
