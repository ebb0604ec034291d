/** The configuration of a function: from variables only, and without what needs a process that goes on between requests. */
import type { Config } from "../../shared/config/config.ts";
import { loadConfig, type LoadedConfig } from "../../shared/config/load.ts";
import { limits } from "../../shared/oci/limits.ts";

/**
 * Reads the `REGISTRY_*` variables. Lines of the log are JSON; nothing is checked, purged or served in the background, since
 * a function stands still between requests; a page of names fits into an answer. Throws ConfigError.
 */
export function loadFunctionConfig(env: Readonly<Record<string, string | undefined>>): LoadedConfig {
  const { config, notices } = loadConfig({ env });
  const { debug, ...http } = config.http;
  return {
    config: {
      ...config,
      log: { ...config.log, formatter: "json" },
      http,
      health: { storage: { ...config.health.storage, enabled: false }, file: [], http: [], tcp: [] },
      storage: {
        ...config.storage,
        uploadPurging: { ...config.storage.uploadPurging, enabled: false },
        gc: {
          ...config.storage.gc,
          recordPulls: config.storage.gc.recordPulls === "never" ? "never" : "before the answer",
        },
      },
      catalog: { maxEntries: Math.min(config.catalog.maxEntries, limits.pageEntries) },
      tags: { maxEntries: Math.min(config.tags.maxEntries, limits.pageEntries) },
    },
    notices: [
      ...notices,
      ...(env["REGISTRY_CONFIGURATION_PATH"] === undefined
        ? []
        : ["REGISTRY_CONFIGURATION_PATH has no effect: a function reads no file, only REGISTRY_* variables"]),
      ...(debug === undefined ? [] : ["http.debug has no effect: a function listens on no second address"]),
    ],
  };
}

/** The same configuration, listening where Lambda says (`host:port`). Throws where that is no address. */
export function listeningOn(endpoint: string, config: Config): Config {
  const match = /^(.*):(\d{1,5})$/.exec(endpoint);
  if (match === null) throw new Error(`AWS_LAMBDA_HTTP_ENDPOINT: expected host:port, got ${endpoint}`);
  return { ...config, http: { ...config.http, listen: { kind: "tcp", host: match[1] ?? "", port: Number(match[2]) } } };
}
