/**
 * Clients and collectors beside each other on a real S3 server, for LADING_SOAK_SECONDS: two servers that stand still now and
 * then, clients that push what is just being deleted, and two collectors that stand still too or are killed, all with times
 * that are a fortieth of the real ones. LADING_SOAK_SEED makes the clients draw the same numbers again; the order of things is the machine's.
 */
import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { Marks } from "../../shared/registry/marks.ts";
import { layout } from "../../shared/registry/layout.ts";
import { listKeys, type StorageDriver } from "../../shared/storage/driver.ts";
import { Api } from "../support/api.ts";
import { faultsIn, snapshot } from "../support/invariants.ts";
import type { Daemon } from "../support/process.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { Client, noTally, type Common } from "./soak/client.ts";
import { soakCollector } from "./soak/collection.ts";
import { Collectors, startProgram } from "./soak/collectors.ts";
import { Ledger } from "./soak/ledger.ts";
import { random, soakDriver, TIMES, UPLOAD_AGE_MS, type SoakSettings } from "./soak/settings.ts";
import { Stock } from "./soak/stock.ts";

const SECONDS = Number(process.env["LADING_SOAK_SECONDS"] ?? "60");
const CLIENTS = 5;
/** Of each second, what passes between two looks at the marks. */
const LOOK_MS = 300;
/** How long servers and collectors stand still at the most: a push is still done in time, a delete is not. */
const SERVER_PAUSE_MS = 0.8 * TIMES.promiseMs;
const COLLECTOR_PAUSE_MS = 1.2 * TIMES.takeoverMs;
/** After the end: two undisturbed runs past the horizon, and all that was acknowledged is read. */
const REST_MS = 240_000;

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

test.each([
  { what: "that keep untagged manifests", untagged: false, share: 0.5 },
  { what: "that collect untagged manifests", untagged: true, share: 0.5 },
])(
  "pushes beside collections $what lose nothing, and garbage goes",
  async ({ untagged, share }) => {
    const seed = Number(process.env["LADING_SOAK_SEED"] ?? randomInt(2 ** 31));
    console.log(`LADING_SOAK_SEED=${seed}`);
    const store = await sharedVersitygw();
    const { endpoint, region, accessKeyId, secretAccessKey } = store;
    const access = { endpoint, region, accessKeyId, secretAccessKey };
    const settings: SoakSettings = { access, bucket: await store.freshBucket(), seed, untagged };
    const driver = soakDriver(settings);
    stops.push(async () => driver.close());
    const servers = await Promise.all([1, 2].map(async () => await startProgram("serving.ts", settings, "serving on")));
    for (const server of servers) stops.push(async () => await server.stop());
    const next = random(seed);
    const collectors = new Collectors(settings, next);
    stops.push(async () => await collectors.stop());
    await collectors.start();

    const prey = { digests: [] as readonly string[] };
    const common: Common = {
      apis: servers.map(({ lines }) => {
        const line = lines.find((each) => each.startsWith("serving on")) ?? "";
        return new Api({ url: line.slice("serving on ".length).replace(/\/$/, "") });
      }),
      stock: new Stock(seed, next),
      ledger: new Ledger(untagged),
      tally: noTally(),
      prey: () => prey.digests,
    };
    const end = performance.now() + SECONDS * share * 1000;
    const failures: unknown[] = [];
    const isOver = (): boolean => performance.now() > end || failures.length > 0;
    const each = Array.from({ length: CLIENTS }, () => new Client(common, random(Math.floor(next() * 2 ** 31))));
    const work = [
      ...each.map(async (client) => await client.act(isOver)),
      looking(driver, isOver, (digests) => (prey.digests = digests)),
      killing(collectors, next, isOver),
      pausing(() => servers[next() < 0.5 ? 0 : 1], next, SERVER_PAUSE_MS, isOver),
      pausing(() => collectors.oneOf(next()), next, COLLECTOR_PAUSE_MS, isOver),
    ];
    await Promise.all(work.map(async (one) => await one.catch((error: unknown) => failures.push(error))));
    const tell = (): void => {
      const reasons = [...new Set(collectors.summaries.flatMap(({ reason }) => reason ?? []))].slice(0, 5);
      console.log(JSON.stringify({ seed, untagged, ...common.tally, collectors: collectors.tally, reasons }));
    };
    tell();
    if (failures.length > 0) throw failures[0];

    await collectors.stop();
    const readAll = async (): Promise<void> => {
      for (const entry of common.ledger.required()) {
        for (const client of each.slice(0, 1)) expect(await client.read(entry)).toBe(true);
      }
    };
    await readAll();

    // Nobody disturbs any more.
    await delay(Math.max(TIMES.horizonMs, TIMES.takeoverMs, UPLOAD_AGE_MS) + 2000);
    const { asOf: rested } = await driver.list(layout.blobMarks, { limit: 1 });
    const runs = [];
    // A run that a killed collector left is gone on with first: it found what was garbage before.
    for (let left = true; left;) {
      const summary = await soakCollector(driver, untagged).run();
      left = new Date(summary.begun) < rested;
      if (left) console.log(`went on with ${summary.run}, which a collector had left: ${summary.outcome}`);
      else runs.push(summary);
    }
    // Where manifests go too, the blobs that only these need are garbage when they are gone.
    while (runs.length < (untagged ? 4 : 2)) {
      await delay(TIMES.settleMs + 2000);
      runs.push(await soakCollector(driver, untagged).run());
    }
    expect(runs.map(({ outcome, reason }) => reason ?? outcome)).toEqual(runs.map(() => "done"));
    await readAll();
    await expectClean(driver, common);
    const { pushes, mounts, deletedManifests } = common.tally;
    for (const count of [pushes, mounts, deletedManifests, collectors.tally.runs]) {
      expect(count).toBeGreaterThan(0);
    }
    expect(collectors.tally.deleted + runs.reduce((sum, { deleted }) => sum + deleted, 0)).toBeGreaterThan(0);
    for (const server of servers) expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  },
  SECONDS * 1000 + REST_MS,
);

