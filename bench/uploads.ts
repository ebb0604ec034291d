/** Large layers: their time, the processor time and the peak of the server's memory. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { run, withFolders } from "../test/support/process.ts";
import { tool } from "../test/support/tools.ts";
import { makeVariants, type LargeImage, type Layer } from "./content.ts";
import type { Options } from "./options.ts";
import { rotated, Samples } from "./samples.ts";
import type { Server } from "./servers.ts";

/** The rows of the samples. */
export const CURL_PUT = "curl (POST, PUT)";
export const CURL_PATCH = "curl (POST, PATCH, PUT)";
export const PUSH = "skopeo push";
export const PULL = "skopeo pull";

const AT_ONCE = 8;

/** Measures that were taken together. */
export class UploadResults {
  readonly seconds = new Samples("less");
  /** Seconds of the server's processor time. */
  readonly cpu = new Samples("less");
  /** The peak of the server's resident memory, in MB. */
  readonly peak = new Samples("less");
}

/** One layer by each client, with every server in turn, round after round. */
export async function measureUploads(
  servers: readonly Server[],
  image: LargeImage,
  folder: string,
  { rounds }: Options,
  progress: (text: string) => void,
): Promise<UploadResults> {
  const results = new UploadResults();
  const { layer } = image;
  const skopeo = await prepareSkopeo(folder);
  let repositories = 0;
  // The first round only warms up.
  for (let round = -1; round < rounds; round++) {
    progress(`one layer: ${round < 0 ? "warm up" : `round ${round + 1} of ${rounds}`}`);
    const into = round < 0 ? new UploadResults() : results;
    const turn = rotated(servers, Math.max(round, 0));
    for (const [row, family] of [
      [CURL_PUT, "put"],
      [CURL_PATCH, "patch"],
    ] as const) {
      for (const server of turn) {
        const repository = `up/x${String(repositories++)}`;
        await measure(into, row, server, async () => await upload(server, repository, layer, family));
        await server.forget(repository, layer.digest);
      }
    }
    for (const server of turn) {
      const repository = `up/x${String(repositories++)}`;
      const reference = `docker://${new URL(server.url).host}/${repository}:v1`;
      await measure(into, PUSH, server, async () => await skopeo(`dir:${image.imageFolder}`, reference));
      const pulled = path.join(folder, "pulled");
      await measure(into, PULL, server, async () => await skopeo(reference, `dir:${pulled}`));
      await rm(pulled, { recursive: true });
      await server.forget(repository, layer.digest);
    }
    for (const server of servers) await server.emptyLog();
  }
  return results;
}

/** Eight different layers at once, once with each server. */
export async function measureEightAtOnce(
  servers: readonly Server[],
  layer: Layer,
  folder: string,
  progress: (text: string) => void,
): Promise<UploadResults> {
  const results = new UploadResults();
  progress(`${AT_ONCE} layers at once: make them`);
  const layers = await makeVariants(folder, layer, AT_ONCE);
  const all = async (work: (one: Layer) => Promise<number>): Promise<number> =>
    await timed(() => Promise.all(layers.map(work)));
  for (const [family, label] of [
    ["put", CURL_PUT],
    ["patch", CURL_PATCH],
  ] as const) {
    for (const server of servers) {
      progress(`${AT_ONCE} layers at once: ${label}, ${server.name}`);
      const repository = `eight/${family}`;
      await measure(results, label, server, async () => {
        return await all(async (one) => await upload(server, repository, one, family));
      });
      if (family === "put") {
        await measure(results, "curl (GET)", server, async () => {
          return await all(async (one) => await download(server, repository, one));
        });
      }
      for (const { digest } of layers) await server.forget(repository, digest);
    }
  }
  for (const { file } of layers) await rm(file);
  return results;
}

async function measure(into: UploadResults, row: string, server: Server, work: () => Promise<number>): Promise<void> {
  server.resetPeak();
  const before = server.cpuMicros();
  const seconds = await work();
  into.seconds.add(row, server.name, seconds);
  into.cpu.add(row, server.name, (server.cpuMicros() - before) / 1e6);
  into.peak.add(row, server.name, server.peakMb());
}

/** @returns the seconds that the requests took, by curl's own count */
async function upload({ url }: Server, repository: string, layer: Layer, family: "put" | "patch"): Promise<number> {
  const begun = await curl(202, "-X", "POST", `${url}/v2/${repository}/blobs/uploads/`);
  let location = new URL(begun.location, url);
  let seconds = begun.seconds;
  const body = ["-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", layer.file];
  if (family === "patch") {
    const sent = await curl(202, "-X", "PATCH", ...body, location.href);
    seconds += sent.seconds;
    location = new URL(sent.location, url);
  }
  location.searchParams.set("digest", layer.digest);
  const closed = await curl(201, ...(family === "put" ? body : ["-X", "PUT"]), location.href);
  return seconds + closed.seconds;
}

/** @returns the seconds that the request took */
async function download({ url }: Server, repository: string, { digest, size }: Layer): Promise<number> {
  const got = await curl(200, "-L", `${url}/v2/${repository}/blobs/${digest}`);
  if (got.bytes !== size) throw new Error(`${url} gave ${got.bytes} bytes of ${digest}, not ${size}`);
  return got.seconds;
}

interface CurlResult {
  readonly seconds: number;
  readonly bytes: number;
  readonly location: string;
}

async function curl(status: number, ...args: string[]): Promise<CurlResult> {
  const format = "%{http_code} %{time_total} %{size_download} %header{location}";
  const text = await run(["curl", "-q", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", format, ...args]);
  const [code = "", seconds, bytes, location = ""] = text.split(" ");
  if (code !== String(status)) throw new Error(`status ${code}, not ${status}: curl ${args.join(" ")}`);
  return { seconds: Number(seconds), bytes: Number(bytes), location };
}

type Skopeo = (from: string, to: string) => Promise<number>;

const BLOB_CACHE = "/var/lib/containers/cache";

/**
 * skopeo remembers where it has seen a layer and then asks the server to mount it instead of sending it: each copy begins
 * with an empty memory of its own.
 */
async function prepareSkopeo(folder: string): Promise<Skopeo> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) await mkdir(BLOB_CACHE, { recursive: true });
  const cache = path.join(folder, "skopeo");
  return async (from, to) => {
    await rm(cache, { recursive: true, force: true });
    await mkdir(cache);
    const flags = ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"];
    const argv = [tool("skopeo"), ...flags, from, to];
    const env = { HOME: folder, XDG_DATA_HOME: cache };
    return await timed(() => run(isRoot ? withFolders({ [BLOB_CACHE]: cache }, argv) : argv, { env }));
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
}
