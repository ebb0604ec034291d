/** `lading verify`: its command line, and how it prints. docs/verify.md lists what it finds. */
import { availableParallelism } from "node:os";
import { KINDS, type Finding } from "../shared/verify/finding.ts";
import { verify, type Verified } from "../shared/verify/verify.ts";
import { countOf, processConsole, sizeOf, type Console } from "./console.ts";
import { parseOptions, requestOf } from "./options.ts";
import { nothingStored, openConfigured, sentencesOf, type Environment } from "./storage.ts";

/** What `lading verify --help` says. */
export const VERIFY_USAGE = `usage: lading verify [options] [config.yml]

Reads everything that is stored, beside a running registry, and reports what is not as it should be: blobs whose bytes are
not their digest, links and tags that lead nowhere or cannot be read, images with something missing.

      --repair  write what can be nothing else again: links whose content follows from their path and whose blob is stored,
                entries of the referrers' index and of the catalog's. Nothing is deleted
  -q, --quiet   print only what is damaged: nothing that harms nobody, and no summary
      --json    one JSON object a line

Ends with 0 where nothing is damaged (any more), 1 where something is, where it could not be looked at or nothing is stored
at all, 2 when it was called wrongly.
`;

/** Bytes of so many blobs are read at a time, at the least. */
const LEAST_READS = 4;

/** Runs it; gives the exit code. */
export async function runVerify(args: readonly string[], env: Environment): Promise<number> {
  const console = processConsole();
  const flags = requestOf(console, "lading verify", VERIFY_USAGE, () => readArgs(args));
  if (typeof flags === "number") return flags;
  const { file, quiet, json, repair } = flags;
  try {
    const needing = repair ? "verify --repair" : undefined;
    const { config, place, driver, times, registry } = await openConfigured(file, env, needing);
    const { allowSparseManifests: allowSparse, allowSparseIndexes } = config.validation;
    try {
      const verified = await verify(driver, {
        times,
        repair,
        reads: Math.max(LEAST_READS, 2 * availableParallelism()),
        allowSparse,
        allowSparseIndexes,
        report: (finding) => {
          if (!quiet || isDamage(finding)) console.out(json ? JSON.stringify(finding) : lineOf(finding));
        },
        progress: ({ part, done, total }) => {
          if (quiet) return;
          const bytes = part === "read blobs" ? `${sizeOf(done)} of ${sizeOf(total ?? 0)}` : `${done}`;
          console.progress(`${part}: ${bytes}`, total === undefined || total === 0 ? undefined : done / total);
        },
        reconcileCatalog: registry && (async (names) => await registry.reconcileCatalog(names)),
      });
      console.endProgress();
      if (!quiet) tell(console, place, verified, json);
      if (verified.blobs + verified.links === 0) {
        console.err(`lading verify: ${nothingStored(place)}`);
        return 1;
      }
      return verified.damages === 0 ? 0 : 1;
    } finally {
      driver.close?.();
    }
  } catch (error) {
    for (const sentence of sentencesOf(error)) console.err(`lading verify: ${sentence}`);
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
      repair: { type: "boolean" },
      quiet: { type: "boolean", short: "q" },
      json: { type: "boolean" },
    },
  });
  if (values.help === true) return undefined;
  const [file, ...more] = positionals;
  if (more.length > 0) throw new Error("expected one configuration file");
  return { file, repair: values.repair ?? false, quiet: values.quiet ?? false, json: values.json ?? false };
}

function isDamage({ kind, repair }: Finding): boolean {
  return KINDS[kind] === "damage" && repair !== "done";
}

const REPAIRS = { possible: " (--repair sees to it)", done: " (repaired)", "not done": "" } as const;

function lineOf(finding: Finding): string {
  const { kind, key, repository, tag, text, repair } = finding;
  const where = tag === undefined ? key : `${repository ?? ""}:${tag}`;
  const level = repair === "done" ? "repaired" : KINDS[kind] === "damage" ? "DAMAGE  " : "note    ";
  return `${level}  ${kind}: ${where}: ${text}${repair === undefined ? "" : REPAIRS[repair]}`;
}

function tell(console: Console, place: string, verified: Verified, json: boolean): void {
  if (json) {
    console.out(JSON.stringify({ place, summary: verified }));
    return;
  }
  const { blobs, bytes, repositories, links, damages, notes, repaired, repairable } = verified;
  console.out(
    `${countOf(blobs, "blob")} (${sizeOf(bytes)}), ${countOf(repositories, "repository")}, ${countOf(links, "link")} read in ${place}`,
  );
  console.out(
    `${damages} damaged, ${notes} to know` +
      (repaired === 0 ? "" : `, ${repaired} repaired`) +
      (repairable === 0 ? "" : `; --repair would see to ${repairable} of them`),
  );
}