/** Tells again and again what is condemned or being deleted, the oldest first. */
async function looking(
  driver: StorageDriver,
  isOver: () => boolean,
  tell: (digests: readonly string[]) => void,
): Promise<void> {
  while (!isOver()) {
    const marks: { readonly digest: string; readonly since: number }[] = [];
    for await (const { key, size, lastModified } of listKeys(driver, layout.blobMarks)) {
      const state = Marks.stateOfSize(size);
      if (state === "cleared") continue;
      const [algorithm, , hex] = key.slice(layout.blobMarks.length).split("/");
      marks.push({ digest: `${algorithm}:${hex}`, since: lastModified.getTime() });
    }
    tell(marks.sort((a, b) => a.since - b.since).map(({ digest }) => digest));
    await delay(LOOK_MS);
  }
}

async function killing(collectors: Collectors, next: () => number, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await delay(500 + next() * 7000);
    await collectors.killOne();
  }
}

/**
 * Stops a process again and again for a while, wherever it is: what a function may do between any two instructions. What
 * has ended by then was killed.
 */
async function pausing(
  pick: () => Daemon | undefined,
  next: () => number,
  longestMs: number,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    await delay(3 * next() * longestMs);
    const daemon = pick();
    if (daemon?.running() !== true) continue;
    process.kill(daemon.pid, "SIGSTOP");
    await delay(next() * longestMs);
    if (daemon.running()) process.kill(daemon.pid, "SIGCONT");
  }
}

/** Nothing is in the store that nobody needs, and nothing is missing that somebody does. */
async function expectClean(driver: StorageDriver, { ledger, stock }: Common): Promise<void> {
  const objects = new Map([...(await snapshot(driver))].filter(([key]) => !key.includes("/_gc/")));
  // What a tag named once it need not name any more.
  expect(faultsIn(objects).filter((fault) => !/\/_manifests\/tags\/[^/]+\/index\//.test(fault))).toEqual([]);
  const known = new Map(stock.artifacts.map((artifact) => [artifact.digest, artifact]));
  const needed = new Set<string>();
  const revisions: string[] = [];
  for (const key of objects.keys()) {
    const [, repository = "", hex] =
      /\/repositories\/(.+)\/_manifests\/revisions\/sha256\/([0-9a-f]+)\/link$/.exec(key) ?? [];
    if (hex === undefined) continue;
    revisions.push(`${repository}@sha256:${hex}`);
    needed.add(`sha256:${hex}`);
    for (const { digest } of known.get(`sha256:${hex}`)?.blobs ?? []) needed.add(digest);
  }
  const required = ledger.required().map(({ repository, artifact }) => `${repository}@${artifact.digest}`);
  expect(revisions.sort()).toEqual(required.sort());
  const blobs = [...objects.keys()].flatMap((key) => {
    const [, hex] = /\/blobs\/sha256\/..\/([0-9a-f]+)\/data$/.exec(key) ?? [];
    return hex === undefined ? [] : [`sha256:${hex}`];
  });
  expect(blobs.sort()).toEqual([...needed].sort());
  expect([...objects.keys()].filter((key) => key.includes("/_uploads/"))).toEqual([]);
}
