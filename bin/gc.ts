/** `lading gc`: what collections did, and taking it back. */
import { kindOf, readJournal, type JournalEntry } from "../shared/gc/journal.ts";
import { allRequests, undoableCount, type Summary } from "../shared/gc/summary.ts";
import { momentOf, spanOf } from "../shared/gc/times.ts";
import { journalCounts, keptRuns, type KeptRun } from "../shared/gc/runs.ts";
import { trashKept } from "../shared/gc/trash.ts";
import { undoAndRecord } from "../shared/gc/undo-record.ts";
import type { UndoneEntry } from "../shared/gc/undo.ts";
import type { GcTimes } from "../shared/registry/gc-times.ts";
import type { StorageDriver } from "../shared/storage/driver.ts";
import { amountOf, condemnedLines, countAll, foundLines } from "./amounts.ts";
import { countOf, processConsole, sizeOf, tableOf, type Console } from "./console.ts";
import { parseOptions, requestOf, unknownCommand } from "./options.ts";
import { openConfigured, sentencesOf, type Environment } from "./storage.ts";

/** What `lading gc --help` says. */
export const GC_USAGE = `usage: lading gc runs [config.yml]
       lading gc show RUN [config.yml]
       lading gc undo [--yes] [--quiet] RUN [config.yml]

runs lists the collections of the last month and says which were undone, show says what one of them did, undo brings back
what it deleted. RUN is the name of a run, or the beginning of one. undo asks first; --yes answers. It prints what became of
each blob, manifest and tag; with --quiet only what cannot be brought back. It can be done beside a running registry, and
again.

Ends with 0, with 1 where something went wrong or could not be brought back, with 2 when it was called wrongly.
`;

const TAGS_ARE_YOUNG =
  "tags come back as if they were pushed now: by a rule with keep.last those go next that it kept; change the rule first";

/** What `lading gc` works on. */
export interface GcWork {
  readonly driver: StorageDriver;
  /** The storage, as people say it. */
  readonly place: string;
  readonly times: GcTimes;
  readonly console: Console;
}

/** Runs it; gives the exit code. */
export async function gc(args: readonly string[], env: Environment): Promise<number> {
  const console = processConsole();
  const request = requestOf(console, "lading gc", GC_USAGE, () => readArgs(args));
  if (typeof request === "number") return request;
  try {
    const needing = request.command === "undo" ? "undo" : undefined;
    const { driver, place, times } = await openConfigured(request.file, env, needing);
    try {
      const work = { driver, place, times, console };
      if (request.command === "runs") return await listRuns(work);
      if (request.command === "show") return await showRun(work, request.run);
      return await undoRun(work, request.run, request);
    } finally {
      driver.close?.();
    }
  } catch (error) {
    for (const sentence of sentencesOf(error)) console.err(`lading gc: ${sentence}`);
    return 1;
  }
}

/** Undefined where help is asked for. Throws with a sentence. */
function readArgs(args: readonly string[]) {
  const { values, positionals } = parseOptions({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      yes: { type: "boolean", short: "y" },
      quiet: { type: "boolean", short: "q" },
    },
  });
  if (values.help === true) return undefined;
  const [command, ...rest] = positionals;
  const answers = { yes: values.yes ?? false, quiet: values.quiet ?? false };
  if (command === "runs" && rest.length <= 1) return { command, file: rest[0], run: "", ...answers } as const;
  if (command !== "show" && command !== "undo") {
    const isKnown = command === undefined || command === "runs";
    throw new Error(isKnown ? "expected runs, show or undo" : unknownCommand(command, ["runs", "show", "undo"]));
  }
  const [run, file, ...more] = rest;
  if (run === undefined || more.length > 0 || /\.ya?ml$/.test(run))
    throw new Error(`expected the name of a run, as "lading gc runs" lists them, and then the configuration file`);
  return { command, file, run, ...answers } as const;
}

/** Lists the runs that something is kept of. */
export async function listRuns({ driver, place, console }: GcWork): Promise<number> {
  const runs = await keptRuns(driver);
  if (runs.length === 0) {
    console.out(`no collection of ${place} is known`);
    return 0;
  }
  const isKept = await trashKept(driver);
  const head = ["run", "outcome", "condemned", "blobs", "bytes", "manifests", "tags", "uploads", "undo", "undone"];
  const rows = runs.map(({ run, summary, undone }) => {
    const missing = countAll(undone?.record?.missing);
    const when = undone === undefined ? "-" : `${momentOf(undone.at)}${missing === 0 ? "" : `, ${missing} missing`}`;
    if (summary === undefined)
      return [run, "not at its end", ...Array.from({ length: head.length - 3 }, () => ""), when];
    const { outcome, condemned, deleted, deletedBytes, deletedManifests, deletedTags, uploads } = summary;
    return [
      run,
      outcome,
      `${condemned}`,
      `${deleted}`,
      sizeOf(deletedBytes),
      `${deletedManifests}`,
      `${deletedTags}`,
      `${uploads}`,
      undoingOf(summary, isKept),
      when,
    ];
  });
  for (const line of tableOf(head, rows)) console.out(line);
  return 0;
}

function undoingOf(summary: Summary, isKept: (run: string, setAside: boolean) => boolean): string {
  if (undoableCount(summary) === 0) return "-";
  if (!summary.undoable) return "no";
  return isKept(summary.run, summary.setAside === true) ? "yes" : "over";
}

