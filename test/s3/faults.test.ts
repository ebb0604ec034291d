/**
 * Each request to the store fails, in every way and at every place of every operation. They are enumerated from an
 * undisturbed run, so that a request which is new is covered by itself. At no moment is anything visible that is unverified
 * or leads nowhere, a failure of the store is never told as absence, and afterwards the store is the one that an undisturbed
 * run leaves, without an upload that nobody completes.
 */
import { ListMultipartUploadsCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layout } from "../../shared/registry/layout.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import type { Patience } from "../../shared/storage/s3/retries.ts";
import { createTestApp, type TestApp } from "../support/app.ts";
import { fresh, sha256, sha512 } from "../support/bodies.ts";
import { faultsIn, faultsOf, snapshot } from "../support/invariants.ts";
import type { S3Operation } from "../support/s3-operation.ts";
import {
  startS3Proxy,
  type FaultKind,
  type FaultRule,
  type RecordedRequest,
  type S3Proxy,
} from "../support/s3-proxy.ts";
import { s3Client, sharedVersitygw, type S3Access, type S3Server } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";
import {
  chunk,
  Client,
  commit,
  expectStatus,
  Failed,
  readable,
  SCENARIOS,
  start,
  type Scenario,
} from "../support/scenarios.ts";

const MIB = 1024 * 1024;
const HOUR = 3600_000;
const MINUTES = 60_000;
/** Runs at a time, each behind a proxy of its own. */
const LANES = 4;
const QUICK: Partial<Patience> = { pauseMs: 1, throttledPauseMs: 1 };

/** A segment of two parts, and an end that is kept in the state. */
const large = fresh(5 * MIB + 70_000);
const segmentBytes = 5 * MIB + 50_000;
const medium = large.subarray(0, 120_000);

/** Small, these send the store no request that another scenario does not; their large likes are below. */
const SAME_REQUESTS: ReadonlySet<string> = new Set([
  "a blob in chunks, the last one with the PUT",
  "a streamed blob with its last bytes in the PUT",
  "a blob in chunks that turns out to be named by sha512",
]);

/** What is told apart only where bytes are many: parts, segments and tails. */
const LARGE: readonly Scenario[] = [
  {
    name: "a blob over one part in one POST",
    steps: [
      async ({ send }) => {
        expectStatus(await send("POST", `/v2/r/blobs/uploads/?digest=${sha256(large)}`, { body: large }), 201);
      },
    ],
    after: readable(large, sha256(large)),
  },
  {
    name: "a blob over one part in a chunk and a PUT, which the store puts together",
    steps: [start(), chunk(large, 0, segmentBytes), commit(sha256(large), large.subarray(segmentBytes))],
    after: readable(large, sha256(large)),
  },
  {
    name: "a blob in chunks that are all below a part, the last one with the PUT, which names it by sha512",
    steps: [
      start(),
      chunk(medium, 0, 40_000),
      chunk(medium, 40_000, 80_000),
      commit(sha512(medium), medium.subarray(80_000)),
    ],
    after: readable(medium, sha512(medium)),
  },
  {
    name: "the purge of abandoned sessions",
    before: async (send) => {
      for (const name of ["r", "a/b"]) {
        const location = (await send("POST", `/v2/${name}/blobs/uploads/`)).header("location") ?? "";
        await send("PATCH", location, { body: medium });
      }
    },
    steps: [
      async ({ app }) => {
        await app.registry.purgeUploads({ ageMs: -HOUR, dryRun: false }).catch((error: unknown) => {
          throw new Failed(String(error));
        });
      },
    ],
    after: async (send) => expect((await send("GET", "/v2/_catalog")).status).toBe(200),
  },
];

/** Kinds of faults that a request of this operation can suffer from. */
function kindsOf(operation: S3Operation, kinds: readonly FaultKind[]): FaultKind[] {
  const told = /^(GetObject|List|Complete|Copy|UploadPartCopy|CreateMultipart|DeleteObjects)/.test(operation);
  const slowly = /^(Complete|CopyObject|UploadPartCopy)/.test(operation);
  return kinds.filter((kind) => (kind !== "partial" || told) && (kind !== "error-in-200" || slowly));
}

interface Lane {
  readonly proxy: S3Proxy;
}

let server: S3Server;
let bucket: string;
let client: S3Client;
const lanes: Lane[] = [];
let roots = 0;

beforeAll(async () => {
  server = await sharedVersitygw();
  bucket = await server.freshBucket();
  client = s3Client(server);
  for (let i = 0; i < LANES; i++) lanes.push({ proxy: await startS3Proxy(server) });
});
afterAll(async () => {
  client.destroy();
  for (const { proxy } of lanes) await proxy.close();
});

/** One run of a scenario, on an empty prefix. */
interface Trial {
  readonly scenario: Scenario;
  readonly rules: readonly FaultRule[];
  readonly attempts: number;
  /** What a client does about a failure: none is to be seen; it sends the request again; it begins anew, with a new process. */
  readonly failure: "unseen" | "repeat" | "begin anew";
}

interface Outcome {
  readonly requests: readonly RecordedRequest[];
  /** The keys at the end. */
  readonly keys: readonly string[];
  readonly hits: number;
  readonly failed: boolean;
}

