/** The report: tables, and whether each bar is met. */
import { format, resolveConfig } from "prettier";
import * as authentication from "./authentication.ts";
import type { AuthenticationResults, Latency } from "./authentication.ts";
import type { LoadResults } from "./load.ts";
import type { Options } from "./options.ts";
import { median, type Samples } from "./samples.ts";
import { OLDEST, OURS, type Absent, type ServerKind } from "./servers.ts";
import { START } from "./startup.ts";
import { comparison, integer, peaks, spread, table, times } from "./tables.ts";
import { CURL_PATCH, CURL_PUT, PULL, PUSH, type UploadResults } from "./uploads.ts";

/** The machine, and how busy it was with other things. */
export interface Machine {
  readonly date: string;
  readonly processors: number;
  readonly model: string;
  readonly memoryGib: number;
  readonly system: string;
  readonly loadAtStart: readonly number[];
  readonly loadAtEnd: readonly number[];
  readonly minutes: number;
}

export interface Results {
  readonly options: Options;
  readonly machine: Machine;
  readonly kinds: readonly ServerKind[];
  readonly absent: readonly Absent[];
  readonly starts: Samples;
  readonly load: LoadResults;
  readonly uploads: UploadResults | undefined;
  readonly eight: UploadResults | undefined;
  readonly authentication: AuthenticationResults;
}

const FULL_SECONDS = 2;
const FULL_MIB = 500;
const LEAST_ROUNDS = 5;

/** The whole report, in Markdown. */
export async function writeReport(results: Results): Promise<string> {
  const parts = [
    "# Benchmarks",
    ...introduction(results),
    "## Bars",
    bars(results).join("\n"),
    "## Requests",
    ...requests(results),
    "## Large layers",
    ...layers(results),
    "## Authentication",
    ...signIn(results.authentication, results.options),
    "## Start",
    `Milliseconds from the spawning of the process to its first answer to GET /v2/, medians of ${results.options.starts}.`,
    comparison(results, results.starts, integer),
  ];
  const style = await resolveConfig("docs/benchmarks.md");
  return await format(parts.join("\n\n"), { ...style, parser: "markdown" });
}

function introduction({ options, machine, kinds, absent }: Results): string[] {
  const trial =
    options.seconds < FULL_SECONDS || options.rounds < LEAST_ROUNDS || options.layerMib < FULL_MIB
      ? ["**A trial with less than the full measures: its figures say little.**"]
      : [];
  const place = { root: "FOLDER", port: "PORT" };
  const namesWith = (config: string): string =>
    kinds
      .filter((kind) => kind.config(place) === config)
      .map(({ name }) => name)
      .join(", ");
  return [
    "Written by `npm run bench -- --save`: Lading and its peers, on one machine in one run.",
    ...trial,
    [
      "- Each server runs in a process of its own and keeps its content in a new folder; all folders are on the same disk. Each logs as it does by default, to a file (zot would log more than at \`info\`). No setting concerns a cache.",
      `- Every server is warmed up, then measured in turn, round after round, each round beginning with another one. A figure is the median of ${options.rounds} rounds unless it says otherwise.`,
      "- **×** is how many times as good Lading is as the peer: the median of the ratios within each round. Above 1 Lading is ahead. As it is not the ratio of the medians, it can differ a little from what the table's figures give.",
      "- Clients and servers share the processors of the machine. The processor time of a server is that of all its threads.",
      "- The bars are compared with the exact figures, not with the rounded ones of the tables.",
    ].join("\n"),
    table(
      ["Machine", ""],
      [
        ["Date", machine.date],
        ["Processors", `${machine.processors} × ${machine.model}`],
        ["Memory", `${machine.memoryGib.toFixed(0)} GiB`],
        ["System", machine.system],
        ["Node of the benchmark", process.version],
        ["Load average at start", machine.loadAtStart.map((load) => load.toFixed(2)).join(", ")],
        ["Load average at end", machine.loadAtEnd.map((load) => load.toFixed(2)).join(", ")],
        ["Took", `${machine.minutes.toFixed(1)} minutes`],
      ],
    ),
    table(
      ["Server", "Version", "Environment"],
      kinds.map(({ name, version, env }) => [
        name,
        version,
        Object.entries(env)
          .map(([key, value]) => `\`${key}=${value}\``)
          .join(" "),
      ]),
    ),
    ...absent.map(notRun),
    ...[...new Set(kinds.map((kind) => kind.config(place)))].flatMap((config) => [
      `The configuration of ${namesWith(config)}:`,
      `\`\`\`${config.startsWith("{") ? "json" : "yaml"}\n${config.trim()}\n\`\`\``,
    ]),
  ];
}

