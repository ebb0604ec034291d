/** What is done every night, by a function of its own, since those that answer requests do nothing in between. */
import type { LoadedConfig } from "../../shared/config/load.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";
import { compose } from "../registry/compose.ts";

/**
 * Removes abandoned uploads, older than `storage.maintenance.uploadpurging.age`, and brings the index of repositories up to
 * date. A registry that is read-only is left alone. Throws after all of it was tried, so that the night counts as failed.
 */
export async function nightly({ config, notices }: LoadedConfig, logger: Logger): Promise<void> {
  for (const notice of notices) logger.warn(notice);
  const { uploadPurging, readOnly } = config.storage;
  if (readOnly) {
    logger.warn("nothing is done: the registry is read-only");
    return;
  }
  const composition = await compose(config, logger);
  const { registry, driver } = composition;
  const failures: unknown[] = [];
  const attempt = async (what: string, work: () => Promise<object | undefined>): Promise<void> => {
    try {
      logger.info(what, { ...(await work()) });
    } catch (error) {
      logger.error(`${what}: failed`, { err: error });
      failures.push(error);
    }
  };
  try {
    const { ageMs, dryRun } = uploadPurging;
    await attempt("purged abandoned uploads", async () => {
      const { sessions, bytes } = await registry.purgeUploads({ ageMs, dryRun });
      return { sessions: sessions.length, bytes, dryRun };
    });
    if (!dryRun) {
      await attempt("removed what uploads left in the store", async () => {
        await driver.removeLeftovers?.(ageMs, layout.root);
        return undefined;
      });
    }
    await attempt("brought the catalog up to date", async () => await registry.refreshCatalog({ ageMs: 0 }));
  } finally {
    await composition.close();
  }
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of the night's tasks failed`);
}
