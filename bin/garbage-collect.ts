/** `lading garbage-collect`: its command line, and what it prints. docs/garbage-collection.md says what it does. */
import { setTimeout as delay } from "node:timers/promises";
import { Collector, type CollectorOptions } from "../shared/gc/collector.ts";
import type { GcEvent, Phase } from "../shared/gc/events.ts";
import { retentionByRules } from "../shared/gc/retention-rules.ts";
import { deleteUntagged, either, keepAll } from "../shared/gc/retention.ts";
import { allRequests, undoableCount, type Summary } from "../shared/gc/summary.ts";
import { momentOf, spanOf } from "../shared/gc/times.ts";
import { undoingOf } from "../shared/gc/trash.ts";
import { StorageFullError, type StorageDriver } from "../shared/storage/driver.ts";
import { condemnedLines, foundLines, leftOf, someOf } from "./amounts.ts";
import { countOf, READER_GONE, processConsole, sizeOf, type Console } from "./console.ts";
import { parseOptions, requestOf } from "./options.ts";
import { openConfigured, sentencesOf, type Environment } from "./storage.ts";

/** What `lading garbage-collect --help` says. */
export const GARBAGE_COLLECT_USAGE = `usage: lading garbage-collect [options] [config.yml]

Deletes what nothing refers to any more, beside a running registry. A run condemns what it finds; the next one, 10 minutes or
more later, deletes what was condemned then and what nobody has asked for since. Those are 10 minutes whatever the grace period
is. What is younger than one and a half grace periods and two minutes (36h 2m where none is configured) is left alone.

  -d, --dry-run          say what would go, and why; change nothing
  -m, --delete-untagged  manifests that no tag names go too, but for what tagged ones and their signatures need
  -w, --wait             stay, and run again as soon as what was condemned may be deleted, until nothing is left
  -q, --quiet            print nothing but what goes wrong
      --set-aside        copy what is deleted aside for a week, so that it can be brought back where a bucket has no versions
      --force            collect although another registry writes to the storage now; it is not told, and may lose images

Ctrl-C ends it after the present step; the next run goes on from there. Ends with 0 when it is done, 1 when the run failed
(nothing is deleted where something cannot be read) or nothing of a registry is stored there, 2 when it was called wrongly,
3 when another collection is under way, 130 when it was interrupted.
`;

/** Marks are as old as whole seconds say, rounded up. */
const ROUNDING_MS = 2_000;
const POLL_MS = 250;
/** More often it has not to be run until nothing is left: manifests are condemned and deleted, then what they referred to. */
const MOST_RUNS = 8;

const ROOM =
  "a run needs some KB of room; what earlier ones deleted is in .lading/trash of a folder, in _gc/trash of a bucket: what lies " +
  "there may be removed, and cannot be brought back then";

const EXIT = { done: 0, failed: 1, busy: 3, interrupted: 130 } as const;

/** Runs it; gives the exit code. */
export async function garbageCollect(args: readonly string[], env: Environment): Promise<number> {
  // A run that has begun gives its lease back before it ends.
  const interrupted = new AbortController();
  let endsAtOnce = true;
  const console = processConsole(() => {
    if (endsAtOnce) process.exit(READER_GONE);
    interrupted.abort();
  });
  const flags = requestOf(console, "lading garbage-collect", GARBAGE_COLLECT_USAGE, () => readArgs(args));
  if (typeof flags === "number") return flags;
  try {
    const { config, place, driver, times, registry } = await openConfigured(flags.file, env, "garbage collection");
    const { enabled, ageMs, dryRun: purgesNothing } = config.storage.uploadPurging;
    endsAtOnce = flags.dryRun;
    if (!flags.dryRun) interruptOnSignal(interrupted);
    try {
      return await collect({
        driver,
        place,
        console,
        file: flags.file,
        options: {
          times,
          retention: either(retentionByRules(config.storage.gc.retention), flags.untagged ? deleteUntagged : keepAll),
          dryRun: flags.dryRun,
          force: flags.force,
          setAside: flags.setAside || config.storage.gc.setAside,
          trashMs: config.storage.gc.trashMs,
          concurrency: config.storage.gc.concurrency,
          share: config.storage.gc.share,
          uploadAgeMs: enabled && !purgesNothing ? ageMs : undefined,
          refreshCatalog: registry && (async (names) => await registry.reconcileCatalog(names)),
        },
        quiet: flags.quiet,
        waits: flags.wait,
        untagged: flags.untagged,
        signal: interrupted.signal,
        pause: async (ms) => await delay(ms, undefined, { signal: interrupted.signal }).catch(() => undefined),
      });
    } finally {
      driver.close?.();
    }
  } catch (error) {
    for (const sentence of failureOf(error)) console.err(`lading garbage-collect: ${sentence}`);
    return EXIT.failed;
  }
}

