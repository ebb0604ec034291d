/** `npm run bench`: measures the built server beside its peers, and prints tables of medians and ratios. */
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { cpus, loadavg, release, tmpdir, totalmem, type as systemType } from "node:os";
import path from "node:path";
import { run } from "../test/support/process.ts";
import { measureAuthentication } from "./authentication.ts";
import { makeLargeImage } from "./content.ts";
import { measureLoad } from "./load.ts";
import { readOptions, USAGE, type Options } from "./options.ts";
import { notRun, writeReport, type Machine, type Results } from "./report.ts";
import { findServers, killServers, startServer, type Server, type ServerKind } from "./servers.ts";
import { measureStarts } from "./startup.ts";
import { measureEightAtOnce, measureUploads, type UploadResults } from "./uploads.ts";

const REPORT = "docs/benchmarks.md";

const options = parse();
if (options === undefined) process.stdout.write(USAGE);
else await main(options);

function parse(): Options | undefined {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function main(chosen: Options): Promise<void> {
  process.chdir(path.join(import.meta.dirname, ".."));
  const folder = await mkdtemp(path.join(tmpdir(), "lading-bench-"));
  process.on("exit", () => {
    killServers();
    // What was killed may take a moment to let go of its files.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
  // Only what has changed is written: an old build is not measured by mistake.
  await run([process.execPath, "bin/build.js"], { timeoutMs: 60_000 });
  const report = await writeReport(await measureAll(chosen, folder));
  process.stdout.write(report);
  if (chosen.save) {
    await writeFile(REPORT, report);
    progress(`written to ${REPORT}`);
  }
}

async function measureAll(chosen: Options, folder: string): Promise<Results> {
  const begin = performance.now();
  const loadAtStart = loadavg();
  const date = new Date().toISOString().slice(0, 10);
  const { kinds, absent } = await findServers(chosen.node);
  const [ours] = kinds;
  if (ours === undefined) throw new Error("no server to measure");
  for (const { name, version } of kinds) progress(`${name}: ${version}`);
  for (const peer of absent) progress(notRun(peer));

  progress("starts");
  const starts = await measureStarts(kinds, folder, chosen.starts);
  progress("authentication");
  const authentication = await measureAuthentication(ours, folder, chosen.rounds);

  const load = await withServers(kinds, folder, async (servers) => await measureLoad(servers, chosen, progress));
  const { uploads, eight } = await measureLayers(kinds, folder, chosen);

  const machine: Machine = {
    date,
    processors: cpus().length,
    model: cpus()[0]?.model ?? "unknown",
    memoryGib: totalmem() / 2 ** 30,
    system: `${systemType()} ${release()}`,
    loadAtStart,
    loadAtEnd: loadavg(),
    minutes: (performance.now() - begin) / 60_000,
  };
  return { options: chosen, machine, kinds, absent, starts, load, uploads, eight, authentication };
}

/** Starts all servers anew, over empty folders. */
async function withServers<T>(
  kinds: readonly ServerKind[],
  folder: string,
  work: (servers: readonly Server[]) => Promise<T>,
): Promise<T> {
  const servers: Server[] = [];
  for (const kind of kinds) servers.push(await startServer(kind, folder));
  const result = await work(servers);
  for (const server of servers) await server.stop();
  return result;
}

async function measureLayers(
  kinds: readonly ServerKind[],
  folder: string,
  chosen: Options,
): Promise<{ uploads: UploadResults | undefined; eight: UploadResults | undefined }> {
  if (chosen.layerMib === 0) return { uploads: undefined, eight: undefined };
  const layers = path.join(folder, "layers");
  await mkdir(layers);
  progress("make a large layer");
  const image = await makeLargeImage(layers, chosen.layerMib);
  return await withServers(kinds, folder, async (servers) => ({
    uploads: await measureUploads(servers, image, layers, chosen, progress),
    eight: await measureEightAtOnce(servers, image.layer, layers, progress),
  }));
}

function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
