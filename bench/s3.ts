/**
 * `npm run bench:s3`: large layers into one S3 server through Lading and registry 3.1, and what the Lambda functions weigh.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { DeleteObjectsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { format, resolveConfig } from "prettier";
import { stringify } from "yaml";
import { bucketSection } from "../test/support/lading.ts";
import { run } from "../test/support/process.ts";
import { s3Client, startVersitygw, type S3Server } from "../test/support/s3-servers.ts";
import { nodeTool } from "../test/support/tools.ts";
import { makeLargeImage } from "./content.ts";
import { EMPTY, FUNCTION, measureFunctionStarts, weighBundles, type Weight } from "./functions.ts";
import { readOptions, type Options } from "./options.ts";
import type { Samples } from "./samples.ts";
import { findServers, killServers, OURS, startServer, type ServerKind } from "./servers.ts";
import { comparison, integer, peaks, spread, table } from "./tables.ts";
import { CURL_PUT, measureEightAtOnce, measureUploads, PUSH, type UploadResults } from "./uploads.ts";

const REPORT = "docs/benchmarks-s3.md";
const PEER = "registry 3.1";

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write("usage: npm run bench:s3 -- [--rounds N] [--layer-mb N] [--save]\n");
else await main(options);

async function main(chosen: Options): Promise<void> {
  process.chdir(path.join(import.meta.dirname, ".."));
  const folder = await mkdtemp(path.join(tmpdir(), "lading-bench-s3-"));
  process.on("exit", killServers);
  const store = await startVersitygw();
  try {
    await run([process.execPath, "bin/build.js"], { timeoutMs: 60_000 });
    const report = await measureAll(chosen, folder, store);
    process.stdout.write(report);
    if (chosen.save) await writeFile(REPORT, report);
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureAll(chosen: Options, folder: string, store: S3Server): Promise<string> {
  const loadAtStart = loadavg();
  const { kinds: all } = await findServers(chosen.node);
  const kinds: ServerKind[] = [];
  for (const kind of all) {
    if (kind.name === OURS || kind.name === PEER) kinds.push(onBucket(kind, store, await store.freshBucket()));
  }
  if (kinds.length < 2) throw new Error(`${PEER} is not installed: test/tools/install.sh registry-3`);

  progress("starts of the function");
  const starts = await measureStarts(folder, store, chosen.starts);
  const image = await makeLargeImage(folder, chosen.layerMib);
  const servers = [];
  for (const kind of kinds) servers.push(await startServer(kind, folder));
  const uploads = await measureUploads(servers, image, folder, chosen, progress);
  for (const server of servers.splice(0)) await server.stop();
  // Eight at once are measured of processes that have done nothing before.
  for (const kind of kinds) servers.push(await startServer(kind, folder));
  const eight = await measureEightAtOnce(servers, image.layer, folder, progress);
  for (const server of servers) await server.stop();
  return await reportOf({ chosen, kinds, uploads, eight, starts, weights: weighBundles(), loadAtStart });
}

/** The same server with its content in a bucket. */
function onBucket(kind: ServerKind, store: S3Server, bucket: string): ServerKind {
  const { name, command, version, env } = kind;
  return {
    name,
    command,
    version,
    env,
    config: ({ port }) =>
      stringify({
        version: 0.1,
        storage: { s3: bucketSection({ access: store, name: bucket }), delete: { enabled: true } },
        http: { addr: `127.0.0.1:${port}` },
      }),
    forgetAll: async () => {
      const client = s3Client(store);
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      const Objects = Contents.map(({ Key }) => ({ Key }));
      if (Objects.length > 0) await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }));
      client.destroy();
    },
  };
}