/** Says what a run did, and all that it deleted. */
export async function showRun({ driver, console }: GcWork, name: string): Promise<number> {
  const { run, summary, undone } = await findRun(driver, name);
  console.out(`run ${run}${summary === undefined ? ": under way, or left off" : `: ${summary.outcome}`}`);
  if (summary?.reason !== undefined) console.out(`reason: ${summary.reason}`);
  if (summary !== undefined) {
    const { marked, repositories, condemned, lost, refused, requests, seconds } = summary;
    const { eligible: blobs, eligibleBytes: bytes, eligibleManifests: manifests, eligibleTags: tags } = summary;
    console.out(`begun ${summary.begun}, ${seconds.toFixed(1)} s of work, ${allRequests(requests)} requests`);
    console.out(`${countOf(marked, "blob")} in use, ${countOf(repositories, "repository")}`);
    console.out(`${amountOf({ blobs, bytes, manifests, tags })} eligible, ${condemned} condemned`);
    if (lost > 0) console.out(`${lost} wanted again in between`);
    if (refused > 0) console.out(`${refused} left to a later run`);
    console.out(
      `${countOf(summary.deleted, "blob")} (${sizeOf(summary.deletedBytes)}), ` +
        `${countOf(summary.deletedManifests, "manifest")}, ${countOf(summary.deletedTags, "tag")} and ${countOf(summary.uploads, "upload")} deleted`,
    );
    for (const line of [...condemnedLines(summary), ...foundLines(summary)]) console.out(line);
  }
  if (undone !== undefined) console.out(undoneLine(undone));
  for await (const { entries } of readJournal(driver, run)) {
    for (const entry of entries) console.out(lineOf(entry));
  }
  return 0;
}

function undoneLine({ at, record }: NonNullable<KeptRun["undone"]>): string {
  const line = `undone ${momentOf(at)}`;
  if (record === undefined) return line;
  const { restored, there, missing } = record;
  const more = [
    ...(countAll(there) === 0 ? [] : [`${amountOf(there)} were there already`]),
    ...(countAll(missing) === 0 ? [] : [`${amountOf(missing)} could not be brought back`]),
  ];
  return `${line}: ${[`${amountOf(restored)} brought back`, ...more].join("; ")}`;
}

function lineOf(entry: JournalEntry): string {
  const { digest, repository = "", tag = "", size = 0, links } = entry;
  switch (kindOf(entry)) {
    case "tag":
      return `tag       ${repository}:${tag}  ${digest}`;
    case "manifest":
      return `manifest  ${repository}@${digest}`;
    case "blob":
      return `blob      ${digest}  ${sizeOf(size)}  ${countOf(links.length, "link")}`;
    case "links":
      return `no bytes  ${digest}  ${countOf(links.length, "link")}`;
  }
}

/** Brings back what a run deleted. Asks before, unless told. Quiet, it prints nothing but what goes wrong. */
export async function undoRun(
  { driver, times, console }: GcWork,
  name: string,
  { yes, quiet = false }: { readonly yes: boolean; readonly quiet?: boolean },
): Promise<number> {
  const { run, summary } = await findRun(driver, name);
  const counts = await journalCounts(driver, run);
  const what = amountOf(counts);
  if (countAll(counts) === 0) {
    if (!quiet) console.out(`run ${run} deleted nothing that could be brought back`);
    return 0;
  }
  if (summary?.undoable === false) console.err("NOTE: when that run began nothing kept what it deleted");
  if (counts.tags > 0 && !quiet) console.out(TAGS_ARE_YOUNG);
  if (!yes) {
    const answer = await console.ask(`bring back ${what}? [y/N] `);
    if (answer === undefined) {
      console.err(`lading gc undo: ${what} would be brought back; --yes does it where there is no terminal to ask on`);
      return 2;
    }
    if (!/^y(?:es)?$/i.test(answer.trim())) return 1;
  }
  const undone = await undoAndRecord(driver, run, times, (entry) => {
    if (!quiet) console.out(fateOf(entry));
    else if (entry.outcome === "gone") console.err(fateOf(entry));
  });
  if (!quiet) {
    const { length } = undone.missing;
    console.out(`${amountOf(undone)} are there again${length === 0 ? "" : `; ${length} are not`}`);
    if (countAll(undone) > undone.there) {
      console.out(
        `what is not tagged, and what nothing refers to, may be collected again in ${spanOf(times.horizonMs)}`,
      );
    }
  }
  return undone.missing.length === 0 ? 0 : 1;
}

const FATES = { restored: "brought back", there: "is there already", gone: "cannot be brought back" } as const;

/** As `lading garbage-collect` has it of what it deletes. */
function fateOf({ entry: { digest, repository = "", tag, bytes, size }, outcome, reason }: UndoneEntry): string {
  const what = tag !== undefined ? "tag" : bytes === undefined ? "manifest" : "blob";
  const columns = [
    `${what} ${FATES[outcome]}: ${digest}`,
    ...(tag !== undefined ? [`${repository}:${tag}`] : bytes === undefined ? [repository] : [sizeOf(size ?? 0)]),
    ...(reason === undefined ? [] : [reason]),
  ];
  return columns.join("  ");
}

async function findRun(driver: StorageDriver, name: string): Promise<KeptRun> {
  const found = (await keptRuns(driver)).filter(({ run }) => run.startsWith(name));
  const exact = found.find(({ run }) => run === name) ?? (found.length === 1 ? found[0] : undefined);
  if (exact !== undefined) return exact;
  throw new Error(
    found.length === 0
      ? `no run is called ${name}; "lading gc runs" lists them, for a month`
      : `${found.length} runs begin with ${name}: ${found.map(({ run }) => run).join(", ")}`,
  );
}
