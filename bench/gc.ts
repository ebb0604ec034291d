/**
 * `npm run bench:gc`: what a collection takes of time, memory and requests, from 10,000 to 1,000,000 blobs in a simulated
 * bucket that answers at once: the time is the collector's own and that of working out the answers. Each size has a process of its own.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Collector } from "../shared/gc/collector.ts";
import { DEFAULTS, TIMES } from "../test/gc/support.ts";
import { SimulatedStore } from "../test/gc/simulated-store.ts";

const SIZES = [10_000, 100_000, 1_000_000];

const [, , size] = process.argv;
if (size === undefined) {
  for (const blobs of SIZES) {
    const script = fileURLToPath(import.meta.url);
    const { status } = spawnSync(process.execPath, [...process.execArgv, script, String(blobs)], { stdio: "inherit" });
    if (status !== 0) process.exit(status ?? 1);
  }
} else {
  await measure(Number(size));
}

async function measure(blobs: number): Promise<void> {
  const store = new SimulatedStore(blobs);
  store.time += TIMES.horizonMs + 60_000;
  const idle = process.memoryUsage.rss();
  const count = (number: number): string => number.toLocaleString("en");
  console.log(
    `\n${count(blobs)} blobs, ${count(store.manifests)} manifests, ${count(store.repositories)} repositories, ${count(store.keys)} keys, ` +
      `${count(store.garbage)} garbage`,
  );
  for (const night of ["first night", "second night", "third night"]) {
    Object.assign(store.requests, { list: 0, get: 0, put: 0, delete: 0 });
    const phases = new Map<string, number>();
    let since = performance.now();
    const onPhase = (phase: string): void => {
      const now = performance.now();
      phases.set(phase, (phases.get(phase) ?? 0) + now - since);
      since = now;
    };
    const started = since;
    const summary = await new Collector(store, { ...DEFAULTS, onPhase }).run();
    const seconds = (performance.now() - started) / 1000;
    store.time += TIMES.settleMs + 60_000;
    const { list, get, put, delete: deleted } = store.requests;
    console.log(
      `${night}: ${summary.outcome}, ${seconds.toFixed(2)} s (${((seconds / blobs) * 1e6).toFixed(1)} µs a blob); ` +
        `${count(list)} LIST, ${count(get)} GET, ${count(put)} PUT, ${count(deleted)} DELETE; ` +
        `${count(summary.condemned)} condemned, ${count(summary.deleted)} deleted; $${summary.dollars.toFixed(4)}`,
    );
    console.log(
      `  ${[...phases]
        .filter(([, ms]) => ms >= 5)
        .map(([phase, ms]) => `${phase} ${(ms / 1000).toFixed(2)} s`)
        .join(", ")}`,
    );
  }
  const { maxRSS } = process.resourceUsage(); // in KiB
  console.log(`memory: ${Math.round(maxRSS / 1024)} MiB at the most, ${Math.round(idle / 2 ** 20)} MiB before`);
}