async function measureStarts(folder: string, store: S3Server, starts: number): Promise<Samples> {
  const emptyHandler = path.join(folder, "empty.mjs");
  await writeFile(emptyHandler, "export const handler = async () => ({ statusCode: 200 });\n");
  const env = {
    REGISTRY_STORAGE: "s3",
    REGISTRY_STORAGE_S3_BUCKET: await store.freshBucket(),
    REGISTRY_STORAGE_S3_REGION: store.region,
    REGISTRY_STORAGE_S3_REGIONENDPOINT: store.endpoint,
    REGISTRY_STORAGE_S3_ACCESSKEY: store.accessKeyId,
    REGISTRY_STORAGE_S3_SECRETKEY: store.secretAccessKey,
  };
  return await measureFunctionStarts(nodeTool(), { env, emptyHandler, starts: Math.max(starts, 15) });
}

interface Measured {
  readonly chosen: Options;
  readonly kinds: readonly ServerKind[];
  readonly uploads: UploadResults;
  readonly eight: UploadResults;
  readonly starts: Samples;
  readonly weights: readonly Weight[];
  readonly loadAtStart: readonly number[];
}

async function reportOf(measured: Measured): Promise<string> {
  const { chosen, kinds, uploads, eight, starts, weights, loadAtStart } = measured;
  const compared = { kinds };
  const size = `${chosen.layerMib} MiB`;
  const seconds = (value: number): string => value.toFixed(2);
  const [cpu] = cpus();
  const load = [loadAtStart, loadavg()].map((three) => three.map((one) => one.toFixed(2)).join(", "));
  const noSlower = [CURL_PUT, PUSH].map((row) => {
    const ratio = uploads.seconds.ratio(row, OURS, PEER);
    return `- A layer of ${size} by ${row}, no slower than ${PEER}: ${verdict(ratio.median >= 1)}. It is ${spread(ratio)}.`;
  });
  const highest = Math.max(...eight.peak.rows.flatMap((row) => eight.peak.values(row, OURS)));
  const parts = [
    "# Benchmarks on S3",
    `Written by \`npm run bench:s3 -- --save\`: Lading and ${PEER} as servers, each with a bucket of one versitygw on this machine, in one run. Medians of ${chosen.rounds} rounds after one to warm up; **×** is how many times as good Lading is, the median of the ratios within each round. The clients, the servers and the store share the processors: ${cpus().length} × ${cpu?.model ?? "unknown"}, load ${String(load[0])} at the start and ${String(load[1])} at the end. Versions: ${kinds.map(({ name, version }) => `${name} ${version}`).join("; ")}.`,
    "## Bars",
    [
      ...noSlower,
      `- Peak memory below 400 MB with eight layers at once: ${verdict(highest < 400)}. It is ${integer(highest)} MB.`,
    ].join("\n"),
    "## Large layers",
    `A layer of ${size} that cannot be compressed; the bucket is emptied after each. Pulls follow the redirect to the store. Seconds:`,
    comparison(compared, uploads.seconds, seconds),
    "Seconds of the server's processor time:",
    comparison(compared, uploads.cpu, seconds),
    "The peak of the server's resident memory in MB, of all rounds:",
    peaks(compared, uploads.peak),
    `Eight different layers of ${size} at once, measured once: seconds until all were done, and the peak of the server's resident memory in MB.`,
    comparison(compared, eight.seconds, seconds),
    peaks(compared, eight.peak),
    "## The functions",
    "What is deployed, in kB:",
    table(
      ["", "files", "gzipped"],
      weights.map(({ name, kb, gzipped }) => [name, integer(kb), integer(gzipped)]),
    ),
    "Milliseconds, medians of 15 starts in turn on Lambda's version of Node, whose own start is in all of them:",
    table(
      ["", FUNCTION, EMPTY, "more"],
      starts.rows.map((row) => {
        const [ours, empty] = [starts.median(row, FUNCTION), starts.median(row, EMPTY)];
        return [row, integer(ours), integer(empty), integer(ours - empty)];
      }),
    ),
    "What keeps them small: one minified ES module each, with only the operations that are used; the two hash files instead of all of hash-wasm; zod as a namespace; metrics and the HTTP server only where something listens. The registry is put together while the process starts, when Lambda gives the most CPU.",
  ];
  const style = await resolveConfig(REPORT);
  return await format(parts.join("\n\n"), { ...style, parser: "markdown" });
}

function verdict(met: boolean): string {
  return met ? "met" : "**missed**";
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