/** The line for a peer that is not there. */
export function notRun({ name, because }: Absent): string {
  return `${name}: not run, because ${because}.`;
}

function requests(results: Results): string[] {
  const { load, options } = results;
  return [
    `Requests a second: wrk with one thread, ab for HEAD (which speaks HTTP/1.0), ${options.seconds} s each. 1 or 32 connections, kept alive or a new one for each request. Manifests are asked for with the \`Accept\` of a client, which docker-registry 2.8 needs.`,
    comparison(results, load.rates, integer),
    "Microseconds of the server's processor time for a request:",
    comparison(results, load.cpu, integer),
    "The peak of the server's resident memory in MB, of all rounds:",
    peaks(results, load.peak),
    ...(load.notes.length === 0
      ? []
      : ["What the clients reported:", load.notes.map((note) => `- ${note}`).join("\n")]),
  ];
}

function layers(results: Results): string[] {
  const { uploads, eight, options } = results;
  if (uploads === undefined || eight === undefined) return ["Not measured in this run."];
  const size = `${options.layerMib} MiB`;
  return [
    `A layer of ${size} that cannot be compressed, forgotten by the server after each upload. The servers are started anew for these measures. Seconds: by curl those of its requests, by skopeo those of the whole command.`,
    comparison(results, uploads.seconds, (value) => value.toFixed(2)),
    "Seconds of the server's processor time:",
    comparison(results, uploads.cpu, (value) => value.toFixed(2)),
    "The peak of the server's resident memory in MB, of all rounds:",
    peaks(results, uploads.peak),
    `Eight different layers of ${size} at once, measured once: seconds until all were done, and the peak of the server's resident memory in MB.`,
    comparison(results, eight.seconds, (value) => value.toFixed(2)),
    peaks(results, eight.peak),
  ];
}

function signIn(results: AuthenticationResults, { rounds }: Options): string[] {
  const { comparisons, firstMs, alone, besideAnonymous, besideAuthenticated } = results;
  const { COST, REQUESTS, REQUESTS_A_SECOND } = authentication;
  const count = REQUESTS.toLocaleString("en");
  const row = (label: string, { p50, p99, max }: Latency): string[] => [
    label,
    ...[p50, p99, max].map((value) => value.toFixed(2)),
  ];
  return [
    `Lading with an htpasswd file (bcrypt of cost ${COST}, \`REGISTRY_AUTH\`) and its debug server. In each of ${rounds} rounds a user who was not seen before sends ${count} requests, ${REQUESTS_A_SECOND} a second. Comparisons that they cost, by \`registry_auth_bcrypt_comparisons_total\`: ${comparisons.join(", ")}. The first of them, which waits for its comparison, took ${firstMs.toFixed(0)} ms.`,
    "Milliseconds of a GET of /v2/ without credentials (401), sent one after the other, medians over the rounds:",
    table(
      ["Beside", "p50", "p99", "longest"],
      [
        row("nothing", alone),
        row(`${count} requests without credentials`, besideAnonymous),
        row(`${count} requests of the user`, besideAuthenticated),
      ],
    ),
  ];
}

interface Bar {
  readonly text: string;
  /** Nothing: it was not measured. */
  readonly met: boolean | undefined;
  readonly figures: string;
}

function bars(results: Results): string[] {
  const all = [...requestBars(results), ...layerBars(results), ...signInBars(results), startBar(results)];
  return all.map(({ text, met, figures }) => {
    const verdict = met === undefined ? "not measured" : met ? "met" : "**missed**";
    return `- ${text}: ${verdict}. ${figures}`;
  });
}

function requestBars(results: Results): Bar[] {
  const { rates } = results.load;
  const of = (peer: string): { row: string; ratio: number }[] =>
    rates.rows.map((row) => ({ row, ratio: rates.ratio(row, OURS, peer).median }));
  const every = (peer: string, text: string, least: number): Bar => {
    const rows = of(peer).sort((a, b) => a.ratio - b.ratio);
    const below = rows.filter(({ ratio }) => !(ratio >= least));
    const [lowest] = rows;
    const figures =
      below.length === 0
        ? `The lowest is ${times(lowest?.ratio ?? NaN)} (${lowest?.row ?? ""}).`
        : `Below, ${below.length} of ${rows.length} rows: ${below.map(({ row, ratio }) => `${times(ratio)} (${row})`).join("; ")}.`;
    return { text, met: below.length === 0, figures };
  };
  return peersOf(results).flatMap(({ name, because }): Bar[] => {
    const atLeast = `Requests a second, at least 3 times those of ${name} in every row`;
    const notBehind = `Requests a second, no row behind ${name}`;
    const inMedian = `Requests a second, the median of all rows at least 1.5 times ${name}`;
    if (because !== undefined) {
      return (name === OLDEST ? [atLeast] : [notBehind, inMedian]).map((text) => notMeasured(text, because));
    }
    if (name === OLDEST) return [every(name, atLeast, 3)];
    const middle = median(of(name).map(({ ratio }) => ratio));
    return [every(name, notBehind, 1), { text: inMedian, met: middle >= 1.5, figures: `It is ${times(middle)}.` }];
  });
}