async function run({ proxy }: Lane, { scenario, rules, attempts, failure }: Trial): Promise<Outcome> {
  const root = `run-${roots++}/`;
  const open: S3Driver[] = [];
  const app = (access: S3Access, patience: Partial<Patience>): TestApp & { driver: S3Driver } => {
    const driver = new S3Driver(s3Settings(access, bucket, { root, patience }), new MemoryBudget(64 * MIB, 5000));
    open.push(driver);
    return { driver, ...createTestApp(driver, { registry: { catalog: "index" } }) };
  };
  const calm = app(server, {});
  await scenario.before?.(calm.send);

  const injected = rules.map((rule) => proxy.inject(rule));
  const pushing = new Client(app(proxy, { ...QUICK, attempts }));
  let failed = false;
  const requests = await proxy.during(async () => {
    for (let i = 0; i < scenario.steps.length; i++) {
      try {
        await scenario.steps[i]?.(pushing, failed && failure === "begin anew");
      } catch (error) {
        if (!(error instanceof Failed) || failed || failure === "unseen") throw error;
        failed = true;
        expect(await faultsOf(calm.driver)).toEqual([]);
        if (failure === "begin anew") {
          pushing.app = app(server, {});
          i = -1;
        } else await scenario.steps[i]?.(pushing, true);
      }
    }
  });
  proxy.heal();
  const hits = injected.reduce((sum, fault) => sum + fault.hits, 0);

  await scenario.after(calm.send);
  // Where nobody notices a failure nothing of a session stays, not even until it is purged.
  if (failure !== "unseen") await calm.registry.purgeUploads({ ageMs: -HOUR, dryRun: false });
  await calm.driver.removeLeftovers(-HOUR, layout.root);
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: root }));
  expect(Uploads.map(({ Key }) => Key)).toEqual([]);
  const objects = await snapshot(calm.driver);
  expect(faultsIn(objects)).toEqual([]);
  const keys = [...objects.keys()];
  await calm.driver.deleteMany(keys);
  for (const driver of open) driver.close();
  return { requests, keys: keys.sort(), hits, failed };
}

/** Makes all of these trials, some at a time, and compares what each leaves with what the undisturbed run left. */
async function every(trials: readonly Trial[], calm: Outcome, check: (outcome: Outcome) => void): Promise<void> {
  const next = trials.values();
  const wrong: string[] = [];
  await Promise.all(
    lanes.map(async (lane) => {
      for (const trial of next) {
        try {
          const outcome = await run(lane, trial);
          expect(outcome.keys).toEqual(calm.keys);
          check(outcome);
        } catch (error) {
          lane.proxy.heal();
          const where = trial.rules.map(({ operation, nth, kind }) => `${kind} ${operation ?? ""} ${nth ?? 1}`).join();
          wrong.push(`${where}: ${String(error).slice(0, 500)}`);
        }
      }
    }),
  );
  expect(wrong).toEqual([]);
}

const scenarios = [...SCENARIOS.filter(({ name }) => !SAME_REQUESTS.has(name)), ...LARGE];

describe.each(scenarios.map((scenario) => [scenario.name, scenario] as const))("%s", (_, scenario) => {
  let calm: Outcome;
  /** Each request of the undisturbed run, by its operation and its number among those. */
  let places: { readonly operation: S3Operation; readonly nth: number }[];
  beforeAll(async () => {
    calm = await run(lanes[0] as Lane, { scenario, rules: [], attempts: 1, failure: "unseen" });
    expect(calm.keys.filter((key) => key.includes("/_uploads/"))).toEqual([]);
    const seen = new Map<S3Operation, number>();
    places = calm.requests.map(({ operation }) => {
      const nth = (seen.get(operation) ?? 0) + 1;
      seen.set(operation, nth);
      return { operation, nth };
    });
    expect(places.length).toBeGreaterThan(0);
  });

  it(
    "a request that fails once is repeated, and nobody notices",
    async () => {
      const trials = places.flatMap(({ operation, nth }) =>
        kindsOf(operation, ["after", "partial", "error-in-200"]).map((kind): Trial => {
          return { scenario, rules: [{ kind, operation, nth }], attempts: 3, failure: "unseen" };
        }),
      );
      await every(trials, calm, ({ hits }) => expect(hits).toBe(1));
    },
    10 * MINUTES,
  );

  it(
    "a request that fails for good: the client's repetition succeeds",
    async () => {
      const trials = places.flatMap(({ operation, nth }) =>
        kindsOf(operation, ["slow-down", "internal-error", "partial", "error-in-200"]).map((kind): Trial => {
          return { scenario, rules: [{ kind, operation, nth }], attempts: 1, failure: "repeat" };
        }),
      );
      await every(trials, calm, ({ hits }) => expect(hits).toBe(1));
    },
    10 * MINUTES,
  );

  it(
    "the process dies between any two requests: a client that begins anew succeeds",
    async () => {
      const trials = places.map((__, index): Trial => {
        const rules: FaultRule[] = [
          { kind: "after", nth: index + 1 },
          { kind: "before", nth: index + 2, times: Infinity },
        ];
        return { scenario, rules, attempts: 1, failure: "begin anew" };
      });
      await every(trials, calm, ({ hits }) => expect(hits).toBeGreaterThan(0));
    },
    10 * MINUTES,
  );
});
