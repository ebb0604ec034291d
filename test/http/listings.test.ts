/** Tags, referrers and the catalog: order, pages, and what is left out. */
import { beforeEach, describe, expect, it } from "vitest";
import { OCI_INDEX } from "../../shared/oci/media-type.ts";
import { createTestApp, type Reply } from "../support/app.ts";
import { sha256, sha512 } from "../support/bodies.ts";
import { freshApp } from "../support/fresh-app.ts";
import {
  CONFIG,
  descriptorOf,
  imageOf,
  indexOf,
  manifestOf,
  pushBlob,
  pushImage,
  putManifest,
  referrerOf,
  type TestManifest,
} from "../support/manifests.ts";
import { STORES } from "../support/stores.ts";

/** Where a Link header leads. */
const nextOf = (reply: Reply): string | undefined => /^<([^>]+)>; rel="next"$/.exec(reply.header("link") ?? "")?.[1];

describe.each(STORES)("%s", (_, makeStore) => {
  const on = freshApp(makeStore, { damages: true });
  const { send } = on;

  /** The entries of each page, led through by the Link headers. */
  const pages = async (first: string, entries: (body: unknown) => unknown[]): Promise<unknown[][]> => {
    const found: unknown[][] = [];
    for (let path: string | undefined = first; path !== undefined;) {
      const reply: Reply = await send("GET", path);
      expect(reply.status).toBe(200);
      const head = await send("HEAD", path);
      expect([head.status, head.header("content-length")]).toEqual([200, String(reply.bytes.length)]);
      found.push(entries(reply.json()));
      path = nextOf(reply);
      expect(found.length).toBeLessThan(100);
    }
    return found;
  };
  const tagPages = async (query = "", repository = "r"): Promise<unknown[][]> =>
    await pages(`/v2/${repository}/tags/list${query}`, (body) => (body as { tags: string[] }).tags);
  const catalogPages = async (query = ""): Promise<unknown[][]> =>
    await pages(`/v2/_catalog${query}`, (body) => (body as { repositories: string[] }).repositories);

  describe("tags", () => {
    const sorted = ["0", "A", "Z", "_", "a", "a-", "a-b", "a.b", "a0", "a_b", "aa", "b"];
    beforeEach(async () => {
      const image = await pushImage(send, "r", "a");
      const query = [...sorted].reverse().map((tag) => `tag=${tag}`);
      await putManifest(send, "r", `${image.digest}?${query.join("&")}`, image);
    });

    it.each<[query: string, wanted: string[][]]>([
      ["", [sorted]],
      ["?n=100", [sorted]],
      ["?n=12", [sorted]],
      ["?n=11", [sorted.slice(0, 11), sorted.slice(11)]],
      ["?n=5", [sorted.slice(0, 5), sorted.slice(5, 10), sorted.slice(10)]],
      ["?n=0", [[]]],
      ["?n=", [sorted]],
      ["?last=a", [sorted.slice(5)]],
      ["?last=a%2Db", [sorted.slice(7)]],
      ["?last=a-a", [sorted.slice(6)]],
      ["?last=b", [[]]],
      ["?last=zzz", [[]]],
      ["?last=", [sorted]],
      ["?last=a&n=3", [sorted.slice(5, 8), sorted.slice(8, 11), sorted.slice(11)]],
      ["?n=3&last=a0", [sorted.slice(9)]],
      ["?n=0&last=a", [[]]],
      ["?n=999999999", [sorted]],
      ["?something=else", [sorted]],
    ])("%s", async (query, wanted) => {
      expect(await tagPages(query)).toEqual(wanted);
    });

    it.each(["-1", "x", "1.5", "1e3", "0x10", " 1 2", "9999999999"])("n=%s is refused", async (n) => {
      for (const path of ["/v2/r/tags/list", "/v2/_catalog", `/v2/r/referrers/${sha256("x")}`]) {
        const reply = await send("GET", `${path}?n=${encodeURIComponent(n)}`);
        expect([reply.status, reply.code], path).toEqual([400, "PAGINATION_NUMBER_INVALID"]);
      }
    });

    it("carry the repository's name", async () => {
      expect((await send("GET", "/v2/r/tags/list")).json()).toEqual({ name: "r", tags: sorted });
    });

    it("of a repository that is not there: 404", async () => {
      for (const path of ["/v2/s/tags/list", "/v2/s/tags/list?n=0", "/v2/r/r/tags/list"]) {
        const reply = await send("GET", path);
        expect([reply.status, reply.code]).toEqual([404, "NAME_UNKNOWN"]);
      }
    });

    it("of one that has manifests and no tags any more: none", async () => {
      for (const tag of sorted) await send("DELETE", `/v2/r/manifests/${tag}`);
      expect(await tagPages()).toEqual([[]]);
      expect(await tagPages("?n=0")).toEqual([[]]);
    });
  });

  describe.each(["walk", "index"] as const)("the catalog by %s", (catalog) => {
    beforeEach(() => {
      on.restart({ catalog });
    });
    const sorted = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b/c", "a0", "a_b", "aa", "blobs", "manifests/uploads", "z"];
    beforeEach(async () => {
      for (const name of [...sorted].reverse()) await pushImage(send, name, "v1");
    });

    it.each<[query: string, wanted: string[][]]>([
      ["", [sorted]],
      ["?n=5", [sorted.slice(0, 5), sorted.slice(5, 10), sorted.slice(10)]],
      ["?n=1", sorted.map((name) => [name])],
      ["?n=0", [[]]],
      ["?last=a", [sorted.slice(1)]],
      ["?last=a-b", [sorted.slice(2)]],
      ["?last=a%2Fb", [sorted.slice(5)]],
      ["?last=a/", [sorted.slice(4)]],
      ["?last=a/b/c/d", [sorted.slice(6)]],
      ["?last=zz", [[]]],
      ["?n=2&last=a.b", [sorted.slice(4, 6), sorted.slice(6, 8), sorted.slice(8, 10), sorted.slice(10)]],
    ])("%s", async (query, wanted) => {
      expect(await catalogPages(query)).toEqual(wanted);
    });

    it("has pages no larger than the settings allow", async () => {
      const small = createTestApp(on.store.driver, { settings: { catalogMaxEntries: 4 }, registry: { catalog } });
      for (const query of ["", "?n=100"]) {
        const reply = await small.send("GET", `/v2/_catalog${query}`);
        expect((reply.json() as { repositories: string[] }).repositories).toEqual(sorted.slice(0, 4));
        expect(nextOf(reply)).toBe("/v2/_catalog?last=a.b&n=4");
      }
    });

    it("has no repository that only blobs or uploads were sent to", async () => {
      await pushBlob(send, "only/blobs", "x");
      await send("POST", "/v2/only/uploads/blobs/uploads/");
      expect((await catalogPages()).flat()).toEqual(sorted);
    });
  });

  describe("referrers", () => {
    let image: TestManifest;
    beforeEach(async () => {
      image = await pushImage(send, "r", "v1");
    });
    const url = (digest: string = image.digest): string => `/v2/r/referrers/${digest}`;
    const listed = async (query = "", digest?: string): Promise<string[]> =>
      (
        await pages(url(digest) + query, (body) => (body as { manifests: { digest: string }[] }).manifests)
      ).flat() as string[];
    const digestsIn = async (query = "", digest?: string): Promise<string[]> =>
      (await listed(query, digest)).map((entry) => (entry as unknown as { digest: string }).digest);
    const sorted = (...manifests: TestManifest[]): string[] => manifests.map(({ digest }) => digest).sort();

    it("of what nothing refers to is an empty index, and so of what is not there", async () => {
      for (const path of [url(), url(sha256("none")), url(sha512("none")), "/v2/not/there/referrers/" + image.digest]) {
        const reply = await send("GET", path);
        expect([reply.status, reply.header("content-type")]).toEqual([200, OCI_INDEX]);
        expect(reply.json()).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
        expect(reply.header("oci-filters-applied")).toBeNull();
      }
    });

    it.each(["sha256:abc", "md5:0123", "tag", "sha256"])("of %j, which is no digest: 400", async (text) => {
      const reply = await send("GET", url(text));
      expect([reply.status, reply.code]).toEqual([400, "DIGEST_INVALID"]);
    });

    it("describe each manifest with its type and annotations", async () => {
      const annotations = { "org.example.key": "välue" };
      const typed = referrerOf(image.descriptor, "application/vnd.test.a", { annotations });
      const byConfig = imageOf(["layer"], { subject: image.descriptor });
      const index = indexOf([image], { subject: image.descriptor, artifactType: "application/vnd.test.i" });
      for (const manifest of [typed, byConfig, index]) {
        const reply = await putManifest(send, "r", manifest.digest, manifest);
        expect([reply.status, reply.header("oci-subject")]).toEqual([201, image.digest]);
      }
      expect(await listed()).toEqual(
        [
          { ...typed.descriptor, artifactType: "application/vnd.test.a", annotations },
          { ...byConfig.descriptor, artifactType: "application/vnd.oci.image.config.v1+json" },
          { ...index.descriptor, artifactType: "application/vnd.test.i" },
        ].sort((a, b) => (a.digest < b.digest ? -1 : 1)),
      );
      expect((await putManifest(send, "r", "plain", imageOf(["layer"]))).header("oci-subject")).toBeNull();
    });

    it("can be filtered by type, and say so", async () => {
      const [a1, a2, b] = ["a", "a", "b"].map((type, i) =>
        referrerOf(image.descriptor, `application/vnd.test.${type}+json`, { annotations: { i: String(i) } }),
      ) as [TestManifest, TestManifest, TestManifest];
      for (const manifest of [a1, a2, b]) await putManifest(send, "r", manifest.digest, manifest);
      expect(await digestsIn()).toEqual(sorted(a1, a2, b));
      const filter = "?artifactType=application%2Fvnd.test.a%2Bjson";
      expect(await digestsIn(filter)).toEqual(sorted(a1, a2));
      expect(await digestsIn(`${filter}&n=1`)).toEqual(sorted(a1, a2));
      expect((await send("GET", url() + filter)).header("oci-filters-applied")).toBe("artifactType");
      expect(await digestsIn("?artifactType=none")).toEqual([]);
      expect((await send("GET", `${url()}?artifactType=`)).header("oci-filters-applied")).toBeNull();
    });

    it("come in pages", async () => {
      const manifests = Array.from({ length: 7 }, (__, i) =>
        referrerOf(image.descriptor, "application/vnd.test", { annotations: { i: String(i) } }),
      );
      for (const manifest of manifests) await putManifest(send, "r", manifest.digest, manifest);
      for (const n of [1, 3, 7, 8]) expect(await digestsIn(`?n=${n}`)).toEqual(sorted(...manifests));
      expect((await send("GET", `${url()}?n=3`)).json()).toMatchObject({ manifests: [{}, {}, {}] });
      expect(nextOf(await send("GET", `${url()}?n=7`))).toBeUndefined();
    });

    it("end a page before it is too large for clients", async () => {
      const annotations = { x: "y".repeat(700_000) };
      const manifests = Array.from({ length: 6 }, (__, i) =>
        referrerOf(image.descriptor, "application/vnd.test", { annotations: { ...annotations, i: String(i) } }),
      );
      for (const manifest of manifests) await putManifest(send, "r", manifest.digest, manifest);
      const first = await send("GET", url());
      expect(first.bytes.length).toBeLessThan(4 * 1024 * 1024);
      expect(nextOf(first)).toBeDefined();
      expect(await digestsIn()).toEqual(sorted(...manifests));
    });

    it("may come before their subject, by tag, and by sha512", async () => {
      const missing = imageOf(["not yet"]);
      const early = referrerOf(missing.descriptor, "application/vnd.test");
      expect((await putManifest(send, "r", "early", early)).header("oci-subject")).toBe(missing.digest);
      expect(await digestsIn("", missing.digest)).toEqual([early.digest]);
      expect((await putManifest(send, "r", early.sha512, early)).status).toBe(201);
      expect(await digestsIn("", missing.digest)).toEqual([early.digest, early.sha512]);
      const bySha512 = referrerOf({ ...missing.descriptor, digest: missing.sha512 }, "application/vnd.test");
      await putManifest(send, "r", "other", bySha512);
      expect(await digestsIn("", missing.sha512)).toEqual([bySha512.digest]);
    });

    it("that were deleted are not listed, and are again when they are pushed again", async () => {
      const [one, two] = ["one", "two"].map((i) => referrerOf(image.descriptor, "t/t", { annotations: { i } })) as [
        TestManifest,
        TestManifest,
      ];
      for (const manifest of [one, two]) await putManifest(send, "r", manifest.digest, manifest);
      await send("DELETE", `/v2/r/manifests/${one.digest}`);
      expect(await digestsIn()).toEqual([two.digest]);
      await putManifest(send, "r", one.digest, one);
      expect(await digestsIn()).toEqual(sorted(one, two));
      await send("DELETE", `/v2/r/manifests/${image.digest}`); // the subject goes, they stay
      expect(await digestsIn()).toEqual(sorted(one, two));
    });

    it("of another repository are another matter", async () => {
      const referrer = referrerOf(image.descriptor, "t/t");
      await pushBlob(send, "s", CONFIG);
      await putManifest(send, "s", referrer.digest, referrer);
      expect(await digestsIn()).toEqual([]);
    });

    describe("under the fallback tag", () => {
      // As a client leaves them at a registry without the referrers API.
      const fallback = async (tag: string, ...children: TestManifest[]): Promise<void> => {
        const reply = await putManifest(send, "r", tag, indexOf(children));
        expect(reply.status).toBe(201);
      };
      const hide = async (referrer: TestManifest): Promise<void> => {
        await putManifest(send, "r", referrer.digest, referrer);
        const subject = image.digest.replace(":", "/");
        const root = "docker/registry/v2/repositories/r/_referrers";
        await on.store.driver.delete(`${root}/${subject}/${referrer.digest.replace(":", "/")}/link`);
      };

      it("are listed too, each once, if they do refer to the subject", async () => {
        const known = referrerOf(image.descriptor, "t/known");
        const [hidden, unrelated] = [referrerOf(image.descriptor, "t/hidden"), imageOf(["layer"], { annotations: {} })];
        await putManifest(send, "r", known.digest, known);
        await hide(hidden);
        await putManifest(send, "r", unrelated.digest, unrelated);
        expect(await digestsIn()).toEqual([known.digest]);
        await fallback(image.digest.replace(":", "-"), known, hidden, unrelated);
        expect(await digestsIn()).toEqual(sorted(known, hidden));
        await send("DELETE", `/v2/r/manifests/${hidden.digest}`);
        expect(await digestsIn()).toEqual([known.digest]);
      });

      it("of a sha512 subject have a tag that is cut", async () => {
        const referrer = referrerOf({ ...image.descriptor, digest: image.sha512 }, "t/t");
        await putManifest(send, "r", referrer.digest, referrer);
        const root = "docker/registry/v2/repositories/r/_referrers";
        await on.store.driver.delete(
          `${root}/${image.sha512.replace(":", "/")}/${referrer.digest.replace(":", "/")}/link`,
        );
        expect(await digestsIn("", image.sha512)).toEqual([]);
        await fallback(image.sha512.replace(":", "-").slice(0, "sha512-".length + 64), referrer);
        expect(await digestsIn("", image.sha512)).toEqual([referrer.digest]);
      });

      it("do no harm when the tag names something else", async () => {
        await putManifest(send, "r", image.digest.replace(":", "-"), image);
        expect(await digestsIn()).toEqual([]);
      });
    });

    it("whose bytes can no longer be read are left out", async () => {
      const referrer = referrerOf(image.descriptor, "t/t");
      await putManifest(send, "r", referrer.digest, referrer);
      const [, hex = ""] = referrer.digest.split(":");
      const key = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
      for (const damaged of ["", "{", "[]", JSON.stringify({ ...descriptorOf("x") }), manifestOf({}).bytes]) {
        await on.store.driver.put(key, Buffer.from(damaged));
        expect(await digestsIn()).toEqual([]);
      }
      await on.store.driver.delete(key);
      expect(await digestsIn()).toEqual([]);
    });
  });
});
