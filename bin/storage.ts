/** The storage of a configuration, for a command that works on it beside the registry. */
import { readFile } from "node:fs/promises";
import { openStorage } from "../functions/registry/open-storage.ts";
import type { Config } from "../shared/config/config.ts";
import { ConfigError, loadConfig, type LoadedConfig } from "../shared/config/load.ts";
import { gcTimes, type GcTimes } from "../shared/registry/gc-times.ts";
import { Registry } from "../shared/registry/registry.ts";
import type { StorageDriver } from "../shared/storage/driver.ts";
import { createLogger } from "../shared/telemetry/logger.ts";

/** The variables of the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A storage, and what the configuration says of it. */
export interface OpenStorage {
  readonly config: Config;
  readonly driver: StorageDriver;
  readonly times: GcTimes;
  /** Where the catalog is an index, which has to be told of repositories that come and go. */
  readonly registry: Registry | undefined;
}

/** Reads a configuration file and the variables, or the variables alone. Throws with sentences. */
export async function readConfiguration(file: string | undefined, env: Environment): Promise<LoadedConfig> {
  return loadConfig({ yaml: file === undefined ? undefined : await readText(file), env });
}

/**
 * Opens the storage that a command is about: that of the file, of REGISTRY_CONFIGURATION_PATH, or what `lading serve` takes
 * without one. What is to be known of it goes to standard error. Throws with a sentence, also where the store does not decide
 * conditional writes and what is to be done, `needing`, rests on them.
 */
export async function openConfigured(
  file: string | undefined,
  env: Environment,
  needing?: string,
): Promise<OpenStorage> {
  const { config } = await readConfiguration(file ?? env["REGISTRY_CONFIGURATION_PATH"], env);
  if (config.storage.driver.kind === "inmemory") {
    throw new Error("the storage is inmemory: it is in the registry's own process, and no other can reach it");
  }
  const destination = { write: (line: string) => void process.stderr.write(line) };
  const logger = createLogger({ level: "warn", formatter: "text", destination });
  // Whether the registry may be written to by its users is another matter.
  const driver = await openStorage({ ...config.storage, readOnly: false }, logger, needing);
  const times = gcTimes(config.storage.gc.graceMs);
  const policy = { allowSparse: true, allowSparseIndexes: true, urlAllowed: () => true };
  const registry =
    config.storage.driver.kind === "s3"
      ? new Registry({ driver, policy, now: () => new Date(), catalog: "index", times })
      : undefined;
  return { config, driver, times, registry };
}

/** Why something failed: a sentence, or several. */
export function sentencesOf(error: unknown): readonly string[] {
  return error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`the configuration ${file} cannot be read: ${String(error)}`, { cause: error });
  }
}
