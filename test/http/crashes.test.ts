/**
 * The registry's process dies, or its storage fails once, at every single storage call of every operation, before or after
 * the call's effect. At no moment is anything visible that is unverified or leads nowhere; the client's retry always ends
 * complete, and then the storage is the one that an undisturbed run leaves.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestApp, type Reply, type Send } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { dyingAt, failingAt } from "../support/faults.ts";
import { contentKeys, faultsOf, snapshot } from "../support/invariants.ts";
import { CONFIG, imageOf, pushBlob, pushImage, putManifest, referrerOf } from "../support/manifests.ts";
import { STORES, type TestStore } from "../support/stores.ts";

/** The client's connection to a registry that may be replaced by a new process on the same storage. */
class Client {
  send: Send;
  location = "";
  constructor(send: Send) {
    this.send = send;
  }
}

/** One request of a client, with what it does about a failure. Throws what it cannot mend. */
type Step = (client: Client, retry: boolean) => Promise<void>;

interface Scenario {
  readonly name: string;
  readonly before?: (send: Send) => Promise<void>;
  readonly steps: readonly Step[];
  /** What a reader sees at the end. */
  readonly after: (send: Send) => Promise<void>;
}

class Failed extends Error {}

function expectStatus(reply: Reply, ...statuses: number[]): Reply {
  if (reply.status >= 500) throw new Failed(`${reply.status}`);
  expect(statuses, `${reply.status}: ${reply.bytes.toString()}`).toContain(reply.status);
  return reply;
}

const blob = pattern(3000);
const chunks = [blob.subarray(0, 1000), blob.subarray(1000, 1024), blob.subarray(1024)];

const start =
  (query = ""): Step =>
  async (client) => {
    const reply = expectStatus(await client.send("POST", `/v2/r/blobs/uploads/${query}`), 202);
    client.location = reply.header("location") ?? "";
  };

/** A chunk with its position. Sent again after a lost answer it is 416 and the client is told where to go on. */
const patch = (index: number): Step => {
  const body = chunks[index] ?? Buffer.alloc(0);
  const at = chunks.slice(0, index).reduce((sum, { length }) => sum + length, 0);
  const range = `${at}-${at + body.length - 1}`;
  return async (client, retry) => {
    const reply = await client.send("PATCH", client.location, { headers: { "Content-Range": range }, body });
    if (retry && reply.status === 416) {
      expect(reply.header("range")).toBe(`0-${at + body.length - 1}`);
      expect(reply.header("location")).toBe(client.location);
    } else expectStatus(reply, 202);
  };
};

/** The whole in one PATCH without a position: a client asks how far it came before it sends again. */
const stream: Step = async (client, retry) => {
  if (retry) {
    const status = expectStatus(await client.send("GET", client.location), 204);
    if (status.header("range") === `0-${blob.length - 1}`) return;
    expect(status.header("range")).toBe("0-0");
  }
  expectStatus(await client.send("PATCH", client.location, { body: blob }), 202);
};

const commit =
  (digest: string, body?: Uint8Array): Step =>
  async (client) => {
    const options = body === undefined ? {} : { body };
    expectStatus(await client.send("PUT", `${client.location}?digest=${digest}`, options), 201);
  };

const readable =
  (...digests: string[]) =>
  async (send: Send): Promise<void> => {
    for (const digest of digests) {
      const reply = await send("GET", `/v2/r/blobs/${digest}`);
      expect([reply.status, reply.bytes.equals(blob)]).toEqual([200, true]);
    }
  };

/** A request that can be repeated as it is. */
const repeatable =
  (method: string, path: string, statuses: number[], retryStatuses = statuses): Step =>
  async (client, retry) => {
    expectStatus(await client.send(method, path), ...(retry ? retryStatuses : statuses));
  };

const subject = imageOf(["layer"]);
const referrer = referrerOf(subject.descriptor, "application/vnd.test.signature");
const content = async (send: Send): Promise<void> => {
  await pushImage(send, "r", "base");
};
const referrersOf = async (send: Send): Promise<string[]> => {
  const reply = await send("GET", `/v2/r/referrers/${subject.digest}`);
  return (reply.json() as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest);
};
const tagsOf = async (send: Send): Promise<string[]> =>
  ((await send("GET", "/v2/r/tags/list")).json() as { tags: string[] }).tags;

