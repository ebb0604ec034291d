/** Reading, writing and deleting of blobs and manifests, header by header. */
import { beforeEach, describe, expect, it } from "vitest";
import { DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import type { Reply } from "../support/app.ts";
import { pattern, sha256, sha512 } from "../support/bodies.ts";
import { freshApp } from "../support/fresh-app.ts";
import { snapshot } from "../support/invariants.ts";
import {
  CONFIG,
  CONFIG_TYPE,
  descriptorOf,
  imageOf,
  indexOf,
  manifestOf,
  pushBlob,
  pushImage,
  putManifest,
} from "../support/manifests.ts";
import { STORES } from "../support/stores.ts";

const bytes = pattern(100_000);
const digest = sha256(bytes);

describe.each(STORES)("%s", (_, makeStore) => {
  const on = freshApp(makeStore);
  const { send } = on;

  /** HEAD gives what GET gives, without the body. */
  const expectSameHead = async (path: string, headers: Record<string, string> = {}): Promise<Reply> => {
    const [get, head] = [await send("GET", path, { headers }), await send("HEAD", path, { headers })];
    expect(head.status).toBe(get.status);
    expect(head.bytes.length).toBe(0);
    expect(head.header("content-length")).toBe(get.header("content-length") ?? String(get.bytes.length));
    for (const name of ["content-type", "docker-content-digest", "etag", "accept-ranges", "link"]) {
      expect(head.header(name), name).toBe(get.header(name));
    }
    return get;
  };

  describe("the base", () => {
    it.each(["/v2/", "/v2"])("%s says that the API is spoken", async (path) => {
      const reply = await expectSameHead(path);
      expect([reply.status, reply.json()]).toEqual([200, {}]);
      expect(reply.header("docker-distribution-api-version")).toBe("registry/2.0");
    });

    it("/ is a sign of life", async () => {
      expect((await expectSameHead("/")).status).toBe(200);
    });
  });

  describe("a blob", () => {
    beforeEach(async () => {
      await pushBlob(send, "r", bytes);
    });
    const url = `/v2/r/blobs/${digest}`;

    it("is given as it was pushed, with its length and digest", async () => {
      const reply = await expectSameHead(url);
      expect([reply.status, reply.bytes.equals(bytes)]).toEqual([200, true]);
      expect(reply.header("content-length")).toBe("100000");
      expect(reply.header("content-type")).toBe("application/octet-stream");
      expect(reply.header("docker-content-digest")).toBe(digest);
      expect(reply.header("etag")).toBe(`"${digest}"`);
      expect(reply.header("accept-ranges")).toBe("bytes");
    });

    it("is addressed by a digest that may be percent-encoded", async () => {
      expect((await send("GET", `/v2/r/blobs/${digest.replace(":", "%3A")}`)).bytes.equals(bytes)).toBe(true);
    });

    it("is in its repository only", async () => {
      for (const repository of ["other", "r/r", "s"]) {
        const reply = await expectSameHead(`/v2/${repository}/blobs/${digest}`);
        expect([reply.status, reply.code]).toEqual([404, "BLOB_UNKNOWN"]);
      }
    });

    it("of no bytes is a blob as well", async () => {
      const empty = await pushBlob(send, "r", "");
      const reply = await expectSameHead(`/v2/r/blobs/${empty}`);
      expect([reply.status, reply.header("content-length"), reply.bytes.length]).toEqual([200, "0", 0]);
    });

    it.each<[range: string, status: number, contentRange: string | null, start: number, end: number]>([
      ["bytes=0-0", 206, "bytes 0-0/100000", 0, 1],
      ["bytes=0-99999", 206, "bytes 0-99999/100000", 0, 100_000],
      ["bytes=99999-", 206, "bytes 99999-99999/100000", 99_999, 100_000],
      ["bytes=500-999", 206, "bytes 500-999/100000", 500, 1000],
      ["bytes=500-", 206, "bytes 500-99999/100000", 500, 100_000],
      ["bytes=-500", 206, "bytes 99500-99999/100000", 99_500, 100_000],
      ["bytes=-200000", 206, "bytes 0-99999/100000", 0, 100_000],
      ["bytes=99000-200000", 206, "bytes 99000-99999/100000", 99_000, 100_000],
      ["BYTES = 1-2", 206, "bytes 1-2/100000", 1, 3],
      ["bytes=0-0,", 206, "bytes 0-0/100000", 0, 1],
      ["bytes=5-9,100000-", 206, "bytes 5-9/100000", 5, 10],
      ["bytes=100000-", 416, "bytes */100000", 0, 0],
      ["bytes=100000-200000,300000-", 416, "bytes */100000", 0, 0],
      ["bytes=-0", 416, "bytes */100000", 0, 0],
      ["bytes=9-5", 200, null, 0, 100_000],
      ["bytes=", 200, null, 0, 100_000],
      ["bytes=-", 200, null, 0, 100_000],
      ["bytes=a-b", 200, null, 0, 100_000],
      ["bytes=1-2-3", 200, null, 0, 100_000],
      ["bytes=0x1-0x2", 200, null, 0, 100_000],
      ["lines=1-2", 200, null, 0, 100_000],
      ["1-2", 200, null, 0, 100_000],
      ["bytes=0-99999,0-99999", 200, null, 0, 100_000],
      [`bytes=${Array.from({ length: 300 }, () => "1-1").join(",")}`, 200, null, 0, 100_000],
    ])("with Range %j: %i", async (range, status, contentRange, start, end) => {
      const reply = await send("GET", url, { headers: { Range: range } });
      expect([reply.status, reply.header("content-range")]).toEqual([status, contentRange]);
      expect(reply.bytes.equals(bytes.subarray(start, end))).toBe(true);
      expect(reply.header("content-length")).toBe(String(end - start));
      expect(reply.header("docker-content-digest")).toBe(digest);
      // A range is a matter of GET.
      const head = await send("HEAD", url, { headers: { Range: range } });
      expect([head.status, head.header("content-length")]).toEqual([200, "100000"]);
    });

    it("with several ranges comes in parts", async () => {
      const reply = await send("GET", url, { headers: { Range: "bytes=0-9, 70000-70001, -3" } });
      expect(reply.status).toBe(206);
      const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(reply.header("content-type") ?? "")?.[1] ?? "";
      const parts = reply.bytes.toString("latin1").split(`\r\n--${boundary}`);
      expect(parts.shift()).toBe("");
      expect(parts.pop()).toBe("--\r\n");
      const wanted = [
        [0, 9],
        [70_000, 70_001],
        [99_997, 99_999],
      ] as const;
      expect(parts).toEqual(
        wanted.map(
          ([first, last]) =>
            `\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/100000\r\n\r\n` +
            bytes.subarray(first, last + 1).toString("latin1"),
        ),
      );
      expect(reply.header("content-length")).toBe(String(reply.bytes.length));
    });

    it.each([
      [`"${digest}"`, 206],
      [`W/"${digest}"`, 200],
      [`"other"`, 200],
      ["Sat, 01 Jan 2022 00:00:00 GMT", 200],
    ])("with If-Range %s is %i", async (condition, status) => {
      const reply = await send("GET", url, { headers: { Range: "bytes=0-9", "If-Range": condition } });
      expect([reply.status, reply.bytes.length]).toEqual([status, status === 206 ? 10 : 100_000]);
    });

    it("has no ranges when it is empty", async () => {
      const empty = await pushBlob(send, "r", "");
      const reply = await send("GET", `/v2/r/blobs/${empty}`, { headers: { Range: "bytes=0-" } });
      expect([reply.status, reply.header("content-range")]).toEqual([416, "bytes */0"]);
    });

    it("is deleted from its repository, and only from there", async () => {
      await send("POST", `/v2/other/blobs/uploads/?mount=${digest}&from=r`);
      const reply = await send("DELETE", url);
      expect([reply.status, reply.bytes.length]).toEqual([202, 0]);
      expect((await expectSameHead(url)).status).toBe(404);
      const again = await send("DELETE", url);
      expect([again.status, again.code]).toEqual([404, "BLOB_UNKNOWN"]);
      expect((await send("GET", `/v2/other/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
      await pushBlob(send, "r", bytes);
      expect((await send("GET", url)).bytes.equals(bytes)).toBe(true);
    });
  });

  describe("conditions", () => {
    let image: { digest: string };
    beforeEach(async () => {
      image = await pushImage(send, "r", "v1");
    });
    const rows: [header: string, value: (etag: string) => string, status: number][] = [
      ["If-None-Match", (etag) => etag, 304],
      ["If-None-Match", (etag) => `W/${etag}`, 304],
      ["If-None-Match", (etag) => `"x", ${etag}`, 304],
      ["If-None-Match", () => "*", 304],
      ["If-None-Match", () => `"x"`, 200],
      ["If-None-Match", (etag) => etag.slice(1, -1), 200],
      ["If-Match", (etag) => etag, 200],
      ["If-Match", () => "*", 200],
      ["If-Match", () => `"x"`, 412],
      ["If-Match", (etag) => `W/${etag}`, 412],
    ];
    it.each(rows)("%s %s: %i", async (header, value, status) => {
      const layer = sha256("layer");
      for (const [path, etag] of [
        ["/v2/r/manifests/v1", `"${image.digest}"`],
        [`/v2/r/manifests/${image.digest}`, `"${image.digest}"`],
        [`/v2/r/blobs/${layer}`, `"${layer}"`],
      ] as const) {
        for (const method of ["GET", "HEAD"]) {
          const reply = await send(method, path, { headers: { [header]: value(etag) } });
          expect(reply.status, `${method} ${path}`).toBe(status);
          expect(reply.header("etag")).toBe(etag);
          if (status !== 200) expect(reply.bytes.length).toBe(0);
        }
      }
    });

    it("do not turn what is missing into something", async () => {
      const missing = sha256("missing");
      for (const path of ["/v2/r/manifests/none", `/v2/r/manifests/${missing}`, `/v2/r/blobs/${missing}`]) {
        for (const headers of [{ "If-None-Match": "*" }, { "If-Match": "*" }]) {
          expect((await send("GET", path, { headers })).status).toBe(404);
        }
      }
    });
  });

  describe("mounting", () => {
    beforeEach(async () => {
      await pushBlob(send, "from", bytes);
    });
    const mount = async (query: string): Promise<Reply> => await send("POST", `/v2/r/blobs/uploads/?${query}`);

    it.each([
      ["from the repository that has it", `mount=${digest}&from=from`],
      ["in any order, percent-encoded", `from=from&mount=${digest.replace(":", "%3A")}`],
      ["from anywhere", `mount=${digest}`],
      ["with an empty source", `mount=${digest}&from=`],
      ["from itself", `mount=${digest}&from=r`],
    ])("%s", async (__, query) => {
      if (query.endsWith("from=r")) await pushBlob(send, "r", bytes);
      const reply = await mount(query);
      expect(reply.status).toBe(201);
      expect(reply.header("location")).toBe(`/v2/r/blobs/${digest}`);
      expect(reply.header("docker-content-digest")).toBe(digest);
      expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
    });

    it.each([
      ["from one that lacks it", `mount=${digest}&from=empty`],
      ["from a name that is none", `mount=${digest}&from=NO/..`],
      ["of a blob that nobody has", `mount=${sha256("nobody's")}`],
      ["of one that nobody has, by name", `mount=${sha256("nobody's")}&from=from`],
    ])("%s starts an upload instead", async (__, query) => {
      const reply = await mount(query);
      expect(reply.status).toBe(202);
      const location = reply.header("location") ?? "";
      expect((await send("PUT", `${location}?digest=${digest}`, { body: bytes })).status).toBe(201);
    });

    it("of what is no digest is refused", async () => {
      const reply = await mount("mount=sha256:abc&from=from");
      expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
    });
  });

  describe("a single POST", () => {
    it.each([
      ["sha256", sha256(bytes)],
      ["sha512", sha512(bytes)],
    ])("with a %s digest", async (__, wanted) => {
      const reply = await send("POST", `/v2/r/blobs/uploads/?digest=${wanted}`, { body: bytes });
      expect([reply.status, reply.header("location")]).toEqual([201, `/v2/r/blobs/${wanted}`]);
      expect((await send("GET", `/v2/r/blobs/${wanted}`)).bytes.equals(bytes)).toBe(true);
    });

    it("of other bytes than the digest's is refused, and nothing is kept", async () => {
      for (const wanted of [sha256("x"), sha512("x")]) {
        const reply = await send("POST", `/v2/r/blobs/uploads/?digest=${wanted}`, { body: bytes });
        expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
      }
      expect(await snapshot(on.store.driver)).toEqual(new Map());
      expect((await on.store.residue()).filter((name) => !name.endsWith("/"))).toEqual([]);
    });
  });

  describe("a manifest", () => {
    it.each([
      ["OCI image", OCI_MANIFEST, (image: object) => ({ ...image, mediaType: OCI_MANIFEST })],
      ["OCI image without mediaType", OCI_MANIFEST, (image: object) => ({ ...image, mediaType: undefined })],
      ["Docker image", DOCKER_MANIFEST, (image: object) => ({ ...image, mediaType: DOCKER_MANIFEST })],
    ])("%s: byte for byte, by tag and by digest", async (__, type, change) => {
      await pushBlob(send, "r", CONFIG);
      await pushBlob(send, "r", "layer");
      const json = change({
        schemaVersion: 2,
        config: descriptorOf(CONFIG, CONFIG_TYPE),
        layers: [descriptorOf("layer")],
      });
      const odd = Buffer.from(`\n${JSON.stringify(json, null, 3)} \n`); // whatever its spaces are
      const image = { ...manifestOf(json, type), bytes: odd, digest: sha256(odd) };
      const put = await putManifest(send, "r", "v1", image);
      expect(put.status).toBe(201);
      expect(put.header("location")).toBe(`/v2/r/manifests/${image.digest}`);
      expect(put.header("docker-content-digest")).toBe(image.digest);
      for (const reference of ["v1", image.digest]) {
        const reply = await expectSameHead(`/v2/r/manifests/${reference}`);
        expect([reply.status, reply.bytes.equals(odd)]).toEqual([200, true]);
        expect(reply.header("content-type")).toBe(type);
        expect(reply.header("docker-content-digest")).toBe(image.digest);
        expect(reply.header("etag")).toBe(`"${image.digest}"`);
        expect(reply.header("content-length")).toBe(String(odd.length));
      }
    });

    it("may be an index, of indexes too, by its Docker name too", async () => {
      const image = await pushImage(send, "r", "v1");
      const index = indexOf([image]);
      const nested = indexOf([index, image]);
      const docker = manifestOf(
        { schemaVersion: 2, mediaType: DOCKER_MANIFEST_LIST, manifests: [image.descriptor] },
        DOCKER_MANIFEST_LIST,
      );
      const empty = indexOf([]);
      for (const [tag, manifest] of Object.entries({ index, nested, docker, empty })) {
        expect((await putManifest(send, "r", tag, manifest)).status, tag).toBe(201);
        const reply = await expectSameHead(`/v2/r/manifests/${tag}`);
        expect([reply.header("content-type"), reply.bytes.equals(manifest.bytes)]).toEqual([manifest.mediaType, true]);
      }
    });

    it("by its digest has no tag, and by sha512 it is another name", async () => {
      const image = await pushImage(send, "other", "v1");
      for (const layer of [CONFIG, "layer"]) await pushBlob(send, "r", layer);
      expect((await putManifest(send, "r", image.digest, image)).status).toBe(201);
      expect((await send("GET", "/v2/r/tags/list")).json()).toEqual({ name: "r", tags: [] });
      const put = await putManifest(send, "r", image.sha512, image);
      expect([put.status, put.header("docker-content-digest")]).toEqual([201, image.sha512]);
      const reply = await expectSameHead(`/v2/r/manifests/${image.sha512}`);
      expect([reply.bytes.equals(image.bytes), reply.header("docker-content-digest")]).toEqual([true, image.sha512]);
    });

    it("is in its repository only, and no blob there", async () => {
      const image = await pushImage(send, "r", "v1");
      for (const path of [
        `/v2/other/manifests/${image.digest}`,
        "/v2/other/manifests/v1",
        `/v2/r/manifests/${sha256("layer")}`, // a blob is no manifest
        "/v2/r/manifests/V1",
      ]) {
        const reply = await expectSameHead(path);
        expect([reply.status, reply.code], path).toEqual([404, "MANIFEST_UNKNOWN"]);
      }
      expect((await expectSameHead(`/v2/r/blobs/${image.digest}`)).status).toBe(404);
    });

    it("asked for by the digest of a large layer is not there", async () => {
      const layer = await pushBlob(send, "r", Buffer.alloc(4_300_000, "layer"));
      const reply = await expectSameHead(`/v2/r/manifests/${layer}`);
      expect([reply.status, reply.code]).toEqual([404, "MANIFEST_UNKNOWN"]);
    });

    it("moves a tag, and stays under its digest", async () => {
      const first = await pushImage(send, "r", "v1");
      const second = await pushImage(send, "r", "v1", ["another layer"]);
      expect((await send("GET", "/v2/r/manifests/v1")).bytes.equals(second.bytes)).toBe(true);
      expect((await send("GET", `/v2/r/manifests/${first.digest}`)).bytes.equals(first.bytes)).toBe(true);
    });

    it("takes ten tags and more at once, and says which", async () => {
      const image = await pushImage(send, "r", "v1");
      const tags = Array.from({ length: 100 }, (__, i) => `t${i}`);
      const query = tags.map((tag) => `tag=${tag}`).join("&");
      const reply = await putManifest(send, "r", `${image.digest}?${query}&tag=t0`, image);
      expect(reply.status).toBe(201);
      expect(reply.header("oci-tag")?.split(/,\s*/)).toEqual(tags);
      for (const tag of ["t0", "t55", "t99"]) {
        expect((await send("HEAD", `/v2/r/manifests/${tag}`)).header("docker-content-digest")).toBe(image.digest);
      }
    });

    it.each([
      ["more than a hundred", Array.from({ length: 101 }, (__, i) => `tag=t${i}`).join("&"), 414],
      ["one outside the grammar", "tag=ok&tag=-no", 400],
      ["an empty one", "tag=", 400],
    ])("with tags, %s: none is set", async (__, query, status) => {
      for (const layer of [CONFIG, "layer"]) await pushBlob(send, "r", layer);
      const image = imageOf(["layer"]);
      const before = await snapshot(on.store.driver);
      expect((await putManifest(send, "r", `${image.digest}?${query}`, image)).status).toBe(status);
      expect((await putManifest(send, "r", "v1?tag=v2", image)).code).toBe("TAG_INVALID");
      expect(await snapshot(on.store.driver)).toEqual(before);
    });

    it("is deleted with all its tags, and by tag only that tag", async () => {
      const image = await pushImage(send, "r", "v1");
      await putManifest(send, "r", `${image.digest}?tag=v2&tag=v3`, image);
      const other = await pushImage(send, "r", "other", ["another"]);
      expect((await send("DELETE", "/v2/r/manifests/v2")).status).toBe(202);
      expect((await send("GET", "/v2/r/manifests/v2")).status).toBe(404);
      expect((await send("GET", "/v2/r/manifests/v1")).status).toBe(200);
      expect((await send("DELETE", `/v2/r/manifests/${image.digest}`)).status).toBe(202);
      for (const path of ["/v2/r/manifests/v1", "/v2/r/manifests/v3", `/v2/r/manifests/${image.digest}`]) {
        expect((await send("GET", path)).status).toBe(404);
        expect([(await send("DELETE", path)).status, (await send("DELETE", path)).code]).toEqual([
          404,
          "MANIFEST_UNKNOWN",
        ]);
      }
      expect((await send("GET", "/v2/r/tags/list")).json()).toEqual({ name: "r", tags: ["other"] });
      expect((await send("GET", `/v2/r/manifests/${other.digest}`)).status).toBe(200);
    });

    it("of exactly 4 MiB is taken, and one byte more is 413", async () => {
      await pushBlob(send, "r", CONFIG);
      const limit = 4 * 1024 * 1024;
      const small = JSON.stringify({ ...JSON.parse(imageOf([]).bytes.toString()), annotations: { x: "" } } as object);
      for (const [size, status] of [
        [limit, 201],
        [limit + 1, 413],
      ] as const) {
        const padded = Buffer.from(small.replace('"x":""', `"x":"${"y".repeat(size - small.length)}"`));
        expect(padded.length).toBe(size);
        const headers = { "Content-Type": OCI_MANIFEST };
        expect((await send("PUT", "/v2/r/manifests/big", { headers, body: padded })).status).toBe(status);
        async function* inChunks(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < size; at += 65_536) yield padded.subarray(at, at + 65_536);
        }
        const chunked = await send("PUT", "/v2/r/manifests/chunked", { headers, body: inChunks() });
        expect([chunked.status, chunked.code]).toEqual([status, status === 413 ? "MANIFEST_INVALID" : undefined]);
        if (status === 201) expect((await send("GET", "/v2/r/manifests/big")).bytes.equals(padded)).toBe(true);
      }
    });

    it("that another registry stored and that cannot be read is served as bytes", async () => {
      const foreign = Buffer.from(`{"schemaVersion":1,"name":"old"}`);
      const old = sha256(foreign);
      const root = "docker/registry/v2/";
      await on.store.driver.put(`${root}blobs/sha256/${old.slice(7, 9)}/${old.slice(7)}/data`, foreign);
      await on.store.driver.put(
        `${root}repositories/r/_manifests/revisions/sha256/${old.slice(7)}/link`,
        Buffer.from(old),
      );
      const reply = await expectSameHead(`/v2/r/manifests/${old}`);
      expect([reply.status, reply.bytes.equals(foreign)]).toEqual([200, true]);
      expect(reply.header("content-type")).toBe("application/vnd.docker.distribution.manifest.v1+prettyjws");
      expect((await send("DELETE", `/v2/r/manifests/${old}`)).status).toBe(202);
    });

    it("whose media type is an index is told from its body where another registry stored it", async () => {
      await pushBlob(send, "r", CONFIG);
      const image = await pushImage(send, "r", "v1");
      const index = { ...indexOf([image], { mediaType: undefined }), mediaType: OCI_INDEX };
      expect((await putManifest(send, "r", "index", index)).status).toBe(201);
      expect((await expectSameHead("/v2/r/manifests/index")).header("content-type")).toBe(OCI_INDEX);
    });
  });
});