/** Why no run could begin, or be ended: sentences, with what makes room where there is none. */
export function failureOf(error: unknown): readonly string[] {
  const isFull =
    error instanceof StorageFullError && (error.cause as NodeJS.ErrnoException | undefined)?.code !== "EROFS";
  return isFull ? [...sentencesOf(error), ROOM] : sentencesOf(error);
}

/** Undefined where help is asked for. Throws with a sentence. */
function readArgs(args: readonly string[]) {
  if (args.some((arg) => arg.startsWith("--grace"))) {
    throw new Error(
      "the grace period is what the running registry has promised to pushes: set storage.maintenance.gc.grace for all that " +
        "serve and collect the storage, and restart them",
    );
  }
  const { values, positionals } = parseOptions({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      "dry-run": { type: "boolean", short: "d" },
      "delete-untagged": { type: "boolean", short: "m" },
      wait: { type: "boolean", short: "w" },
      quiet: { type: "boolean", short: "q" },
      "set-aside": { type: "boolean" },
      force: { type: "boolean" },
    },
  });
  if (values.help === true) return undefined;
  const [file, ...more] = positionals;
  if (more.length > 0) throw new Error("expected one configuration file");
  const dryRun = values["dry-run"] ?? false;
  const wait = values.wait ?? false;
  if (dryRun && wait) throw new Error("a dry run condemns nothing, so there is nothing to wait for");
  const [untagged, setAside] = [values["delete-untagged"] ?? false, values["set-aside"] ?? false];
  return { file, dryRun, wait, untagged, setAside, quiet: values.quiet ?? false, force: values.force ?? false };
}

/** What a collection from the command line needs. */
export interface Collection {
  readonly driver: StorageDriver;
  /** What is collected, as people say it. */
  readonly place: string;
  readonly options: Omit<CollectorOptions, "report">;
  readonly console: Console;
  readonly quiet: boolean;
  /** Runs again until nothing is left. */
  readonly waits: boolean;
  /** Was asked for what no tag names, beside what the configuration says: a run that is not lets it be. */
  readonly untagged?: boolean;
  /** What was named as the configuration, for commands that are told to the user. */
  readonly file?: string | undefined;
  readonly signal: AbortSignal;
  /** Waits for so many milliseconds, or until `signal`. */
  readonly pause: (ms: number) => Promise<unknown>;
}

/** Collects, and prints what happens. Gives the exit code; throws what goes wrong around a run. */
export async function collect(collection: Collection): Promise<number> {
  const { driver, place, options, console, quiet, waits, untagged = false, signal, pause } = collection;
  const { times, dryRun } = options;
  const say = (line: string): void => {
    if (!quiet) console.out(line);
  };
  say(
    `collecting ${place}; what is younger than ${spanOf(times.horizonMs)} is left alone ` +
      `(storage.maintenance.gc.grace is ${spanOf(times.graceMs)})`,
  );
  const { cannotUndo } = await undoingOf(driver, options.setAside);
  if (!dryRun && cannotUndo !== undefined) {
    console.err(
      `NOTE: nothing can bring back what is deleted: ${cannotUndo}. Turn versioning on, or set storage.maintenance.gc.trash, ` +
        "or call this with --set-aside",
    );
  }
  for (let run = 1; ; run++) {
    const outcome = await oneRun(collection);
    if (outcome.state === "busy") {
      console.err(`another collection is under way; its lease ends at ${momentOf(outcome.until)} unless it goes on`);
      return EXIT.busy;
    }
    if (outcome.state === "idle") return EXIT.done; // only for who asks for runs at intervals
    if (outcome.state === "more") {
      console.err(`interrupted while at "${outcome.phase}"; the next run goes on from there`);
      return EXIT.interrupted;
    }
    const { summary } = outcome;
    if (summary.outcome === "failed") {
      const stays = dryRun
        ? ""
        : hasDeleted(outcome.phase)
          ? ", and what it had not deleted yet stays"
          : " and deleted nothing";
      console.err(`the run failed${stays}: ${summary.reason ?? ""}`);
      return EXIT.failed;
    }
    const left = leftOf(summary);
    for (const line of linesOf(summary, collection)) say(line);
    if (!waits || (left === 0 && summary.deletedManifests + summary.deletedTags === 0)) return EXIT.done;
    if (run === MOST_RUNS) {
      console.err(`${left} are left after ${run} runs: the next ones go on with them`);
      return EXIT.done;
    }
    if (left > 0) {
      say(
        `waiting ${spanOf(times.settleMs)} until they may be deleted; Ctrl-C ends this, and a later run deletes them` +
          (untagged && condemnedManifests(summary) > 0 ? " that is called with --delete-untagged too" : ""),
      );
      await pause(times.settleMs + ROUNDING_MS);
    }
    if (signal.aborted) {
      console.err("interrupted; the next run deletes what is condemned");
      return EXIT.interrupted;
    }
  }
}

/** Whether a run that ended in this phase, if it is known, may have deleted something. */
function hasDeleted(phase: Phase | undefined): boolean {
  return phase !== "marking" && phase !== "clear" && phase !== "condemn";
}