const SCENARIOS: readonly Scenario[] = [
  {
    name: "a blob in one POST",
    steps: [
      async ({ send }) => {
        expectStatus(await send("POST", `/v2/r/blobs/uploads/?digest=${sha256(blob)}`, { body: blob }), 201);
      },
    ],
    after: readable(sha256(blob)),
  },
  {
    name: "a blob in POST and PUT",
    steps: [start(), commit(sha256(blob), blob)],
    after: readable(sha256(blob)),
  },
  { name: "a streamed blob", steps: [start(), stream, commit(sha256(blob))], after: readable(sha256(blob)) },
  {
    name: "a blob in three chunks",
    steps: [start(), patch(0), patch(1), patch(2), commit(sha256(blob))],
    after: readable(sha256(blob)),
  },
  {
    name: "a blob in chunks, the last one with the PUT",
    steps: [start(), patch(0), patch(1), commit(sha256(blob), chunks[2])],
    after: readable(sha256(blob)),
  },
  {
    name: "a streamed blob with its last bytes in the PUT",
    steps: [
      start(),
      async (client, retry) => {
        const body = blob.subarray(0, 1024);
        if (retry && (await client.send("GET", client.location)).header("range") === "0-1023") return;
        expectStatus(await client.send("PATCH", client.location, { body }), 202);
      },
      commit(sha256(blob), chunks[2]),
    ],
    after: readable(sha256(blob)),
  },
  {
    name: "a streamed blob that turns out to be named by sha512",
    steps: [start(), stream, commit(sha512(blob))],
    after: readable(sha512(blob)),
  },
  {
    name: "a blob in chunks that turns out to be named by sha512",
    steps: [start(), patch(0), patch(1), patch(2), commit(sha512(blob))],
    after: readable(sha512(blob)),
  },
  {
    name: "a blob of an announced sha512 session",
    steps: [start("?digest-algorithm=sha512"), patch(0), patch(1), patch(2), commit(sha512(blob))],
    after: readable(sha512(blob)),
  },
  {
    name: "a blob that is stored already",
    before: async (send) => {
      await pushBlob(send, "other", blob);
    },
    steps: [start(), stream, commit(sha256(blob))],
    after: readable(sha256(blob)),
  },
  {
    name: "a mounted blob",
    before: async (send) => {
      await pushBlob(send, "other", blob);
    },
    steps: [repeatable("POST", `/v2/r/blobs/uploads/?mount=${sha256(blob)}&from=other`, [201])],
    after: readable(sha256(blob)),
  },
  {
    name: "a manifest under a tag",
    before: async (send) => {
      await pushBlob(send, "r", CONFIG);
      await pushBlob(send, "r", "layer");
    },
    steps: [async ({ send }) => void expectStatus(await putManifest(send, "r", "v1", subject), 201)],
    after: async (send) => {
      const reply = await send("GET", "/v2/r/manifests/v1");
      expect([reply.status, reply.header("docker-content-digest")]).toEqual([200, subject.digest]);
    },
  },
  {
    name: "a tag that moves",
    before: async (send) => {
      await content(send);
      await pushImage(send, "r", "v1", ["another layer"]);
    },
    steps: [async ({ send }) => void expectStatus(await putManifest(send, "r", "v1", subject), 201)],
    after: async (send) => {
      expect((await send("HEAD", "/v2/r/manifests/v1")).header("docker-content-digest")).toBe(subject.digest);
    },
  },
  {
    name: "a referrer under its digest with three tags",
    before: content,
    steps: [
      async ({ send }) =>
        void expectStatus(await putManifest(send, "r", `${referrer.digest}?tag=a&tag=b&tag=c`, referrer), 201),
    ],
    after: async (send) => {
      expect(await tagsOf(send)).toEqual(["a", "b", "base", "c"]);
      expect(await referrersOf(send)).toEqual([referrer.digest]);
    },
  },
  {
    name: "the deletion of a tag with a history",
    before: async (send) => {
      await content(send);
      await pushImage(send, "r", "v1", ["another layer"]);
      await putManifest(send, "r", "v1", subject);
    },
    steps: [repeatable("DELETE", "/v2/r/manifests/v1", [202], [202, 404])],
    after: async (send) => expect(await tagsOf(send)).toEqual(["base"]),
  },
  {
    name: "the deletion of a manifest with two tags and a subject",
    before: async (send) => {
      await content(send);
      await putManifest(send, "r", `${referrer.digest}?tag=a&tag=b`, referrer);
    },
    steps: [repeatable("DELETE", `/v2/r/manifests/${referrer.digest}`, [202], [202, 404])],
    after: async (send) => {
      expect(await tagsOf(send)).toEqual(["base"]);
      expect(await referrersOf(send)).toEqual([]);
      expect((await send("GET", `/v2/r/manifests/${referrer.digest}`)).status).toBe(404);
    },
  },
  {
    name: "the deletion of a blob",
    before: async (send) => {
      await pushBlob(send, "r", blob);
    },
    steps: [repeatable("DELETE", `/v2/r/blobs/${sha256(blob)}`, [202], [202, 404])],
    after: async (send) => expect((await send("GET", `/v2/r/blobs/${sha256(blob)}`)).status).toBe(404),
  },
  {
    name: "the end of a session without a blob",
    steps: [
      start(),
      patch(0),
      async (client, retry) =>
        void expectStatus(await client.send("DELETE", client.location), ...(retry ? [204, 404] : [204])),
    ],
    after: async (send) => expect((await send("GET", "/v2/r/tags/list")).status).toBe(404),
  },
];

