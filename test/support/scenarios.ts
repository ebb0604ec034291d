/** Everything that a client does to a registry, step by step, with what it does about a failure. */
import { expect } from "vitest";
import type { Registry } from "../../shared/registry/registry.ts";
import type { Reply, Send } from "./app.ts";
import { pattern, sha256, sha512 } from "./bodies.ts";
import { CONFIG, imageOf, pushBlob, pushImage, putManifest, referrerOf } from "./manifests.ts";

/** The client's connection to a registry that may be replaced by a new process on the same storage. */
export class Client {
  app: { readonly send: Send; readonly registry: Registry };
  location = "";
  constructor(app: Client["app"]) {
    this.app = app;
  }
  get send(): Send {
    return this.app.send;
  }
}

/**
 * One request of a client, with what it does about a failure. Throws Failed where the registry failed, and anything else
 * where the registry did wrong.
 */
export type Step = (client: Client, retry: boolean) => Promise<void>;

/** What a client does, and what comes of it. */
export interface Scenario {
  readonly name: string;
  readonly before?: (send: Send) => Promise<void>;
  readonly steps: readonly Step[];
  /** What a reader sees at the end. */
  readonly after: (send: Send) => Promise<void>;
}

/** The registry said that it failed, in a way that clients understand. */
export class Failed extends Error {}

/** Throws Failed where the registry failed. */
export function expectStatus(reply: Reply, ...statuses: number[]): Reply {
  if (reply.status >= 500) throw new Failed(`${reply.status}`);
  if (reply.status === 429 && reply.header("retry-after") !== null) throw new Failed("429");
  expect(statuses, `${reply.status}: ${reply.bytes.toString()}`).toContain(reply.status);
  return reply;
}

const blob = pattern(3000);
const chunks = [blob.subarray(0, 1000), blob.subarray(1000, 1024), blob.subarray(1024)];

/** Begins a session. */
export const start =
  (query = ""): Step =>
  async (client) => {
    const reply = expectStatus(await client.send("POST", `/v2/r/blobs/uploads/${query}`), 202);
    client.location = reply.header("location") ?? "";
  };

/** A chunk with its position. Sent again after a lost answer it is 416 and the client is told where to go on. */
export const chunk = (bytes: Uint8Array, from: number, to: number): Step => {
  const body = bytes.subarray(from, to);
  return async (client, retry) => {
    const headers = { "Content-Range": `${from}-${to - 1}` };
    const reply = await client.send("PATCH", client.location, { headers, body });
    if (retry && reply.status === 416) {
      expect(reply.header("range")).toBe(`0-${to - 1}`);
      expect(reply.header("location")).toBe(client.location);
    } else expectStatus(reply, 202);
  };
};

const patch = (index: number): Step => {
  const at = chunks.slice(0, index).reduce((sum, { length }) => sum + length, 0);
  return chunk(blob, at, at + (chunks[index]?.length ?? 0));
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

/** Ends a session, with its last bytes or without. */
export const commit =
  (digest: string, body?: Uint8Array): Step =>
  async (client) => {
    const options = body === undefined ? {} : { body };
    expectStatus(await client.send("PUT", `${client.location}?digest=${digest}`, options), 201);
  };

/** The blob of these digests has these bytes. */
export const readable =
  (bytes: Buffer, ...digests: string[]) =>
  async (send: Send): Promise<void> => {
    for (const digest of digests) {
      const reply = await send("GET", `/v2/r/blobs/${digest}`);
      expect([reply.status, reply.bytes.equals(bytes)]).toEqual([200, true]);
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

/** Every operation, on small content. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "a blob in one POST",
    steps: [
      async ({ send }) => {
        expectStatus(await send("POST", `/v2/r/blobs/uploads/?digest=${sha256(blob)}`, { body: blob }), 201);
      },
    ],
    after: readable(blob, sha256(blob)),
  },
  {
    name: "a blob in POST and PUT",
    steps: [start(), commit(sha256(blob), blob)],
    after: readable(blob, sha256(blob)),
  },
  { name: "a streamed blob", steps: [start(), stream, commit(sha256(blob))], after: readable(blob, sha256(blob)) },
  {
    name: "a blob in three chunks",
    steps: [start(), patch(0), patch(1), patch(2), commit(sha256(blob))],
    after: readable(blob, sha256(blob)),
  },
  {
    name: "a blob in chunks, the last one with the PUT",
    steps: [start(), patch(0), patch(1), commit(sha256(blob), chunks[2])],
    after: readable(blob, sha256(blob)),
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
    after: readable(blob, sha256(blob)),
  },
  {
    name: "a streamed blob that turns out to be named by sha512",
    steps: [start(), stream, commit(sha512(blob))],
    after: readable(blob, sha512(blob)),
  },
  {
    name: "a blob in chunks that turns out to be named by sha512",
    steps: [start(), patch(0), patch(1), patch(2), commit(sha512(blob))],
    after: readable(blob, sha512(blob)),
  },
  {
    name: "a blob of an announced sha512 session",
    steps: [start("?digest-algorithm=sha512"), patch(0), patch(1), patch(2), commit(sha512(blob))],
    after: readable(blob, sha512(blob)),
  },
  {
    name: "a blob that is stored already",
    before: async (send) => {
      await pushBlob(send, "other", blob);
    },
    steps: [start(), stream, commit(sha256(blob))],
    after: readable(blob, sha256(blob)),
  },
  {
    name: "a mounted blob",
    before: async (send) => {
      await pushBlob(send, "other", blob);
    },
    steps: [repeatable("POST", `/v2/r/blobs/uploads/?mount=${sha256(blob)}&from=other`, [201])],
    after: readable(blob, sha256(blob)),
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
