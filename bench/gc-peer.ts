/**
 * `npm run bench:gc-peer [-- --save]`: the collection of a bucket beside that of registry 3.1, as commands, each over a copy of
 * the same bucket on one versitygw; and pushes while a collection runs beside the same pushes while none does.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { format, resolveConfig } from "prettier";
import { mapLimit } from "../shared/storage/concurrency.ts";
import { layout } from "../shared/registry/layout.ts";
import type { Digest } from "../shared/oci/digest.ts";
import type { RepositoryName, Tag } from "../shared/oci/reference.ts";
import { Api, sha256 } from "../test/support/api.ts";
import { OCI_MANIFEST } from "../test/support/images.ts";
import { bucketSection, startLading } from "../test/support/lading.ts";
import { collectGarbage, PEERS } from "../test/support/peers.ts";
import { run, startDaemon } from "../test/support/process.ts";
import { s3Client, startVersitygw } from "../test/support/s3-servers.ts";
import { integer, table } from "./tables.ts";

const REPORT = "docs/benchmarks-gc.md";
const BLOBS = Number(process.env["LADING_BENCH_BLOBS"] ?? "20000");
/** A manifest and the four blobs that it names. */
const OF_A_MANIFEST = 5;
const OF_A_REPOSITORY = 20;
/** Of each so many manifests one was deleted, and its blobs are garbage. */
const GARBAGE_EVERY = 10;
const PAIRS = Number(process.env["LADING_BENCH_PAIRS"] ?? "31");
const LONG_S = 3 * 24 * 3600;
const WRITES = 32;
const LAST_PROCESSOR = cpus().length - 1;

/** Of the time that a collection is at work which is told to rest, in percent. */
const SHARE = 10;

/** Pushes beside something, and by whom the processors are shared. */
const SETUPS: readonly Setup[] = [
  { name: "a collection, all share the processors", work: "collect", isApart: false },
  { name: `the same at work for ${SHARE} % of the time`, work: "collect", isApart: false, share: SHARE },
  { name: "a process that only computes, all share the processors", work: "compute", isApart: false },
  { name: "a collection with a processor and a gateway of its own", work: "collect", isApart: true },
];

interface Measured {
  readonly seconds: number;
  readonly requests: number;
}

process.chdir(path.join(import.meta.dirname, ".."));
const folder = await mkdtemp(path.join(tmpdir(), "lading-bench-gc-"));
const store = await startVersitygw();
try {
  await run([process.execPath, "bin/build.js"], { timeoutMs: 60_000 });
  const load = loadavg();
  const [ours, theirs] = [await store.freshBucket(), await store.freshBucket()];
  // One each: a collection that was killed has the lease for a while.
  const pushed = await Promise.all(SETUPS.map(async () => await store.freshBucket()));
  progress("filling a bucket");
  await fill(ours);
  // With the extended attributes, in which versitygw has the ETags.
  for (const bucket of [theirs, ...pushed]) await run(["cp", "-a", `${bucketFolder(ours)}/.`, bucketFolder(bucket)]);
  await Promise.all([ours, theirs, ...pushed].map(age));

  progress("registry 3.1");
  const peer = PEERS.find(({ name }) => name === "registry 3.1");
  if (peer === undefined) throw new Error("registry 3.1 is none of the peers");
  const their = await measured(theirs, async () => {
    const { code, stderr } = await collectGarbage(peer, { folder, bucket: { access: store, name: theirs } });
    if (code !== 0) throw new Error(stderr.slice(-2000));
  });
  progress("ours");
  const nights: Measured[] = [];
  for (let night = 0; night < 3; night++) {
    nights.push(await measured(ours, async () => await collectOurs(ours)));
    await age(ours);
  }
  const left = await Promise.all([ours, theirs].map(blobsIn));
  const pushing: Pushed[] = [];
  for (const [index, setup] of SETUPS.entries()) {
    progress(`pushes beside ${setup.name}`);
    pushing.push({ setup, pairs: await pushes(pushed[index] as string, setup) });
  }
  const report = await reportOf({ their, nights, left, pushing, load });
  process.stdout.write(report);
  if (process.argv.includes("--save")) await save(report);
} finally {
  await store.close();
  await rm(folder, { recursive: true, force: true });
}

