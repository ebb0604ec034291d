/** Real S3 servers, each in processes and a folder of its own that end with the test's process, whatever becomes of it. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { BucketAlreadyOwnedByYou, CreateBucketCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { startDaemon, type Daemon } from "./process.ts";
import { temporaryFolder } from "./temp.ts";
import { tool, type S3_SERVERS } from "./tools.ts";

/** What a client has to be told of a store. */
export interface S3Access {
  /** Scheme, host and port; buckets are in the path. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Server extends S3Access {
  readonly name: string;
  /** Where its data is. */
  readonly folder: string;
  /** All that it printed so far. */
  readonly lines: readonly string[];
  /** Makes a bucket, unless it is there. */
  createBucket(name: string): Promise<void>;
  /** A new, empty bucket that nobody else has; gives its name. */
  freshBucket(): Promise<string>;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

const REGION = "us-east-1";
const KEYS = { accessKeyId: "testkey", secretAccessKey: "testsecret" };

/**
 * Runs `"$@"`, and removes the folder `$1`, unless that is empty, when it has ended. Asked to end, it asks the program. The
 * first line that it prints is the program's process id.
 */
const WITH_FOLDER = `
folder=$1; shift
setpriv --pdeathsig KILL "$@" & pid=$!
trap 'kill "$pid"' TERM
echo "$pid"
wait "$pid"; wait "$pid"; code=$?
[ -z "$folder" ] || rm -rf "$folder"
exit "$code"`;

/** The servers of this process that run, for their logs. */
const running = new Set<S3Server>();

/** versitygw, an S3 server over a folder: a new one that is removed with it, or `keepIn`, which stays. */
export async function startVersitygw({ keepIn, port = 0 }: { keepIn?: string; port?: number } = {}): Promise<S3Server> {
  const program = tool("versitygw");
  const folder = keepIn === undefined ? await temporaryFolder() : path.resolve(keepIn);
  const [data, versions] = [path.join(folder, "data"), path.join(folder, "versions")];
  await Promise.all([data, versions].map(async (each) => await mkdir(each, { recursive: true })));
  const command = [
    ...[program, "--port", `127.0.0.1:${port}`, "--region", REGION, "--keep-alive"],
    ...["--access", KEYS.accessKeyId, "--secret", KEYS.secretAccessKey, "--health", "/health"],
    ...["posix", "--versioning-dir", versions, data],
  ];
  let endpoint = "";
  const daemon = await startDaemon(["sh", "-c", WITH_FOLDER, "sh", keepIn === undefined ? folder : "", ...command], {
    env: {},
    ready: async ({ lines }) => {
      const listening = listeningPort(Number(lines[0] ?? 0));
      if (listening === undefined) return false;
      endpoint = `http://127.0.0.1:${listening}`;
      return (await fetch(`${endpoint}/health`)).ok;
    },
  });
  return server("versitygw", endpoint, folder, daemon);
}

/** Ceph's RADOS gateway, with a monitor and an OSD of its own that keeps its data in memory. Takes about five seconds. */
export async function startCephRgw(): Promise<S3Server> {
  tool("radosgw");
  const folder = await temporaryFolder();
  const announced = /^serving (http:.*)$/;
  const daemon = await startDaemon(["test/tools/ceph-rgw.sh", folder, KEYS.accessKeyId, KEYS.secretAccessKey], {
    ready: ({ lines }) => lines.some((line) => announced.test(line)),
  });
  const endpoint = daemon.lines.map((line) => announced.exec(line)?.[1]).find((url) => url !== undefined) ?? "";
  return server("radosgw", endpoint, folder, daemon);
}

/** The one versitygw of this process, started when it is first asked for. It ends with the process. */
export const sharedVersitygw = once(async () => await startVersitygw());

/** The one Ceph RGW of this process, started when it is first asked for. It ends with the process. */
export const sharedCephRgw = once(startCephRgw);

/** Each server by its name, shared within the process. */
export const S3_STORES: readonly (readonly [name: (typeof S3_SERVERS)[number], shared: () => Promise<S3Server>])[] = [
  ["versitygw", sharedVersitygw],
  ["radosgw", sharedCephRgw],
];

function once(start: () => Promise<S3Server>): () => Promise<S3Server> {
  let started: Promise<S3Server> | undefined;
  return async () => await (started ??= start());
}

/** A client of the SDK as it comes, but for what `settings` change. */
export function s3Client(access: S3Access, settings: S3ClientConfig = {}): S3Client {
  const { endpoint, region, accessKeyId, secretAccessKey } = access;
  return new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
    ...settings,
  });
}

/** Writes what the servers of this process printed to `reports/s3`, for a test that failed. */
export function keepServerLogs(): void {
  if (running.size === 0) return;
  mkdirSync("reports/s3", { recursive: true });
  for (const { name, lines } of running) {
    writeFileSync(`reports/s3/${name}-${String(process.pid)}.log`, `${lines.join("\n")}\n`);
  }
}

function server(name: string, endpoint: string, folder: string, daemon: Daemon): S3Server {
  const access: S3Access = { endpoint, region: REGION, ...KEYS };
  const createBucket = async (bucket: string): Promise<void> => {
    const client = s3Client(access);
    try {
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
    } catch (error) {
      if (!(error instanceof BucketAlreadyOwnedByYou)) throw error;
    } finally {
      client.destroy();
    }
  };
  const started: S3Server = {
    name,
    ...access,
    folder,
    lines: daemon.lines,
    createBucket,
    freshBucket: async () => {
      const bucket = `test-${randomBytes(8).toString("hex")}`;
      await createBucket(bucket);
      return bucket;
    },
    close: async () => {
      running.delete(started);
      await daemon.stop();
    },
  };
  running.add(started);
  return started;
}

/** The TCP port that a process listens on. */
function listeningPort(pid: number): number | undefined {
  let sockets: Set<string>;
  try {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    sockets = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ""));
  } catch {
    return undefined; // it opens and closes files while they are looked at
  }
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode = "-"] = line.trim().split(/\s+/);
    if (state === "0A" && sockets.has(inode)) return parseInt(local.split(":")[1] ?? "", 16);
  }
  return undefined;
}
