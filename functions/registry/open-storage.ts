/** The storage that the configuration names, for whoever works on it: the registry, or a command. */
import type { StorageConfig } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";
import { isSharedFolder, isUploadKey } from "../../shared/registry/layout.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { FilesystemDriver } from "../../shared/storage/filesystem/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";
import { storePromises } from "./store-promises.ts";

/**
 * Opens it. A bucket at another address than Amazon's is asked what it promises, unless nothing will be written. Throws where
 * it does not decide conditional writes and the configuration, or what it is opened for (`needing`), rests on them; and where it
 * cannot be asked and is opened for something, which could not begin.
 */
export async function openStorage(
  { driver, readOnly, immutableTags }: StorageConfig,
  logger: Logger,
  needing?: string,
): Promise<StorageDriver> {
  switch (driver.kind) {
    case "filesystem":
      return new FilesystemDriver(
        driver.rootDirectory,
        new MemoryBudget(limits.bodyMemoryBytes, limits.memoryWaitMs),
        isSharedFolder,
      );
    case "s3": {
      const { settings, logRequests } = driver;
      const { S3Driver } = await import("../../shared/storage/s3/driver.ts");
      const budget = new MemoryBudget(partMemory(settings.partBytes), limits.memoryWaitMs);
      const onCall = (call: object): void => logger.info("request to the store", { ...call });
      const needed = needing ?? (immutableTags.length > 0 ? "storage.tag.immutable" : undefined);
      const promises = await storePromises(settings, { readOnly, logger, needed, atOnce: needing !== undefined });
      return new S3Driver(settings, budget, promises, logRequests ? onCall : undefined, undefined, isUploadKey);
    }
    case "inmemory":
      return new MemoryDriver();
  }
}

/**
 * Memory for parts on their way to the store, in bytes: a share of what there is, so that a function of 2 GB has room for a
 * part of each of its 64 requests; and never less than two parts.
 */
function partMemory(partBytes: number): number {
  const share = limits.partMemoryShare * process.availableMemory();
  return Math.max(2 * partBytes, Math.min(Math.max(share, limits.bodyMemoryBytes), limits.partMemoryBytes));
}