function bucketFolder(bucket: string): string {
  return path.join(store.folder, "data", bucket);
}

/** What a tenth of the manifests being deleted leaves: their bytes and their blobs, with links. */
async function fill(bucket: string): Promise<void> {
  const client = s3Client(store);
  const put = async (key: string, body: string): Promise<void> => {
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }));
  };
  const manifests = Array.from({ length: BLOBS / OF_A_MANIFEST }, (_, at) => at);
  await mapLimit(manifests, WRITES, async (at) => {
    const name = `team-${Math.floor(at / OF_A_REPOSITORY)}/app` as RepositoryName;
    const blobs = [0, 1, 2, 3].map((part) => createHash("sha256").update(`${at} ${part}`).digest("hex"));
    const [config, ...layers] = blobs.map((content) => {
      return { mediaType: "application/octet-stream", digest: sha256(content), size: content.length };
    });
    for (const content of blobs) {
      const digest = sha256(content) as Digest;
      await put(layout.blob(digest), content);
      await put(layout.layerLink(name, digest), digest);
    }
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers });
    const digest = sha256(manifest) as Digest;
    await put(layout.blob(digest), manifest);
    if (at % GARBAGE_EVERY === 0) return;
    const tag = `v${at}` as Tag;
    await put(layout.revisionLink(name, digest), digest);
    await put(layout.tagHistoryLink(name, tag, digest), digest);
    await put(layout.tagLink(name, tag), digest);
  });
  client.destroy();
}

/** Makes all that is stored older than what a collection leaves alone; versitygw has the times of its files. */
async function age(bucket: string): Promise<void> {
  const entries = await readdir(bucketFolder(bucket), { recursive: true, withFileTypes: true });
  await mapLimit(entries, WRITES, async (entry) => {
    if (!entry.isFile()) return;
    const file = path.join(entry.parentPath, entry.name);
    const before = (await stat(file)).mtimeMs / 1000 - LONG_S;
    await utimes(file, before, before);
  });
}

/** Time, and requests by the store's own log, which has the bucket in each line. */
async function measured(bucket: string, work: () => Promise<void>): Promise<Measured> {
  const before = store.lines.length;
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  await delay(500); // the log is written behind the answers
  return { seconds, requests: store.lines.slice(before).filter((line) => line.includes(bucket)).length };
}

async function configOf(bucket: string, { access = store, share = 100 } = {}): Promise<string> {
  const file = path.join(folder, `${bucket}.yml`);
  const s3 = bucketSection({ access, name: bucket });
  const storage = { s3, delete: { enabled: true }, maintenance: { gc: { share } } };
  await writeFile(file, JSON.stringify({ version: 0.1, storage, http: { addr: "127.0.0.1:0" } }));
  return file;
}

async function collectOurs(bucket: string): Promise<void> {
  await run([process.execPath, "dist/lading.js", "garbage-collect", "--quiet", await configOf(bucket)], {});
}

async function blobsIn(bucket: string): Promise<number> {
  const entries = await readdir(path.join(bucketFolder(bucket), layout.blobs), { recursive: true });
  return entries.filter((entry) => entry.endsWith("data")).length;
}

interface Setup {
  readonly name: string;
  readonly work: "collect" | "compute";
  readonly isApart: boolean;
  readonly share?: number;
}

interface Pair {
  readonly beside: number;
  readonly alone: number;
}

/**
 * Seconds of pushes in turn: while there is work beside them, and while the same work is stopped. Apart, the work and a
 * gateway over the same folder run on the last processor, and the pushes with server and gateway of their own on the first.
 */
