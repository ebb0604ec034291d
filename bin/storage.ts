/** The storage of a configuration, for a command that works on it beside the registry. */
import { readFile, stat } from "node:fs/promises";
import { openStorage } from "../functions/registry/open-storage.ts";
import type { Config, StorageConfig } from "../shared/config/config.ts";
import { ConfigError, loadConfig, type LoadedConfig } from "../shared/config/load.ts";
import { gcTimes, type GcTimes } from "../shared/registry/gc-times.ts";
import { layout } from "../shared/registry/layout.ts";
import { Registry } from "../shared/registry/registry.ts";
import { listPages, type StorageDriver } from "../shared/storage/driver.ts";
import { createLogger } from "../shared/telemetry/logger.ts";
import { checkNotRootElsewhere } from "./folder-owner.ts";

/** The variables of the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A storage, and what the configuration says of it. */
export interface OpenStorage {
  readonly config: Config;
  /** The folder or the bucket, as `placeOf` says it. */
  readonly place: string;
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
 * conditional writes and what is to be done, `needing`, rests on them, and where it holds nothing of a registry: a volume that
 * is not mounted looks like that, and so does a folder too deep. What is opened for something (`needing`) is written to, and
 * refused to root where it belongs to another user.
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
  const driver = await openStorage({ ...config.storage, readOnly: needing === undefined }, logger, needing);
  const times = gcTimes(config.storage.gc.graceMs);
  const policy = { allowSparse: true, allowSparseIndexes: true, urlAllowed: () => true };
  try {
    await checkStored(driver, config.storage.driver);
    const { driver: storage } = config.storage;
    if (needing !== undefined && storage.kind === "filesystem") await checkNotRootElsewhere(storage.rootDirectory);
  } catch (error) {
    driver.close?.();
    throw error;
  }
  const registry =
    config.storage.driver.kind === "s3"
      ? new Registry({ driver, policy, now: () => new Date(), catalog: "index", times })
      : undefined;
  return { config, place: placeOf(config.storage.driver), driver, times, registry };
}

/** A storage as people say it: a folder as the configuration names it, or `the bucket images, below team/`. */
export function placeOf(driver: StorageConfig["driver"]): string {
  switch (driver.kind) {
    case "filesystem":
      return driver.rootDirectory;
    case "s3": {
      const { bucket, root } = driver.settings;
      return `the bucket ${bucket}${root === "" ? "" : `, below ${root}`}`;
    }
    case "inmemory":
      return "memory";
  }
}

/** What is said of a place where nothing of a registry is. */
export function nothingStored(place: string): string {
  return `nothing of a registry is stored in ${place}: is it the right place, and is it mounted?`;
}

async function checkStored(driver: StorageDriver, storage: StorageConfig["driver"]): Promise<void> {
  if (storage.kind === "filesystem") {
    const root = await stat(storage.rootDirectory).catch(() => undefined);
    if (root?.isDirectory() === false) throw new Error(`${storage.rootDirectory} is a file, not a registry's folder`);
  }
  for await (const { objects } of listPages(driver, layout.root, { limit: 1 })) if (objects.length > 0) return;
  throw new Error(nothingStored(placeOf(storage)));
}

/** Why something failed: a sentence, or several. */
export function sentencesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  if (!(error instanceof Error)) return [String(error)];
  const { code, syscall } = error as NodeJS.ErrnoException;
  const isDenied = (code === "EACCES" || code === "EPERM") && syscall !== "listen";
  return [isDenied ? `${error.message}; run it as the user that the registry runs as` : error.message];
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`the configuration ${file} cannot be read: ${String(error)}`, { cause: error });
  }
}
