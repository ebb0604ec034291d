/** What is done every night, by a function of its own, since those that answer requests do nothing in between. */
import type { LoadedConfig } from "../../shared/config/load.ts";
import { Collector, type CollectorOptions, type StepOutcome } from "../../shared/gc/collector.ts";
import { retentionByRules, type RetentionRule } from "../../shared/gc/retention-rules.ts";
import { lineOf } from "../../shared/gc/summary.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";
import { compose, type Composition } from "../registry/compose.ts";
import { metricsOf } from "./metrics.ts";

const HOUR_MS = 60 * 60 * 1000;

/**
 * When a run is begun, since the schedule calls all through the night to go on with one that takes long. A run a night: 16
 * hours are more than the nightly window and a call that is delivered hours late, and less than the 19 h 15 min from the
 * window's last call to the next one's first where the clock goes forward in between. After a failure it is tried again in
 * the same night, and not with every call; but not for single things that the store refused to delete.
 */
export const NIGHT = { everyMs: 16 * HOUR_MS, afterFailureMs: HOUR_MS } as const;

/** What is left of an invocation's time for all that is not the collection. */
const MARGIN_MS = 60_000;

/** With less time uploads and the catalog are not seen to after a collection that failed: they are not left off on the way. */
const TIDY_MS = 300_000;

/** What is known of the call. */
export interface Invocation {
  /** How long it may still take, in milliseconds. */
  readonly remaining: () => number;
  /** Tells the figures of one registry from those of another in the same account. */
  readonly functionName: string;
}

type Attempt = (what: string, work: () => Promise<object | undefined>) => Promise<void>;

/**
 * Collects garbage, as far as the time goes: the schedule's next call goes on with it, and does nothing where the night's run
 * is done, failed not long ago, or is another's just now. With it go abandoned uploads, older than
 * `storage.maintenance.uploadpurging.age`, and the index of repositories is brought up to date; where the collection cannot
 * be done they are seen to all the same, if there is time. A registry that is read-only is left alone. Throws after all of
 * it was tried, so that the night counts as failed.
 */
export async function nightly(
  { config, notices }: LoadedConfig,
  logger: Logger,
  { remaining, functionName }: Invocation = { remaining: () => Infinity, functionName: "lading" },
): Promise<void> {
  for (const notice of notices) logger.warn(notice);
  const { uploadPurging, readOnly, gc } = config.storage;
  if (readOnly) {
    logger.warn("nothing is done: the registry is read-only");
    return;
  }
  const composition = await compose(config, logger);
  const failures: unknown[] = [];
  const attempt: Attempt = async (what, work) => {
    try {
      logger.info(what, { ...(await work()) });
    } catch (error) {
      logger.error(`${what}: failed`, { err: error });
      failures.push(error);
    }
  };
  const { ageMs, dryRun } = uploadPurging;
  try {
    const outcome = await collect(
      composition,
      { ...gc, uploadAgeMs: dryRun ? undefined : ageMs, warn: (message) => logger.warn(message) },
      remaining,
    ).catch((error: unknown) => error);
    await attempt("collected garbage", async () => told(outcome, logger, functionName));
    if (isDone(outcome) && !dryRun) {
      const { uploads: sessions, uploadBytes: bytes } = outcome.summary;
      logger.info("purged abandoned uploads", { sessions, bytes, dryRun });
      logger.info("brought the catalog up to date");
    } else if (!isLeftForLater(outcome)) {
      if (remaining() >= TIDY_MS) await tidy(composition, uploadPurging, attempt);
      else logger.warn("uploads and the catalog are left to a later call: there is no time for them");
    }
  } finally {
    await composition.close();
  }
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of the night's tasks failed`);
}

interface CollectSettings extends Pick<
  CollectorOptions,
  "setAside" | "trashMs" | "uploadAgeMs" | "concurrency" | "share" | "warn"
> {
  readonly graceMs: number;
  readonly retention: readonly RetentionRule[];
}

async function collect(
  { registry, driver }: Composition,
  { graceMs, retention, ...options }: CollectSettings,
  remaining: Invocation["remaining"],
): Promise<StepOutcome> {
  const collector = new Collector(driver, {
    times: gcTimes(graceMs),
    retention: retentionByRules(retention),
    dryRun: false,
    force: false,
    ...options,
    refreshCatalog: async (names) => await registry.reconcileCatalog(names),
  });
  return await collector.step({ ms: Math.max(0, remaining() - MARGIN_MS), ...NIGHT });
}

/** Logs the summary of a run at its end; gives what else there is to say. Throws what went wrong. */
function told(outcome: unknown, logger: Logger, functionName: string): object {
  if (outcome instanceof Error) throw outcome;
  const step = outcome as StepOutcome;
  if (step.state !== "done") return { ...step };
  logger.info(lineOf(step.summary), metricsOf(step.summary, functionName));
  if (step.summary.outcome === "failed") throw new Error(step.summary.reason);
  return { run: step.summary.run };
}

function isDone(outcome: unknown): outcome is Extract<StepOutcome, { state: "done" }> {
  const step = outcome as StepOutcome;
  return !(outcome instanceof Error) && step.state === "done" && step.summary.outcome === "done";
}

/** Nothing to do now, or others do it. */
function isLeftForLater(outcome: unknown): boolean {
  return !(outcome instanceof Error) && ["more", "idle", "busy"].includes((outcome as StepOutcome).state);
}

/** What needs no collection. */
async function tidy(
  { registry, driver }: Composition,
  { ageMs, dryRun }: { readonly ageMs: number; readonly dryRun: boolean },
  attempt: Attempt,
): Promise<void> {
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
}
