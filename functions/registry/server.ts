/**
 * The registry as an HTTP server on Node: what `npm start`, a container and a systemd unit run. Only the host: what it
 * serves is put together in compose.ts.
 */
import type { Config } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";
import type { GcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";
import { createMetrics } from "../../shared/telemetry/prometheus-metrics.ts";
import { compose, type Composition } from "./compose.ts";
import { createDebugServer } from "./debug-server.ts";
import { addressOf, createHttpServer, drain, listen } from "./http-server.ts";
import { createListener } from "./listener.ts";

/** A running registry. */
export interface RunningServer {
  /** Where it listens, as an address that a client can be given. */
  readonly url: string;
  /** Stops taking requests, lets those in flight end within the drain time, and frees everything. */
  close(): Promise<void>;
}

/** How a server stands in its surroundings. */
export interface ServerOptions {
  /** What is in front reads no answer before it has passed on the whole body: answers wait for the end of the body. */
  readonly halfDuplex?: boolean;
  /** The times of garbage collection, where they are not those of the configuration: for tests. */
  readonly gcTimes?: GcTimes | undefined;
}

/** Starts a registry. Throws with a sentence that says what is wrong when it cannot. */
export async function startServer(
  config: Config,
  logger: Logger,
  { halfDuplex = false, gcTimes }: ServerOptions = {},
): Promise<RunningServer> {
  const metrics = createMetrics({ enabled: config.http.debug?.prometheus !== undefined });
  const composition = await compose(config, logger, metrics, gcTimes);
  const stopUpkeep = startUpkeep(config, composition, logger);
  const listener = createListener((request, host) => composition.fetch(request, host), { halfDuplex });
  const server = await createHttpServer(config.http, listener);
  const debug =
    config.http.debug === undefined ? undefined : createDebugServer(config.http.debug, composition.health, metrics);
  await listen(server, config.http.listen, "http.addr");
  if (debug !== undefined && config.http.debug !== undefined) {
    const { listen: address, prometheus } = config.http.debug;
    await listen(debug, address, "http.debug.addr");
    const url = addressOf(debug, { listen: address, prefix: "" });
    logger.info(`health is at ${url}/debug/health`, prometheus && { metrics: `${url}${prometheus.path}` });
  }

  return {
    url: addressOf(server, config.http),
    close: async () => {
      stopUpkeep();
      await drain(server, config.http.drainTimeoutMs);
      await composition.close();
      if (debug !== undefined) await drain(debug, 0);
    },
  };
}

/** What is done from time to time beside requests: uploads are purged, the catalog is brought up to date. Gives what stops it. */
function startUpkeep({ storage }: Config, { registry, driver }: Composition, logger: Logger): () => void {
  if (storage.readOnly) return () => undefined;
  const { enabled, ageMs, intervalMs, dryRun } = storage.uploadPurging;
  const stopRefreshing = repeat(limits.catalogRefreshMs, async () => {
    try {
      // Of several instances on one storage, each in its turn does it.
      const changes = await registry.refreshCatalog({ ageMs: limits.catalogRefreshMs / 2 });
      if (changes !== undefined && changes.added + changes.removed > 0)
        logger.info("brought the catalog up to date", { ...changes });
    } catch (error) {
      logger.error("bringing the catalog up to date failed", { err: error });
    }
  });
  if (!enabled) return stopRefreshing;
  const stopPurging = repeat(intervalMs, async () => {
    try {
      // Removes what killed processes left behind, too.
      if (!dryRun) await driver.removeLeftovers?.(ageMs, layout.root);
      const { sessions, bytes } = await registry.purgeUploads({ ageMs, dryRun });
      if (sessions.length > 0) logger.info("purged abandoned uploads", { sessions: sessions.length, bytes, dryRun });
    } catch (error) {
      logger.error("purging abandoned uploads failed", { err: error });
    }
  });
  return () => {
    stopRefreshing();
    stopPurging();
  };
}

/** Calls a function soon after the start, and again and again. It must not reject. Gives what stops it. */
function repeat(intervalMs: number, task: () => Promise<void>): () => void {
  const first = setTimeout(() => void task(), Math.min(intervalMs, limits.firstUpkeepMs)).unref();
  const timer = setInterval(() => void task(), intervalMs).unref();
  return () => {
    clearTimeout(first);
    clearInterval(timer);
  };
}