function layerBars(results: Results): Bar[] {
  const { uploads, eight, options } = results;
  const size = `${options.layerMib} MiB`;
  const unmeasured = uploads === undefined ? "No large layers in this run" : undefined;
  const faster = (row: string, text: string, peer: ReturnType<typeof peersOf>[number], least: number): Bar => {
    const because = unmeasured ?? peer.because;
    if (uploads === undefined || because !== undefined) return notMeasured(text, because ?? "");
    const ratio = uploads.seconds.ratio(row, OURS, peer.name);
    return { text, met: ratio.median >= least, figures: `It is ${spread(ratio)}.` };
  };
  const memory = (text: string, samples: Samples | undefined, most: number): Bar => {
    if (samples === undefined) return notMeasured(text, unmeasured ?? "");
    const rows = samples.rows.map((row) => ({ row, peak: Math.max(...samples.values(row, OURS)) }));
    const met = rows.every(({ peak }) => peak < most);
    return { text, met, figures: `${rows.map(({ row, peak }) => `${row} ${peak.toFixed(0)} MB`).join("; ")}.` };
  };
  const peers = peersOf(results);
  return [
    ...peers
      .filter(({ name }) => name === OLDEST)
      .flatMap((peer) =>
        [CURL_PUT, CURL_PATCH].map((row) =>
          faster(row, `A layer of ${size} by ${row}, at least twice as fast as ${peer.name}`, peer, 2),
        ),
      ),
    ...[PUSH, PULL].flatMap((row) =>
      peers.map((peer) => faster(row, `A layer of ${size} by ${row}, no slower than ${peer.name}`, peer, 1)),
    ),
    memory("Peak memory below 150 MB with one layer", uploads?.peak, 150),
    memory("Peak memory below 250 MB with eight layers at once", eight?.peak, 250),
  ];
}

/** How much longer than beside other requests the slowest hundredth may take, in milliseconds. */
const DELAY_MS = 5;

function signInBars({ authentication: measured }: Results): Bar[] {
  const { comparisons, firstMs, besideAnonymous, besideAuthenticated } = measured;
  const count = authentication.REQUESTS.toLocaleString("en");
  const delay = besideAuthenticated.p99 - besideAnonymous.p99;
  return [
    {
      text: `${count} authenticated requests of one user cost one bcrypt comparison`,
      met: comparisons.every((number) => number === 1),
      figures: `In the rounds: ${comparisons.join(", ")}.`,
    },
    {
      text: `They do not delay a request without credentials: its p99 is no more than ${DELAY_MS} ms above that beside as many requests without credentials, and none waits for as long as a comparison takes`,
      met: delay <= DELAY_MS && besideAuthenticated.max < firstMs,
      figures: `p99 ${besideAuthenticated.p99.toFixed(2)} ms and ${besideAnonymous.p99.toFixed(2)} ms; the longest ${besideAuthenticated.max.toFixed(2)} ms, with a comparison ${firstMs.toFixed(0)} ms.`,
    },
  ];
}

function startBar({ starts }: Results): Bar {
  const values = starts.values(START, OURS);
  return {
    text: "From start to the first answer in less than 1 s",
    met: median(values) < 1000,
    figures: `The median is ${integer(median(values))} ms, the longest ${integer(Math.max(...values))} ms.`,
  };
}

function notMeasured(text: string, because: string): Bar {
  return { text, met: undefined, figures: `${because}.` };
}

/** All peers: those that ran, and those that did not with the reason. */
function peersOf({ kinds, absent }: Results): { name: string; because: string | undefined }[] {
  const ran = kinds.filter(({ name }) => name !== OURS).map(({ name }) => ({ name, because: undefined }));
  return [
    ...ran,
    ...absent.map(({ name, because }) => ({ name, because: because.replace(/^./, (letter) => letter.toUpperCase()) })),
  ];
}
