/** What bcrypt costs: comparisons for a user's requests, and what they do to the requests of others. */
import { writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hash } from "bcryptjs";
import { median, percentile } from "./samples.ts";
import { freePort, startServer, type ServerKind } from "./servers.ts";

/** The cost of the hash, and what is asked how fast. */
export const COST = 10;
export const REQUESTS = 1000;
export const REQUESTS_A_SECOND = 500;

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface AuthenticationResults {
  /** For each round, how many comparisons its authenticated requests cost. */
  readonly comparisons: readonly number[];
  /** What the first request of a user takes, which waits for its comparison. */
  readonly firstMs: number;
  /** Of requests without credentials: medians over the rounds. */
  readonly alone: Latency;
  readonly besideAnonymous: Latency;
  readonly besideAuthenticated: Latency;
}

const PASSWORD = "a password of the benchmark";
const PROBE_GAP_MS = 1;

/** Measures our server; each round is a user whom the server has not seen. */
export async function measureAuthentication(
  kind: ServerKind,
  folder: string,
  rounds: number,
): Promise<AuthenticationResults> {
  const htpasswd = path.join(folder, "htpasswd");
  const hashed = await hash(PASSWORD, COST);
  const users = Array.from({ length: rounds + 1 }, (_, index) => `user${index}`);
  await writeFile(htpasswd, users.map((name) => `${name}:${hashed}\n`).join(""));
  const debug = `127.0.0.1:${await freePort()}`;
  const env = {
    ...kind.env,
    REGISTRY_AUTH: JSON.stringify({ htpasswd: { realm: "bench", path: htpasswd } }),
    REGISTRY_HTTP_DEBUG_ADDR: debug,
    REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true",
  };
  const server = await startServer({ ...kind, env }, folder);
  try {
    const url = `${server.url}/v2/`;
    const [warmUp = "", ...rest] = users;
    await beside(url, REQUESTS, warmUp);
    const comparisons: number[] = [];
    const first: number[] = [];
    const latencies: Record<"alone" | "anonymous" | "authenticated", Latency[]> = {
      alone: [],
      anonymous: [],
      authenticated: [],
    };
    for (const user of rest) {
      latencies.alone.push((await beside(url, 0, undefined)).probes);
      latencies.anonymous.push((await beside(url, REQUESTS, undefined)).probes);
      const before = await countComparisons(debug);
      const authenticated = await beside(url, REQUESTS, user);
      comparisons.push((await countComparisons(debug)) - before);
      latencies.authenticated.push(authenticated.probes);
      first.push(authenticated.firstMs);
    }
    return {
      comparisons,
      firstMs: median(first),
      alone: mediansOf(latencies.alone),
      besideAnonymous: mediansOf(latencies.anonymous),
      besideAuthenticated: mediansOf(latencies.authenticated),
    };
  } finally {
    await server.stop();
  }
}

function mediansOf(latencies: readonly Latency[]): Latency {
  const of = (key: keyof Latency): number => median(latencies.map((latency) => latency[key]));
  return { p50: of("p50"), p99: of("p99"), max: of("max") };
}

/** One request after the other without credentials, beside `count` at a steady rate as `user`, or as nobody either. */
async function beside(
  url: string,
  count: number,
  user: string | undefined,
): Promise<{ probes: Latency; firstMs: number }> {
  const loadAgent = new Agent({ keepAlive: true });
  const probeAgent = new Agent({ keepAlive: true, maxSockets: 1 });
  let over = false;
  const load = async (): Promise<number> => {
    const begin = performance.now();
    const sent: Promise<number>[] = [];
    for (let index = 0; index < REQUESTS; index++) {
      const wait = begin + (index * 1000) / REQUESTS_A_SECOND - performance.now();
      if (wait > 0) await delay(wait);
      if (index < count) sent.push(ask(url, loadAgent, user));
    }
    const took = await Promise.all(sent);
    over = true;
    return took[0] ?? NaN;
  };
  const probe = async (): Promise<number[]> => {
    const times: number[] = [];
    while (!over) {
      times.push(await ask(url, probeAgent, undefined));
      await delay(PROBE_GAP_MS);
    }
    return times;
  };
  const [firstMs, times] = await Promise.all([load(), probe()]);
  loadAgent.destroy();
  probeAgent.destroy();
  return { firstMs, probes: { p50: percentile(times, 0.5), p99: percentile(times, 0.99), max: Math.max(...times) } };
}

/** @returns the milliseconds until its whole answer */
async function ask(url: string, agent: Agent, user: string | undefined): Promise<number> {
  const begin = performance.now();
  return await new Promise((resolve, reject) => {
    const auth = user === undefined ? {} : { auth: `${user}:${PASSWORD}` };
    const sent = request(url, { agent, ...auth }, (response) => {
      response.resume();
      response.once("end", () => {
        const expected = user === undefined ? 401 : 200;
        if (response.statusCode === expected) resolve(performance.now() - begin);
        else reject(new Error(`${url}: status ${String(response.statusCode)}, not ${expected}`));
      });
    });
    sent.once("error", reject);
    sent.end();
  });
}

async function countComparisons(debug: string): Promise<number> {
  const text = await (await fetch(`http://${debug}/metrics`)).text();
  const count = /^registry_auth_bcrypt_comparisons_total(?:\{.*\})? (\d+)$/m.exec(text)?.[1];
  if (count === undefined) throw new Error("the metrics have no count of bcrypt comparisons");
  return Number(count);
}