describe.each(STORES)("%s", (storeName, makeStore) => {
  let undisturbed: string[];
  const open: TestStore[] = [];
  const newStore = async (scenario: Scenario): Promise<TestStore> => {
    const store = await makeStore();
    open.push(store);
    await scenario.before?.(createTestApp(store.driver).send);
    return store;
  };
  beforeEach(() => void (undisturbed = []));
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
  });

  const complete = async (scenario: Scenario, store: TestStore): Promise<void> => {
    const { send, registry } = createTestApp(store.peer());
    await scenario.after(send);
    expect(await faultsOf(store.driver)).toEqual([]);
    await registry.purgeUploads({ ageMs: -1000, dryRun: false });
    const keys = [...(await snapshot(store.driver)).keys()].sort();
    if (undisturbed.length === 0) undisturbed = keys;
    expect(keys).toEqual(undisturbed);
    const files = (await store.residue()).filter((name) => !name.endsWith("/"));
    expect(files).toEqual(store.folder === undefined ? [] : undisturbed);
  };

  const KINDS = [
    ["the process dies", dyingAt],
    ["a storage call fails", failingAt],
  ] as const;

  // A folder adds nothing to the second kind but time.
  describe.each(storeName === "memory" ? KINDS : KINDS.slice(0, 1))("%s during", (kind, faultAt) => {
    it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))("%s", async (name, scenario) => {
      const calm = await newStore(scenario);
      const client = new Client(createTestApp(calm.driver).send);
      for (const step of scenario.steps) await step(client, false);
      expect((await snapshot(calm.driver)).size, "an undisturbed run leaves no session behind").toBe(
        contentKeys(await snapshot(calm.driver)).length,
      );
      await complete(scenario, calm);

      for (const when of ["before", "after"] as const) {
        for (let k = 1; ; k++) {
          const store = await newStore(scenario);
          const faulty = faultAt(store.driver, k, when);
          const where = (): string => `${name}: ${kind} ${when} call ${k}: ${faulty.calls[k - 1]}`;
          const client = new Client(createTestApp(faulty.driver).send);
          for (const step of scenario.steps) {
            try {
              await step(client, false);
            } catch (error) {
              if (!(error instanceof Failed)) throw new Error(where(), { cause: error });
              expect(await faultsOf(store.driver), where()).toEqual([]);
              if (faultAt === dyingAt) client.send = createTestApp(store.peer()).send;
              await step(client, true).catch((error: unknown) => {
                throw new Error(`${where()}, then the retry`, { cause: error });
              });
            }
          }
          try {
            await complete(scenario, store);
          } catch (error) {
            throw new Error(where(), { cause: error });
          }
          await open.pop()?.close();
          if (faulty.calls.length < k) break;
          expect(k).toBeLessThan(200);
        }
      }
    });
  });
});
