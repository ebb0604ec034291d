/** Requests a second, by wrk; by ab for HEAD, which wrk cannot do. */
import { run } from "../test/support/process.ts";
import { MANIFEST_TYPE, pushSmallImage, type SmallImage } from "./content.ts";
import type { Options } from "./options.ts";
import { rotated, Samples } from "./samples.ts";
import type { Server } from "./servers.ts";

interface Request {
  readonly label: string;
  readonly head?: boolean;
  readonly accept?: string;
  path(image: SmallImage): string;
}

/** As clients ask: docker-registry 2.8 has no OCI manifest for those who do not name its type. */
const MANIFESTS = [
  MANIFEST_TYPE,
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
].join(", ");

const REQUESTS: readonly Request[] = [
  { label: "GET /v2/", path: () => "/v2/" },
  { label: "GET manifest by tag", accept: MANIFESTS, path: ({ manifestByTag }) => manifestByTag },
  { label: "GET manifest by digest", accept: MANIFESTS, path: ({ manifestByDigest }) => manifestByDigest },
  { label: "HEAD blob", head: true, path: ({ blob }) => blob },
  { label: "GET blob of 4 KB", path: ({ blob }) => blob },
  { label: "GET list of 1,000 tags", path: ({ tags }) => tags },
];

interface Manner {
  readonly connections: number;
  readonly keepAlive: boolean;
}

const MANNERS: readonly Manner[] = [
  { connections: 1, keepAlive: true },
  { connections: 32, keepAlive: true },
  { connections: 1, keepAlive: false },
  { connections: 32, keepAlive: false },
];

export interface LoadResults {
  /** Requests a second. */
  readonly rates: Samples;
  /** Microseconds of the server's processor time for a request. */
  readonly cpu: Samples;
  /** The peak of the server's resident memory through a round, in MB. */
  readonly peak: Samples;
  /** What a reader of the figures has to know: errors of connections. */
  readonly notes: string[];
}

/** Measures every row with every server in turn, round after round. */
export async function measureLoad(
  servers: readonly Server[],
  { rounds, seconds }: Options,
  progress: (text: string) => void,
): Promise<LoadResults> {
  const results: LoadResults = {
    rates: new Samples("more"),
    cpu: new Samples("less"),
    peak: new Samples("less"),
    notes: [],
  };
  const images = new Map<Server, SmallImage>();
  for (const server of servers) {
    progress(`requests: push and warm up ${server.name}`);
    const image = await pushSmallImage(server);
    images.set(server, image);
    for (const request of REQUESTS) {
      await load(`${server.url}${request.path(image)}`, request, { connections: 32, keepAlive: true }, 1);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) server.resetPeak();
    for (const request of REQUESTS) {
      progress(`requests: round ${round + 1} of ${rounds}, ${request.label}`);
      for (const manner of MANNERS) {
        const row = `${request.label}, ${describe(manner)}`;
        for (const server of rotated(servers, round)) {
          const image = images.get(server);
          if (image === undefined) continue;
          const before = server.cpuMicros();
          const loaded = await load(`${server.url}${request.path(image)}`, request, manner, seconds);
          results.cpu.add(row, server.name, (server.cpuMicros() - before) / loaded.requests);
          results.rates.add(row, server.name, loaded.rate);
          if (loaded.trouble !== undefined) {
            results.notes.push(`${server.name}, ${row}, round ${round + 1}: ${loaded.trouble}`);
          }
        }
      }
    }
    for (const server of servers) {
      results.peak.add("All rows", server.name, server.peakMb());
      await server.emptyLog();
    }
  }
  return results;
}

function describe({ connections, keepAlive }: Manner): string {
  return `${connections} ${keepAlive ? "kept alive" : "new each"}`;
}

interface Loaded {
  readonly rate: number;
  readonly requests: number;
  readonly trouble: string | undefined;
}

async function load(url: string, { head = false, accept }: Request, manner: Manner, seconds: number): Promise<Loaded> {
  const loaded = head ? await runAb(url, manner, seconds) : await runWrk(url, manner, seconds, accept);
  if (!(loaded.requests > 0)) throw new Error(`${url}: not one request was answered`);
  return loaded;
}

async function runWrk(
  url: string,
  { connections, keepAlive }: Manner,
  seconds: number,
  accept: string | undefined,
): Promise<Loaded> {
  const headers = [
    ...(keepAlive ? [] : ["-H", "Connection: close"]),
    ...(accept === undefined ? [] : ["-H", `Accept: ${accept}`]),
  ];
  const output = await run(["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, ...headers, url]);
  if (output.includes("Non-2xx")) throw new Error(`${url}:\n${output}`);
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
    requests: Number(/(\d+) requests in/.exec(output)?.[1]),
    trouble: /Socket errors: .*/.exec(output)?.[0],
  };
}

/** Far more requests than there are in the time; ab reserves memory for all of them. */
const AB_REQUESTS = 1_000_000;

async function runAb(url: string, { connections, keepAlive }: Manner, seconds: number): Promise<Loaded> {
  const keep = keepAlive ? ["-k"] : [];
  const limits = ["-t", String(seconds), "-n", String(AB_REQUESTS), "-c", String(connections)];
  const output = await run(["ab", "-i", "-q", ...keep, ...limits, url]);
  if (output.includes("Non-2xx")) throw new Error(`${url}:\n${output}`);
  const number = (label: string): number => Number(new RegExp(`^${label}:\\s+([\\d.]+)`, "m").exec(output)?.[1] ?? "0");
  const requests = number("Complete requests");
  const failed = number("Failed requests");
  const kept = number("Keep-Alive requests");
  const trouble =
    failed > 0
      ? `${failed} of ${requests} requests failed`
      : keepAlive && kept < requests / 2
        ? `only ${kept} of ${requests} requests were on kept connections`
        : undefined;
  return { rate: number("Requests per second"), requests, trouble };
}