async function pushes(bucket: string, { work, isApart, share }: Setup): Promise<readonly Pair[]> {
  if (isApart) await pinTo(LAST_PROCESSOR);
  const theirs = isApart ? await startVersitygw({ keepIn: store.folder }) : store;
  const collect = ["dist/lading.js", "garbage-collect", "--quiet", await configOf(bucket, { access: theirs, share })];
  const argv = [process.execPath, ...(work === "collect" ? collect : ["--eval", "for (;;);"])];
  const script = 'echo begun; while :; do "$@" >/dev/null || exit 1; done';
  const beside = await startDaemon(["setsid", "sh", "-c", script, "sh", ...argv], {
    ready: ({ lines }) => lines.includes("begun"),
  });
  if (isApart) await pinTo(0);
  const ours = isApart ? await startVersitygw({ keepIn: store.folder }) : store;
  const server = await startLading({ folder, bucket: { access: ours, name: bucket } });
  const signal = (name: NodeJS.Signals): void => void process.kill(-beside.pid, name);
  try {
    const pairs = [];
    for (let pair = -2; pair < PAIRS; pair++) {
      const seconds = { beside: 0, alone: 0 };
      for (const kind of pair % 2 === 0 ? (["beside", "alone"] as const) : (["alone", "beside"] as const)) {
        signal(kind === "beside" ? "SIGCONT" : "SIGSTOP");
        await delay(200);
        seconds[kind] = await pushOne(server.api);
      }
      if (!beside.running()) throw new Error("the work beside the pushes ended");
      if (pair >= 0) pairs.push(seconds);
    }
    return pairs;
  } finally {
    if (beside.running()) signal("SIGKILL");
    await server.stop();
    if (isApart) {
      await Promise.all([ours, theirs].map(async (gateway) => await gateway.close()));
      await pinTo(`0-${LAST_PROCESSOR}`);
    }
  }
}

/** What this process starts from now on, and this process itself, runs on these processors only. */
async function pinTo(processors: number | string): Promise<void> {
  await run(["taskset", "--all-tasks", "--cpu-list", "--pid", String(processors), String(process.pid)]);
}

/** An image of a config and three layers of 64 KiB that nobody has, one request after the other. */
async function pushOne(api: Api): Promise<number> {
  const blobs = [randomBytes(500), randomBytes(65_536), randomBytes(65_536), randomBytes(65_536)];
  const [config, ...layers] = blobs.map((bytes) => {
    return { mediaType: "application/octet-stream", digest: sha256(bytes), size: bytes.byteLength };
  });
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }));
  const started = performance.now();
  for (const bytes of blobs) {
    await api.expect(404, "HEAD", `/v2/team-1/app/blobs/${sha256(bytes)}`);
    await api.pushBlob("team-1/app", bytes);
  }
  const { status } = await api.putManifest("team-1/app", "pushed", manifest);
  if (status !== 201) throw new Error(`the manifest was answered with ${status}`);
  return (performance.now() - started) / 1000;
}

interface Pushed {
  readonly setup: Setup;
  readonly pairs: readonly Pair[];
}

interface Results {
  readonly their: Measured;
  readonly nights: readonly Measured[];
  readonly left: readonly number[];
  readonly pushing: readonly Pushed[];
  readonly load: readonly number[];
}