async function oneRun({ driver, options, console, quiet, signal }: Collection) {
  const report = quiet ? undefined : reportTo(console, options.dryRun);
  const collector = new Collector(driver, { ...options, report });
  const timer = quiet ? undefined : setInterval(() => showProgress(console, collector), POLL_MS);
  try {
    const outcome = await collector.step({ ms: Infinity, signal });
    return outcome.state === "done" ? { ...outcome, phase: collector.progress?.phase } : outcome;
  } finally {
    clearInterval(timer);
    console.endProgress();
  }
}

const WOULD_BE = { now: "would be deleted", "once condemned": "would be condemned" } as const;

/** As distribution words it, with more columns after the digest. */
function reportTo(console: Console, dryRun: boolean): (event: GcEvent) => void {
  return (event) => {
    if (event.kind === "marked") {
      const { marked, eligible, eligibleManifests, eligibleTags } = event.counts;
      const tags = eligibleTags === 0 ? "" : `, and ${countOf(eligibleTags, "tag")}`;
      console.out(
        `\n${marked} blobs marked, ${eligible} blobs and ${eligibleManifests} manifests${tags} eligible for deletion`,
      );
      return;
    }
    const { digest, repository, tag, reason, size } = event;
    const what = tag !== undefined ? "tag" : repository !== undefined ? "manifest" : "blob";
    const where = tag === undefined ? repository : `${repository ?? ""}:${tag}`;
    if (event.kind === "deleted") {
      console.out(`${what} deleted: ${digest}  ${size === undefined ? (where ?? "") : sizeOf(size)}`);
      return;
    }
    const next =
      event.due instanceof Date ? `condemned, may be deleted from ${momentOf(event.due)}` : WOULD_BE[event.due];
    const columns = [
      `${what} eligible for deletion: ${digest}`,
      ...(size === undefined ? [] : [sizeOf(size).padStart(8)]),
      ...(where === undefined ? [] : [where]),
      ...(dryRun ? [reason, next] : []),
    ];
    console.out(columns.join("  "));
  };
}

function showProgress(console: Console, collector: Collector): void {
  const { progress } = collector;
  if (progress === undefined) return;
  const { phase, done, total, requests } = progress;
  if (total === undefined || total === 0) console.progress(`${phase}: ${requests} requests`);
  else console.progress(`${phase}: ${done} of ${total}`, done / total);
}

/** How many manifests are condemned now, and not deleted. */
function condemnedManifests({ fresh, waiting }: Summary): number {
  return (fresh?.manifests ?? 0) + (waiting?.manifests ?? 0);
}

function linesOf(summary: Summary, { waits, untagged = false, file, driver }: Collection): string[] {
  const { run, dryRun, deleted, deletedBytes, deletedManifests, uploads, uploadBytes, lost, refused, undoable } =
    summary;
  const { requests, seconds, dollars, deletedTags } = summary;
  const lines: string[] = [];
  if (dryRun) {
    const { eligible: blobs, eligibleBytes: bytes, eligibleManifests: manifests, eligibleTags: tags } = summary;
    lines.push(`${someOf({ blobs, bytes, manifests, tags })} would go; nothing was changed`);
    if (uploads > 0) lines.push(`${countOf(uploads, "abandoned upload")} (${sizeOf(uploadBytes)}) would go at once`);
    if (summary.cannotUndo !== undefined) lines.push(`nothing could bring it back: ${summary.cannotUndo}`);
  } else {
    const gone = { blobs: deleted, bytes: deletedBytes, manifests: deletedManifests, tags: deletedTags };
    lines.push(`${someOf(gone, summary)} deleted`);
    lines.push(...condemnedLines(summary, waits ? "" : " (--wait stays for it)"));
    if (untagged && condemnedManifests(summary) > 0) {
      lines.push(
        "a run without --delete-untagged in between lets these manifests be: they are condemned anew after it",
      );
    }
    if (deletedTags > 0) lines.push("manifests that no tag names any more are looked at by the next run");
    if (deletedManifests > 0) lines.push("what only those manifests referred to is condemned by the next run");
    if (lost > 0) lines.push(`${lost} of them stay for now: somebody wanted them again, or another run is at it`);
    if (refused > 0) lines.push(`${refused} of them are left to the next run: this one was too late`);
  }
  lines.push(...foundLines(summary));
  const price = driver.name === "s3" ? `, about $${dollars.toFixed(4)} at Amazon's prices` : "";
  lines.push(`run ${run}: ${allRequests(requests)} requests, ${seconds.toFixed(1)} s${price}`);
  if (!dryRun && undoableCount(summary) > 0) {
    lines.push(
      undoable
        ? `"lading gc undo ${[run, ...(file === undefined ? [] : [file])].join(" ")}" brings back what it deleted`
        : "nothing can bring back what it deleted",
    );
  }
  return lines;
}

/** The first signal ends the work after the present step; a second one does not wait. */
function interruptOnSignal(interrupted: AbortController): void {
  const onSignal = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
    interrupted.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
