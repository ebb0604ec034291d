/**
 * The requirements of the OCI distribution specification, one test each, in the order of the official conformance suite:
 * with both algorithms, on every driver, with and without users.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { hash } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anonymousAuthenticator, type Authenticator } from "../../shared/auth/authenticator.ts";
import { BcryptPool } from "../../shared/auth/bcrypt-pool.ts";
import { HtpasswdAuthenticator } from "../../shared/auth/htpasswd-authenticator.ts";
import { fileSource } from "../../shared/reloading/file.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { createTestApp, throughStack, type Reply, type Send } from "../support/app.ts";
import { bodyOf, pattern, sha256, sha512 } from "../support/bodies.ts";
import { STORES } from "../support/stores.ts";
import { removeFolder, temporaryFolder } from "../support/temp.ts";

// A stack always asks for a sign-in.
const USERS = throughStack ? (["with users"] as const) : (["open to everyone", "with users"] as const);
const STORES_HERE = throughStack ? STORES.slice(0, 1) : STORES;
const ALGORITHMS = [
  ["sha256", sha256],
  ["sha512", sha512],
] as const;

describe.each(STORES_HERE)("%s", (_, makeStore) => {
  describe.each(USERS)("%s", (users) => {
    const repository = "conformance/one";
    const v2 = `/v2/${repository}`;
    let send: Send;
    let anonymously: Send;
    const cleanups: (() => Promise<void>)[] = [];

    beforeAll(async () => {
      const store = await makeStore();
      const folder = await temporaryFolder();
      let authenticator: Authenticator = anonymousAuthenticator;
      cleanups.push(
        async () => await store.close(),
        async () => await removeFolder(folder),
      );
      if (users === "with users") {
        const file = path.join(folder, "htpasswd");
        await writeFile(file, `user:${await hash("secret", 4)}\n`);
        const pool = new BcryptPool({ workerUrl: new URL("../../dist/bcrypt-worker.js", import.meta.url) });
        const logError = (): void => undefined;
        const htpasswd = await HtpasswdAuthenticator.create({
          source: fileSource(file),
          realm: "test",
          logError,
          pool,
        });
        cleanups.unshift(async () => await pool.close());
        cleanups.unshift(async () => await htpasswd.close());
        authenticator = htpasswd;
      }
      anonymously = createTestApp(store.driver, {
        parts: { authenticator },
        policy: { allowSparse: true, allowSparseIndexes: true },
      }).send;
      const credentials = { Authorization: `Basic ${Buffer.from("user:secret").toString("base64")}` };
      send = async (method, url, options = {}) =>
        await anonymously(method, url, { ...options, headers: { ...credentials, ...options.headers } });
    });
    afterAll(async () => {
      if (throughStack) await (await import("../cloud/stack.ts")).endStack();
      for (const cleanup of cleanups) await cleanup();
    });

    const start = async (query = ""): Promise<string> => {
      const reply = await send("POST", `${v2}/blobs/uploads/${query}`);
      expect(reply.status).toBe(202);
      return reply.header("location") ?? "";
    };
    const expectCreated = (reply: Reply, digest: string): void => {
      expect(reply.status, reply.bytes.toString()).toBe(201);
      expect(reply.header("location")).toContain(digest);
    };

    it("ping", async () => {
      expect((await send("GET", "/v2/")).status).toBe(200);
      expect((await anonymously("GET", "/v2/")).status).toBe(users === "with users" ? 401 : 200);
    });

    it("empty repository: the tag list and referrers", async () => {
      const tags = await send("GET", "/v2/conformance/empty/tags/list");
      expect([200, 404]).toContain(tags.status);
      const referrers = await send("GET", `/v2/conformance/empty/referrers/${sha256("none")}`);
      expect(referrers.status).toBe(200);
      expect(referrers.json()).toMatchObject({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
    });

    describe.each(ALGORITHMS)("%s blobs", (algorithm, digestOf) => {
      const blob = (name: string, size = 3000): [Buffer, string] => {
        const bytes = pattern(size, `${algorithm} ${name}`);
        return [bytes, digestOf(bytes)];
      };
      const readable = async (bytes: Buffer, digest: string, name = repository): Promise<void> => {
        const [head, get] = [
          await send("HEAD", `/v2/${name}/blobs/${digest}`),
          await send("GET", `/v2/${name}/blobs/${digest}`),
        ];
        expect([head.status, head.header("content-length")]).toEqual([200, String(bytes.length)]);
        for (const reply of [head, get]) expect(reply.header("docker-content-digest")).toBe(digest);
        expect([get.status, get.bytes.equals(bytes)]).toEqual([200, true]);
      };

      it("get missing", async () => {
        const [, digest] = blob("missing");
        for (const method of ["GET", "HEAD", "DELETE"]) {
          expect((await send(method, `${v2}/blobs/${digest}`)).status).toBe(404);
        }
        expect((await send("GET", `${v2}/blobs/${digest}`)).code).toBe("BLOB_UNKNOWN");
      });

      it("single POST", async () => {
        const [body, digest] = blob("post");
        expectCreated(await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body }), digest);
        await readable(body, digest);
      });

      it.each(["", `?digest-algorithm=${algorithm}`])("POST and PUT%s", async (query) => {
        const [body, digest] = blob(`put ${query}`);
        expectCreated(await send("PUT", `${await start(query)}?digest=${digest}`, { body }), digest);
        await readable(body, digest);
      });

      it.each([1, 2, 3])("chunked, %i chunks", async (count) => {
        const [bytes, digest] = blob(`chunks ${count}`, 1024 * count);
        let location = await start(`?digest-algorithm=${algorithm}`);
        for (let i = 0; i < count; i++) {
          const body = bytes.subarray(i * 1024, (i + 1) * 1024);
          const headers = { "Content-Range": `${i * 1024}-${(i + 1) * 1024 - 1}` };
          const reply = await send("PATCH", location, { headers, body });
          expect([reply.status, reply.header("range")]).toEqual([202, `0-${(i + 1) * 1024 - 1}`]);
          location = reply.header("location") ?? "";
          const status = await send("GET", location);
          expect([status.status, status.header("range")]).toEqual([204, `0-${(i + 1) * 1024 - 1}`]);
        }
        expectCreated(await send("PUT", `${location}?digest=${digest}`), digest);
        await readable(bytes, digest);
      });

      it("chunked with the final chunk in the PUT", async () => {
        const [bytes, digest] = blob("final");
        const location = await start();
        await send("PATCH", location, { headers: { "Content-Range": "0-1999" }, body: bytes.subarray(0, 2000) });
        const headers = { "Content-Range": "2000-2999" };
        const put = await send("PUT", `${location}?digest=${digest}`, { headers, body: bytes.subarray(2000) });
        expectCreated(put, digest);
        await readable(bytes, digest);
      });

      it("stream", async () => {
        const [bytes, digest] = blob("stream");
        const location = await start();
        const body = bodyOf(bytes.subarray(0, 100), bytes.subarray(100));
        expect((await send("PATCH", location, { body })).status).toBe(202);
        expectCreated(await send("PUT", `${location}?digest=${digest}`), digest);
        await readable(bytes, digest);
      });

      it.each([
        ["named", "&from=conformance/one"],
        ["anonymous", ""],
      ])("mount, %s", async (__, from) => {
        const [body, digest] = blob(`mount ${from}`);
        await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body });
        const reply = await send("POST", `/v2/conformance/two/blobs/uploads/?mount=${digest}${from}`);
        expectCreated(reply, digest);
        await readable(body, digest, "conformance/two");
      });

      it("mount missing", async () => {
        const [body, digest] = blob("mount missing");
        const query = `?mount=${digest}&from=conformance/one`;
        const reply = await send("POST", `/v2/conformance/two/blobs/uploads/${query}`);
        expect(reply.status).toBe(202);
        expectCreated(await send("PUT", `${reply.header("location") ?? ""}?digest=${digest}`, { body }), digest);
      });

      it("cancel", async () => {
        const location = await start();
        await send("PATCH", location, { body: "some" });
        expect((await send("DELETE", location)).status).toBe(204);
        expect((await send("GET", location)).status).toBe(404);
      });

      it.each([
        ["the second chunk first", 1000],
        ["the first chunk twice", 0],
      ])("out of order: %s", async (__, at) => {
        const [bytes, digest] = blob(`order ${at}`);
        const location = await start();
        if (at === 0)
          await send("PATCH", location, { headers: { "Content-Range": "0-999" }, body: bytes.subarray(0, 1000) });
        const headers = { "Content-Range": `${at}-${at + 999}` };
        expect((await send("PATCH", location, { headers, body: bytes.subarray(at, at + 1000) })).status).toBe(416);
        const size = at === 0 ? 1000 : 0;
        expect((await send("GET", location)).header("range")).toBe(`0-${Math.max(0, size - 1)}`);
        const rest = { headers: { "Content-Range": `${size}-2999` }, body: bytes.subarray(size) };
        expect((await send("PATCH", location, rest)).status).toBe(202);
        expectCreated(await send("PUT", `${location}?digest=${digest}`), digest);
      });

      it("range requests", async () => {
        const [body, digest] = blob("ranges");
        await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body });
        for (const [range, first, last] of [
          ["bytes=0-99", 0, 99],
          ["bytes=2900-", 2900, 2999],
          ["bytes=-100", 2900, 2999],
        ] as const) {
          const reply = await send("GET", `${v2}/blobs/${digest}`, { headers: { Range: range } });
          expect([reply.status, reply.header("content-range")]).toEqual([206, `bytes ${first}-${last}/3000`]);
          expect(reply.bytes.equals(body.subarray(first, last + 1))).toBe(true);
        }
        expect((await send("GET", `${v2}/blobs/${digest}`, { headers: { Range: "bytes=3000-" } })).status).toBe(416);
      });

      it("empty blob", async () => {
        const digest = digestOf("");
        expectCreated(await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body: "" }), digest);
        expectCreated(await send("PUT", `${await start()}?digest=${digest}`), digest);
        await readable(Buffer.alloc(0), digest);
      });

      it.each<[string, (digest: string, body: Buffer) => Promise<Reply>]>([
        ["single POST", async (digest, body) => await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body })],
        ["POST and PUT", async (digest, body) => await send("PUT", `${await start()}?digest=${digest}`, { body })],
        [
          "chunked",
          async (digest, body) => {
            const location = await start();
            await send("PATCH", location, { headers: { "Content-Range": `0-${body.length - 1}` }, body });
            return await send("PUT", `${location}?digest=${digest}`);
          },
        ],
        [
          "stream",
          async (digest, body) => {
            const location = await start();
            await send("PATCH", location, { body: bodyOf(body) });
            return await send("PUT", `${location}?digest=${digest}`);
          },
        ],
      ])("bad digest, %s", async (how, push) => {
        const [body] = blob(`bad ${how}`);
        const [, wrong] = blob(`another ${how}`);
        for (const digest of [wrong, "sha256:zz", "unknown:00"]) {
          const reply = await push(digest, body);
          expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
        }
        expect((await send("GET", `${v2}/blobs/${wrong}`)).status).toBe(404);
      });

      it("delete", async () => {
        const [body, digest] = blob("delete");
        await send("POST", `${v2}/blobs/uploads/?digest=${digest}`, { body });
        expect((await send("DELETE", `${v2}/blobs/${digest}`)).status).toBe(202);
        expect((await send("GET", `${v2}/blobs/${digest}`)).status).toBe(404);
      });
    });

    describe.each(ALGORITHMS)("%s manifests", (algorithm, digestOf) => {
      const name = `conformance/${algorithm}`;
      const url = `/v2/${name}`;
      const pushed = async (text: string | Buffer, mediaType: string): Promise<Record<string, unknown>> => {
        const digest = digestOf(text);
        await send("POST", `${url}/blobs/uploads/?digest=${digest}`, { body: text });
        return { mediaType, digest, size: Buffer.byteLength(text) };
      };
      const put = async (json: object, reference = ""): Promise<{ digest: string; body: Buffer; reply: Reply }> => {
        const body = Buffer.from(JSON.stringify(json));
        const digest = digestOf(body);
        const { mediaType } = json as { mediaType: string };
        const headers = { "Content-Type": mediaType };
        const target = reference === "" ? digest : `${digest}?tag=${reference}`;
        return { digest, body, reply: await send("PUT", `${url}/manifests/${target}`, { headers, body }) };
      };
      const image = async (layers: readonly string[], more: object = {}): Promise<object> => ({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: await pushed("{}", "application/vnd.oci.image.config.v1+json"),
        layers: await Promise.all(
          layers.map(async (layer) => await pushed(layer, "application/vnd.oci.image.layer.v1.tar")),
        ),
        ...more,
      });
      const descriptor = (json: object): Record<string, unknown> => {
        const body = JSON.stringify(json);
        return { mediaType: (json as { mediaType: string }).mediaType, digest: digestOf(body), size: body.length };
      };
      const index = (children: readonly object[], more: object = {}): object => ({
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: children.map(descriptor),
        ...more,
      });

      it("errors: missing by digest and tag, invalid digests", async () => {
        for (const reference of ["missing", digestOf("missing")]) {
          for (const method of ["GET", "HEAD", "DELETE"]) {
            expect((await send(method, `${url}/manifests/${reference}`)).status).toBe(404);
          }
        }
        for (const bad of ["sha256:zz", "unknown:00"]) {
          expect((await send("GET", `${url}/manifests/${bad}`)).status).toBe(400);
          expect((await send("PUT", `${url}/manifests/${bad}`, { body: "{}" })).status).toBe(400);
        }
        const headers = { "Content-Type": OCI_MANIFEST };
        const body = JSON.stringify(await image(["x"]));
        const other = await send("PUT", `${url}/manifests/${digestOf("other")}`, { headers, body });
        expect([other.status, other.code]).toEqual([400, "DIGEST_INVALID"]);
      });

      const artifact = { artifactType: "application/vnd.test.artifact" };
      const sets: [name: string, make: () => Promise<object[]>][] = [
        ["image", async () => [await image(["a", "b"])]],
        ["image without layers", async () => [await image([])]],
        ["large manifest", async () => [await image(["a"], { annotations: { large: "x".repeat(4_000_000) } })]],
        [
          "index",
          async () => [await image(["a"]), await image(["b"]), index([await image(["a"]), await image(["b"])])],
        ],
        [
          "nested index",
          async () => {
            const inner = index([await image(["a"])]);
            return [await image(["a"]), inner, index([inner])];
          },
        ],
        ["empty index", async () => [index([])]],
        ["artifact", async () => [await image(["a"], artifact)]],
        ["artifact index", async () => [await image(["a"], artifact), index([await image(["a"], artifact)], artifact)]],
        ["artifact without layers", async () => [await image([], artifact)]],
        [
          "with a subject",
          async () => {
            const subject = await image(["subject"]);
            return [subject, await image([], { ...artifact, subject: descriptor(subject) })];
          },
        ],
        [
          "index with a subject",
          async () => {
            const subject = await image(["subject 2"]);
            return [subject, index([subject], { ...artifact, subject: descriptor(subject) })];
          },
        ],
        [
          "with a missing subject",
          async () => [await image([], { ...artifact, subject: descriptor(await image(["never pushed"])) })],
        ],
        [
          "with a data field",
          async () => [await image([], { annotations: {}, config: { ...(await pushed("{}", "a/b")), data: "e30=" } })],
        ],
        [
          "with layers that may not be distributed",
          async () => [
            await image([], {
              layers: [
                {
                  mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar",
                  digest: digestOf("elsewhere"),
                  size: 9,
                  urls: ["https://example.com/x"],
                },
              ],
            }),
          ],
        ],
        ["with fields of its own", async () => [await image(["a"], { custom: { nested: [1, null, "ü"] } })]],
        ["sparse index", async () => [index([await image(["not pushed"])])]],
      ];
      it.each(sets)("%s: push, HEAD, pull, list, refer, delete", async (__, make) => {
        const manifests = await make();
        for (const [i, json] of manifests.entries()) {
          const tag = `t${i}`;
          const { digest, body, reply } = await put(json, tag);
          expectCreated(reply, digest);
          expect(reply.header("oci-tag")).toBe(tag);
          expect(reply.header("docker-content-digest")).toBe(digest);
          const subject = (json as { subject?: { digest: string } }).subject?.digest;
          expect(reply.header("oci-subject")).toBe(subject ?? null);
          for (const reference of [tag, digest]) {
            const [head, get] = [
              await send("HEAD", `${url}/manifests/${reference}`),
              await send("GET", `${url}/manifests/${reference}`),
            ];
            for (const answer of [head, get]) {
              expect([answer.status, answer.header("docker-content-digest")]).toEqual([200, digest]);
              expect(answer.header("content-type")).toBe((json as { mediaType: string }).mediaType);
              expect(answer.header("content-length")).toBe(String(body.length));
            }
            expect(get.bytes.equals(body)).toBe(true);
          }
          if (subject !== undefined) {
            const all = await send("GET", `${url}/referrers/${subject}`);
            expect(all.json()).toMatchObject({ manifests: [{ digest, size: body.length, ...artifact }] });
            const filtered = await send("GET", `${url}/referrers/${subject}?artifactType=none`);
            expect(filtered.json()).toMatchObject({ manifests: [] });
            expect(filtered.header("oci-filters-applied")).toBe("artifactType");
          }
        }
        const tags = manifests.map((__, i) => `t${i}`);
        expect((await send("GET", `${url}/tags/list`)).json()).toEqual({ name, tags });
        expect((await send("GET", `${url}/tags/list?last=t0`)).json()).toEqual({ name, tags: tags.slice(1) });
        expect((await send("GET", `${url}/tags/list?n=0`)).json()).toEqual({ name, tags: [] });
        for (const [i, json] of [...manifests.entries()].reverse()) {
          expect((await send("DELETE", `${url}/manifests/t${i}`)).status).toBe(202);
          expect((await send("GET", `${url}/manifests/t${i}`)).status).toBe(404);
          const { digest } = descriptor(json) as { digest: string };
          expect((await send("GET", `${url}/manifests/${digestOf(JSON.stringify(json))}`)).status).toBe(200);
          expect((await send("DELETE", `${url}/manifests/${digest}`)).status).toBe(202);
          expect((await send("GET", `${url}/manifests/${digest}`)).status).toBe(404);
        }
      });
    });
  });
});