async function reportOf({ their, nights, left, pushing, load }: Results): Promise<string> {
  const [first, second, third] = nights;
  if (first === undefined || second === undefined || third === undefined) throw new Error("there are three nights");
  const both = { seconds: first.seconds + second.seconds, requests: first.requests + second.requests };
  const rows = [
    { name: "registry 3.1, one collection", ...their },
    { name: "Lading, first night: condemns", ...first },
    { name: "Lading, second night: deletes", ...second },
    { name: "Lading, both", ...both },
    { name: "Lading, a night without garbage", ...third },
  ].map(({ name, requests, seconds }) => {
    const share = (ours: number, theirs: number): string => (ours / theirs).toFixed(3);
    return [
      name,
      integer(requests),
      share(requests, their.requests),
      seconds.toFixed(1),
      share(seconds, their.seconds),
    ];
  });
  const ratios = new Map(
    pushing.map(({ setup, pairs }) => [setup, median(pairs.map(({ beside, alone }) => beside / alone))]),
  );
  const [shared = NaN, resting = NaN, computing = NaN, apart = NaN] = SETUPS.map((setup) => ratios.get(setup));
  const pushRows = pushing.map(({ setup, pairs }) => {
    const middle = (of: "beside" | "alone"): string => (median(pairs.map((pair) => pair[of])) * 1000).toFixed(0);
    return [setup.name, middle("beside"), middle("alone"), (ratios.get(setup) ?? NaN).toFixed(2)];
  });
  const verdict = (met: boolean): string => (met ? "met" : "**missed**");
  const manifests = BLOBS / OF_A_MANIFEST;
  const [cpu] = cpus();
  const now = loadavg();
  const text = [
    "# Benchmarks of garbage collection",
    `Written by \`npm run bench:gc-peer -- --save\`: Lading and registry 3.1 as commands, each over a copy of one bucket on one versitygw on this machine, in one run. The store and the collectors share the processors: ${cpus().length} × ${cpu?.model ?? "unknown"}; load ${load.map((one) => one.toFixed(1)).join(", ")} at the start, ${now.map((one) => one.toFixed(1)).join(", ")} at the end.`,
    "## Bars",
    [
      `- At most a fifth of registry 3.1's requests: ${verdict(both.requests <= their.requests / 5)}, with two nights against its one.`,
      `- At most half its time: ${verdict(both.seconds <= their.seconds / 2)}, the same.`,
      `- A push during a collection takes at most 1.1 times as long: ${verdict(apart <= 1.1)} where the collection has a processor and a gateway of its own, as a function beside S3 has (${apart.toFixed(2)} times); ${verdict(resting <= 1.1)} where client, server, store and collector share ${cpus().length} processors and the collection is told to be at work for ${SHARE} % of the time (${resting.toFixed(2)} times), ${verdict(shared <= 1.1)} where it is not told (${shared.toFixed(2)} times; ${computing.toFixed(2)} beside a process that only computes and asks nobody anything). Medians of ${PAIRS} pairs each.`,
    ].join("\n"),
    "## Beside registry 3.1",
    `${integer(BLOBS)} blobs in ${integer(manifests / OF_A_REPOSITORY)} repositories: ${integer(manifests)} manifests with four blobs each, of which none is shared. One manifest in ${GARBAGE_EVERY} was deleted, so that ${integer(BLOBS / GARBAGE_EVERY)} blobs are garbage; the others have a tag each. All is three days old. Both delete the same: ${left.map(integer).join(" and ")} blobs are left. Requests are counted in the store's log; a deletion of up to 1,000 keys is one. Times are of the whole process, its start included. What is deleted by Lading is condemned one night before, so it takes two runs where registry 3.1, beside which nobody may push, takes one.`,
    table(["", "requests", "share", "seconds", "share"], rows),
    "## Pushes during a collection",
    `An image of a config and three layers of 64 KiB that nobody has, by one client, one request after the other, into the same bucket. Collections run one after the other in a process that is stopped (SIGSTOP) for the push that is measured without one; which of the two comes first changes from pair to pair. The first collection condemns; those after it list everything and find it condemned. What is left where all share the processors is contention for them, as the process that only computes shows; a push asks the store for no more than without a collection, unless what it pushes has a mark.`,
    table(["beside", "ms beside it", "ms without", "ratio"], pushRows),
  ].join("\n\n");
  const style = await resolveConfig(REPORT);
  return await format(text, { ...style, parser: "markdown" });
}

/** What stands behind the generated part, of `npm run bench:gc`, stays. */
async function save(report: string): Promise<void> {
  const rest = (await readFile(REPORT, "utf8").catch(() => "")).split(/^(?=## In a simulated bucket)/m)[1];
  await writeFile(REPORT, rest === undefined ? report : `${report}\n${rest}`);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
