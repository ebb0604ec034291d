/** The collector of the soak, for a process of its own and for the end. */
import { Collector } from "../../../shared/gc/collector.ts";
import { deleteUntagged, keepAll } from "../../../shared/gc/retention.ts";
import { Registry } from "../../../shared/registry/registry.ts";
import type { StorageDriver } from "../../../shared/storage/driver.ts";
import { TIMES, UPLOAD_AGE_MS } from "./settings.ts";

/** With a lease that keeps nobody out: two collectors at once are to do no harm. */
export function soakCollector(driver: StorageDriver, untagged: boolean): Collector {
  const policy = { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true };
  const registry = new Registry({ driver, policy, now: () => new Date(), times: TIMES, catalog: "index" });
  return new Collector(driver, {
    times: TIMES,
    retention: untagged ? deleteUntagged : keepAll,
    dryRun: false,
    force: false,
    setAside: false,
    trashMs: 60_000,
    keepRunsMs: 60_000,
    leaseMs: 1,
    uploadAgeMs: UPLOAD_AGE_MS,
    refreshCatalog: async (names) => await registry.reconcileCatalog(names),
  });
}
