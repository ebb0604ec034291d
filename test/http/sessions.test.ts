/** Upload sessions: who may append what and when, what an interrupted one looks like, and how a client goes on. */
import { describe, expect, it } from "vitest";
import { throughEvents, type Reply } from "../support/app.ts";
import { brokenBody, ManualBody, pattern, sha256, sha512 } from "../support/bodies.ts";
import { freshApp } from "../support/fresh-app.ts";
import { contentKeys, snapshot } from "../support/invariants.ts";
import { pushBlob } from "../support/manifests.ts";
import { STORES } from "../support/stores.ts";

const bytes = pattern(4000);
const digest = sha256(bytes);

describe.each(STORES)("upload sessions on %s", (_, makeStore) => {
  const on = freshApp(makeStore);
  const { send } = on;

  const start = async (query = "", repository = "r"): Promise<string> => {
    const reply = await send("POST", `/v2/${repository}/blobs/uploads/${query}`);
    expect(reply.status).toBe(202);
    return reply.header("location") ?? "";
  };
  const patch = async (location: string, from: number, to: number): Promise<Reply> =>
    await send("PATCH", location, {
      headers: { "Content-Range": `${from}-${to - 1}` },
      body: bytes.subarray(from, to),
    });
  const commit = async (location: string, wanted: string = digest, body?: Uint8Array): Promise<Reply> =>
    await send("PUT", `${location}?digest=${wanted}`, body === undefined ? {} : { body });
  const holds = async (location: string, size: number): Promise<void> => {
    const status = await send("GET", location);
    expect([status.status, status.header("range")]).toEqual([204, `0-${Math.max(0, size - 1)}`]);
  };
  const finishes = async (location: string, from: number): Promise<void> => {
    await holds(location, from);
    expect((await patch(location, from, bytes.length)).status).toBe(202);
    expect((await commit(location)).status).toBe(201);
    expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
    expect([...(await snapshot(on.store.driver)).keys()].filter((key) => key.includes("_uploads"))).toEqual([]);
  };

  it("tells where to go on, at every step", async () => {
    const location = await start();
    const id = location.split("/").at(-1) ?? "";
    for (const [reply, status, range] of [
      [await send("GET", location), 204, "0-0"],
      [await patch(location, 0, 1000), 202, "0-999"],
      [await send("GET", location), 204, "0-999"],
      [await patch(location, 1000, 4000), 202, "0-3999"],
    ] as const) {
      expect([reply.status, reply.header("range")]).toEqual([status, range]);
      expect(reply.header("location")).toBe(location);
      expect(reply.header("docker-upload-uuid")).toBe(id);
      expect(reply.bytes.length).toBe(0);
    }
    const done = await commit(location);
    expect([done.status, done.header("location"), done.header("docker-content-digest")]).toEqual([
      201,
      `/v2/r/blobs/${digest}`,
      digest,
    ]);
  });

  // An event is made of a whole body only: what breaks off never comes.
  if (!throughEvents)
    describe("a client that goes away in the middle of a body", () => {
      it.each<[what: string, request: (location: string) => Promise<Reply>]>([
        [
          "of a chunk with a position",
          async (location) =>
            await send("PATCH", location, {
              headers: { "Content-Range": "1000-2999" },
              body: brokenBody(bytes.subarray(1000, 2000)),
            }),
        ],
        ["of a stream", async (location) => await send("PATCH", location, { body: brokenBody(bytes.subarray(1000)) })],
        [
          "of the last PUT",
          async (location) =>
            await send("PUT", `${location}?digest=${digest}`, { body: brokenBody(bytes.subarray(1000)) }),
        ],
        [
          "of a single POST",
          async () =>
            await send("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { body: brokenBody(bytes.subarray(0, 3000)) }),
        ],
      ])("%s changes nothing, and the session goes on", async (__, request) => {
        const location = await start();
        await patch(location, 0, 1000);
        const before = await snapshot(on.store.driver);
        const reply = await request(location);
        expect([reply.status, reply.code]).toEqual([400, "BLOB_UPLOAD_INVALID"]);
        expect(await snapshot(on.store.driver)).toEqual(before);
        await finishes(location, 1000);
      });
    });

  describe("two writers at one offset", () => {
    const other = Buffer.alloc(2000, "other");
    it.each([
      ["the first to begin ends first", true],
      ["the first to begin ends last", false],
    ])("%s: one is acknowledged, and its bytes are those that stay", async (__, firstEndsFirst) => {
      const location = await start();
      await patch(location, 0, 1000);
      const bodies = [new ManualBody(), new ManualBody()] as const;
      const [first, second] = bodies.map(
        async (body) => await send("PATCH", location, { headers: { "Content-Range": "1000-2999" }, body }),
      ) as [Promise<Reply>, Promise<Reply>];
      await Promise.all(bodies.map(async ({ started }) => await started));
      const [winner, loser] = firstEndsFirst ? [first, second] : [second, first];
      const [winning, losing] = firstEndsFirst ? bodies : [bodies[1], bodies[0]];
      losing.write(other);
      winning.write(bytes.subarray(1000, 3000));
      winning.end();
      expect((await winner).status).toBe(202);
      losing.end();
      const refused = await loser;
      expect([refused.status, refused.header("range"), refused.header("location")]).toEqual([416, "0-2999", location]);
      await finishes(location, 3000);
    });

    it("on a session that is still empty", async () => {
      const location = await start();
      const replies = await Promise.all([patch(location, 0, 2000), patch(location, 0, 2000), patch(location, 0, 2000)]);
      expect(replies.map(({ status }) => status).sort()).toEqual([202, 416, 416]);
      await finishes(location, 2000);
    });
  });

  describe("a chunk that does not begin where the session ends", () => {
    it.each([
      ["sent again after a lost answer", 0, 1000],
      ["that overlaps", 500, 1500],
      ["that leaves a gap", 1001, 2000],
      ["that begins long after", 3000, 4000],
      ["at the beginning", 0, 4000],
    ])("%s is 416 and tells where to go on", async (__, from, to) => {
      const location = await start();
      await patch(location, 0, 1000);
      const before = await snapshot(on.store.driver);
      for (const reply of [
        await patch(location, from, to),
        await send("PUT", `${location}?digest=${digest}`, {
          headers: { "Content-Range": `${from}-${to - 1}` },
          body: bytes.subarray(from, to),
        }),
      ]) {
        expect(reply.status).toBe(416);
        expect(reply.header("range")).toBe("0-999");
        expect(reply.header("location")).toBe(location);
      }
      expect(await snapshot(on.store.driver)).toEqual(before);
      await finishes(location, 1000);
    });

    it("on an empty session", async () => {
      const location = await start();
      const reply = await patch(location, 1000, 2000);
      expect([reply.status, reply.header("range")]).toEqual([416, "0-0"]);
      await finishes(location, 0);
    });
  });

  describe("a body that is not what is announced", () => {
    it.each([
      ["shorter than its range", "1000-1999", 999],
      ["longer than its range", "1000-1999", 1001],
      ["empty", "1000-1999", 0],
    ])("%s, without a length: 400, and nothing is kept", async (__, range, length) => {
      const location = await start();
      await patch(location, 0, 1000);
      const before = await snapshot(on.store.driver);
      const body = new ManualBody();
      body.write(bytes.subarray(1000, 1000 + length));
      body.end();
      const reply = await send("PATCH", location, { headers: { "Content-Range": range }, body });
      expect([reply.status, reply.code]).toEqual([400, "SIZE_INVALID"]);
      expect(await snapshot(on.store.driver)).toEqual(before);
      await finishes(location, 1000);
    });

    it.each(["1000-1998", "1000-2000"])("of 1000 bytes by its length and %s by its range: 400", async (range) => {
      const location = await start();
      await patch(location, 0, 1000);
      const body = bytes.subarray(1000, 2000);
      const reply = await send("PATCH", location, { headers: { "Content-Range": range }, body });
      expect([reply.status, reply.code]).toEqual([400, "SIZE_INVALID"]);
      await finishes(location, 1000);
    });

    it.each(["1000", "1999-1000", "-1000", "1000-", "a-b", "bytes=1000-1999,3000-3999", "1000-1999-2000", "1e3-2e3"])(
      "a Content-Range of %j: 400",
      async (range) => {
        const location = await start();
        await patch(location, 0, 1000);
        const body = bytes.subarray(1000, 2000);
        const reply = await send("PATCH", location, { headers: { "Content-Range": range }, body });
        expect([reply.status, reply.code]).toEqual([400, "BLOB_UPLOAD_INVALID"]);
        await finishes(location, 1000);
      },
    );

    it.each(["0-999", "bytes 0-999/4000", "bytes=0-999", "bytes 0-999/*"])("%j is understood", async (range) => {
      const location = await start();
      const body = bytes.subarray(0, 1000);
      const reply = await send("PATCH", location, { headers: { "Content-Range": range }, body });
      expect(reply.status).toBe(202);
      await finishes(location, 1000);
    });
  });

  it("goes on in another process after each request", async () => {
    const location = await start();
    for (const [from, to] of [
      [0, 1],
      [1, 65],
      [65, 1000],
      [1000, 4000],
    ] as const) {
      on.restart();
      await holds(location, from);
      on.restart();
      expect((await patch(location, from, to)).status).toBe(202);
    }
    on.restart();
    expect((await commit(location)).status).toBe(201);
    on.restart();
    expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
  });

  describe("the end of a session", () => {
    it("takes the last chunk with the PUT, with or without its position", async () => {
      for (const headers of [{}, { "Content-Range": "1000-3999" }]) {
        const location = await start();
        await patch(location, 0, 1000);
        const body = bytes.subarray(1000);
        expect((await send("PUT", `${location}?digest=${digest}`, { headers, body })).status).toBe(201);
        expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
      }
    });

    it("takes everything with the PUT, in one body without a length", async () => {
      const location = await start();
      const body = new ManualBody();
      body.write(bytes);
      body.end();
      expect((await send("PUT", `${location}?digest=${digest}`, { body })).status).toBe(201);
      expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
    });

    it("can be asked for again after a lost answer", async () => {
      const location = await start();
      await patch(location, 0, 4000);
      for (let i = 0; i < 3; i++) expect((await commit(location)).status).toBe(201);
      expect((await send("GET", location)).status).toBe(404);
    });

    it("with a last chunk can be asked for again, with that chunk only", async () => {
      const location = await start();
      await patch(location, 0, 1000);
      for (let i = 0; i < 2; i++) expect((await commit(location, digest, bytes.subarray(1000))).status).toBe(201);
      expect((await commit(location, digest, bytes)).status).toBe(201);
      for (const other of [bytes.subarray(0, 1000), Buffer.concat([bytes, bytes]), Buffer.from("x")]) {
        expect((await commit(location, digest, other)).status).toBe(404);
      }
    });

    it("of two at once makes one blob, and both are told so", async () => {
      const location = await start();
      await patch(location, 0, 1000);
      await patch(location, 1000, 4000);
      const replies = await Promise.all([commit(location), commit(location)]);
      expect(replies.map(({ status }) => status)).toEqual([201, 201]);
      expect(contentKeys(await snapshot(on.store.driver))).toHaveLength(2);
    });

    it("under another digest is refused, and the session stays for the right one", async () => {
      const location = await start();
      await patch(location, 0, 1000);
      const before = await snapshot(on.store.driver);
      for (const wrong of [sha256("x"), sha512("x"), sha256(bytes.subarray(0, 999))]) {
        const reply = await commit(location, wrong);
        expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
        expect((await commit(location, wrong, bytes.subarray(1000))).status).toBe(400);
        expect((await send("HEAD", `/v2/r/blobs/${wrong}`)).status).toBe(404);
      }
      expect(await snapshot(on.store.driver)).toEqual(before);
      await finishes(location, 1000);
    });

    it.each(["", "?digest=", "?digest=sha256:abc", `?digest=md5:${"0".repeat(32)}`, `?digest=${"0".repeat(64)}`])(
      "with the query %j is refused",
      async (query) => {
        const location = await start();
        await patch(location, 0, 1000);
        const reply = await send("PUT", location + query);
        expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
        await finishes(location, 1000);
      },
    );
  });

  describe("algorithms", () => {
    const size = bytes.length;
    it.each<[what: string, query: string, splits: number[], wanted: string]>([
      ["sha512 at the end of an ordinary session", "", [size], sha512(bytes)],
      ["sha512 at the end of one in chunks", "", [1000, 2000, size], sha512(bytes)],
      ["sha512 of a session that nothing was sent to before", "", [], sha512(bytes)],
      ["sha512 that was announced", "?digest-algorithm=sha512", [1000, 2000, size], sha512(bytes)],
      ["sha512 that was announced, all in the PUT", "?digest-algorithm=sha512", [], sha512(bytes)],
      ["sha256 although sha512 was announced", "?digest-algorithm=sha512", [1000, size], sha256(bytes)],
      ["sha256 that was announced", "?digest-algorithm=sha256", [1000, size], sha256(bytes)],
    ])("%s", async (__, query, splits, wanted) => {
      const location = await start(query);
      let at = 0;
      for (const end of splits) {
        expect((await patch(location, at, end)).status).toBe(202);
        at = end;
      }
      expect((await commit(location, wanted, at === 0 ? bytes : undefined)).status).toBe(201);
      expect((await send("GET", `/v2/r/blobs/${wanted}`)).bytes.equals(bytes)).toBe(true);
      expect((await commit(location, wanted)).status).toBe(201);
    });

    it.each(["md5", "SHA256", "", "sha384", "__proto__", "toString"])("%j cannot be announced", async (algorithm) => {
      const reply = await send("POST", `/v2/r/blobs/uploads/?digest-algorithm=${algorithm}`);
      expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
      expect(await snapshot(on.store.driver)).toEqual(new Map());
    });
  });

  describe("a session that is not there", () => {
    it.each<[what: string, location: () => Promise<string>]>([
      ["never was", async () => "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
      ...["4", "7"].map((version): [string, () => Promise<string>] => [
        `was begun by another registry, which makes UUIDs of version ${version}`,
        async () => {
          const id = `00000000-0000-${version}000-8000-000000000000`;
          const key = `docker/registry/v2/repositories/r/_uploads/${id}/startedat`;
          await on.store.driver.put(key, Buffer.from("2026-01-02T03:04:05Z"));
          return `/v2/r/blobs/uploads/${id}`;
        },
      ]),
      ["has an id that is none", async () => "/v2/r/blobs/uploads/..%2e"],
      ["has an id that is the name of another file", async () => "/v2/r/blobs/uploads/startedat"],
      ["belongs to another repository", async () => (await start("", "other")).replace("/v2/other/", "/v2/r/")],
      [
        "was cancelled",
        async () => {
          const location = await start();
          await patch(location, 0, 1000);
          expect((await send("DELETE", location)).status).toBe(204);
          return location;
        },
      ],
      [
        "was purged",
        async () => {
          const location = await start();
          await patch(location, 0, 1000);
          await on.registry.purgeUploads({ ageMs: -1000, dryRun: false });
          return location;
        },
      ],
    ])("since it %s is 404, whatever is asked of it", async (__, make) => {
      const location = await make();
      const before = await snapshot(on.store.driver);
      for (const reply of [
        await send("GET", location),
        await patch(location, 0, 1000),
        await send("PATCH", location, { body: "x" }),
        await commit(location),
        await commit(location, digest, bytes),
        await send("DELETE", location),
      ]) {
        expect([reply.status, reply.code]).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
      }
      expect(await snapshot(on.store.driver)).toEqual(before);
    });
  });

  describe("a session whose state is damaged on disk", () => {
    const damage = async (location: string, change: (state: Record<string, unknown>) => string): Promise<void> => {
      const key = `docker/registry/v2/repositories/r/_uploads/${location.split("/").at(-1)}/state`;
      const state = JSON.parse(Buffer.from((await on.store.driver.read(key, 10_000)) ?? []).toString()) as object;
      await on.store.driver.put(key, Buffer.from(change({ ...state })));
    };
    it.each<[what: string, change: (state: Record<string, unknown>) => string]>([
      ["cut", (state) => JSON.stringify(state).slice(0, 20)],
      ["empty", () => ""],
      ["not an object", () => "7"],
      ["without a draft", (state) => JSON.stringify({ ...state, draft: undefined })],
      ["of an unknown algorithm", (state) => JSON.stringify({ ...state, algorithm: "md5" })],
    ])("%s is refused in words, and a new upload works", async (__, change) => {
      const location = await start();
      await patch(location, 0, 1000);
      await damage(location, change);
      for (const reply of [await send("GET", location), await patch(location, 1000, 2000), await commit(location)]) {
        expect([reply.status, reply.code]).toEqual([400, "BLOB_UPLOAD_INVALID"]);
      }
      await pushBlob(send, "r", bytes);
      await on.registry.purgeUploads({ ageMs: -1000, dryRun: false });
      expect(contentKeys(await snapshot(on.store.driver))).toHaveLength(2);
    });

    it("only in the hash that another version wrote is mended by reading the bytes again", async () => {
      const location = await start();
      await patch(location, 0, 1000);
      await patch(location, 1000, 2000);
      await damage(location, (state) => JSON.stringify({ ...state, hashState: "b3RoZXI=" }));
      await finishes(location, 2000);
    });
  });

  describe("an append that a cancel overtakes", () => {
    it.each([
      ["of a session with bytes", 1000],
      ["of an empty session", 0],
    ])("%s brings nothing back", async (__, size) => {
      const location = await start();
      if (size > 0) await patch(location, 0, size);
      const body = new ManualBody();
      const appending = send("PATCH", location, { body });
      await body.started;
      body.write(bytes.subarray(size));
      expect((await send("DELETE", location)).status).toBe(204);
      body.end();
      // An append to an empty session cannot see that there is none any more; what it wrote is nobody's, and purged.
      expect(size === 0 ? [202, 404] : [404]).toContain((await appending).status);
      expect((await send("GET", location)).status).toBe(404);
      expect((await commit(location)).status).toBe(404);
      await on.registry.purgeUploads({ ageMs: -1000, dryRun: false });
      expect(await snapshot(on.store.driver)).toEqual(new Map());
    });
  });

  describe("purging", () => {
    it("takes only sessions in which nothing was written for long enough", async () => {
      const location = await start();
      await patch(location, 0, 1000);
      expect(await on.registry.purgeUploads({ ageMs: 60_000, dryRun: false })).toEqual({ sessions: [], bytes: 0 });
      await finishes(location, 1000);
    });

    it("tells what it would do, and does nothing, when it is only asked", async () => {
      const location = await start("", "deep/er/r");
      const id = location.split("/").at(-1) ?? "";
      const report = await on.registry.purgeUploads({ ageMs: -1000, dryRun: true });
      expect(report.sessions).toEqual([`deep/er/r/${id}`]);
      expect(report.bytes).toBe("2026-01-01T00:00:00Z".length);
      expect((await send("GET", location)).status).toBe(204);
    });

    it("takes what crashed sessions of any registry left, and never blobs or manifests", async () => {
      await pushBlob(send, "r", bytes);
      const before = await snapshot(on.store.driver);
      const uploads = "docker/registry/v2/repositories/r/_uploads/";
      for (const key of ["a/data", "b/hashstates/sha256/0", "00000000-0000-8000-8000-000000000000/startedat"]) {
        await on.store.driver.put(uploads + key, Buffer.from("left"));
      }
      const { sessions } = await on.registry.purgeUploads({ ageMs: -1000, dryRun: false });
      expect(sessions).toHaveLength(3);
      expect(await snapshot(on.store.driver)).toEqual(before);
    });
  });
});
