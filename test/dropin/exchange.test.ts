/** What one registry pushed, the other serves: a switch in either direction copies nothing. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { sha256, sha512 } from "../support/api.ts";
import { json, OCI_INDEX, OCI_MANIFEST } from "../support/images.ts";
import { beside, PAIRS } from "./beside.ts";
import { expectServed, fill, makeManifest, pushMade, tagsOf } from "./content.ts";

describe.each(PAIRS)("$name", (pair) => {
  const place = beside(pair);
  const kind = pair.peer;

  test("it pushes, we serve every byte and every tag", async () => {
    const [ours, peer] = await place.start();
    const content = await fill(peer.api, "theirs", { emptyBlob: pair.storesEmptyBlobs });
    await expectServed(peer.api, content);
    await expectServed(ours.api, content);
  });

  test("we push, it serves every byte and every tag", async () => {
    const [ours, peer] = await place.start();
    const content = await fill(ours.api, "ours");
    await expectServed(ours.api, content);
    await expectServed(peer.api, content);
  });

  test("both list the same repositories and tags, whoever pushed", async () => {
    const [ours, peer] = await place.start();
    const contents = [
      await fill(peer.api, "theirs", { emptyBlob: pair.storesEmptyBlobs }),
      await fill(ours.api, "ours"),
    ];
    const repositories = await ours.api.catalog();
    // It walks folder by folder, so that a/b comes before a-b; ours is the order of whole names.
    expect(repositories).toEqual([...repositories].sort());
    expect((await peer.api.catalog()).sort()).toEqual(repositories);
    expect(repositories).toHaveLength(8);
    for (const repository of repositories) {
      const tags = await tagsOf(ours.api, repository);
      expect(tags).toEqual([...tags].sort());
      expect((await tagsOf(peer.api, repository)).sort()).toEqual(tags);
    }
    for (const content of contents) await expectServed(ours.api, content);
  });

  test("it pushes, we delete: manifest, tags and blob are gone for both", async () => {
    const [ours, peer] = await place.start();
    const made = makeManifest();
    const kept = makeManifest();
    await pushMade(peer.api, "team/app", made, "v1");
    await peer.api.putManifest("team/app", "v2", made.bytes);
    await pushMade(peer.api, "team/app", kept, "kept");
    await ours.api.expect(202, "DELETE", `/v2/team/app/manifests/${made.digest}`);
    await ours.api.expect(202, "DELETE", `/v2/team/app/blobs/${sha256(made.blobs[1] ?? "")}`);
    for (const { api } of [ours, peer]) {
      for (const reference of [made.digest, "v1", "v2"]) {
        await api.expect(404, "GET", `/v2/team/app/manifests/${reference}`);
      }
      await api.expect(404, "GET", `/v2/team/app/blobs/${sha256(made.blobs[1] ?? "")}`);
      await api.expect(200, "GET", `/v2/team/app/blobs/${sha256(made.blobs[0] ?? "")}`);
      expect(await tagsOf(api, "team/app")).toEqual(["kept"]);
      expect((await api.manifest("team/app", "kept")).digest).toBe(kept.digest);
    }
  });

  test("we push, it deletes: manifest, tags and blob are gone for both", async () => {
    const [ours, peer] = await place.start();
    const made = makeManifest();
    const kept = makeManifest();
    await pushMade(ours.api, "team/app", made, "v1");
    await ours.api.putManifest("team/app", "v2", made.bytes);
    await pushMade(ours.api, "team/app", kept, "kept");
    await peer.api.expect(202, "DELETE", `/v2/team/app/manifests/${made.digest}`);
    await peer.api.expect(202, "DELETE", `/v2/team/app/blobs/${sha256(made.blobs[1] ?? "")}`);
    for (const { api } of [ours, peer]) {
      for (const reference of [made.digest, "v1", "v2"]) {
        await api.expect(404, "GET", `/v2/team/app/manifests/${reference}`);
      }
      await api.expect(404, "GET", `/v2/team/app/blobs/${sha256(made.blobs[1] ?? "")}`);
      expect(await tagsOf(api, "team/app")).toEqual(["kept"]);
    }
  });

  test("a tag that we delete is gone for it, and the manifest stays", async () => {
    const [ours, peer] = await place.start();
    const made = makeManifest();
    await pushMade(peer.api, "team/app", made, "v1");
    await ours.api.expect(202, "DELETE", "/v2/team/app/manifests/v1");
    for (const { api } of [ours, peer]) {
      await api.expect(404, "GET", "/v2/team/app/manifests/v1");
      expect(await tagsOf(api, "team/app")).toEqual([]);
      expect((await api.manifest("team/app", made.digest)).body.equals(made.bytes)).toBe(true);
    }
  });

  test(
    kind.deletesTags
      ? "a tag that it deletes is gone for us, and the manifest stays"
      : "it deletes no tags (400 DIGEST_INVALID), and then the tag is there for us too",
    async () => {
      const [ours, peer] = await place.start();
      const made = makeManifest();
      await pushMade(ours.api, "team/app", made, "v1");
      await peer.api.expect(kind.deletesTags ? 202 : 400, "DELETE", "/v2/team/app/manifests/v1");
      expect(await tagsOf(ours.api, "team/app")).toEqual(kind.deletesTags ? [] : ["v1"]);
      expect((await ours.api.manifest("team/app", made.digest)).body.equals(made.bytes)).toBe(true);
    },
  );

  test(
    kind.repositoryMark === "_manifests"
      ? "a repository with blobs only is in neither catalog"
      : "its catalog has every repository that ever had a blob, ours only those with manifests",
    async () => {
      const [ours, peer] = await place.start();
      const made = makeManifest();
      await pushMade(ours.api, "gone/by-ours", made, "v1");
      await pushMade(ours.api, "gone/by-peer", made, "v1");
      await ours.api.pushBlob("only/blobs", randomBytes(10));
      await ours.api.expect(202, "DELETE", `/v2/gone/by-ours/manifests/${made.digest}`);
      await peer.api.expect(202, "DELETE", `/v2/gone/by-peer/manifests/${made.digest}`);
      // Both leave the empty folders behind, which make a repository to both. In a bucket there is nothing then, and our
      // index of it is brought up to date later: bucket.test.ts.
      const kept = ["gone/by-ours", "gone/by-peer"];
      expect(await ours.api.catalog()).toEqual(kept);
      const marked = pair.storage.on === "folder" ? kept : [];
      expect(await peer.api.catalog()).toEqual(kind.repositoryMark === "_manifests" ? marked : [...kept, "only/blobs"]);
    },
  );

  test("a referrer that we took is a manifest to it; deleted there, it is no referrer here", async () => {
    const [ours, peer] = await place.start();
    const { manifests, subject } = await fill(ours.api, "ours");
    const referrer = manifests.at(-1)?.digest ?? "";
    const referrers = async (): Promise<string[]> => {
      const found = (await ours.api.json(`/v2/ours/a/referrers/${subject}`)) as { manifests: { digest: string }[] };
      return found.manifests.map(({ digest }) => digest);
    };
    expect(await referrers()).toEqual([referrer]);
    await peer.api.expect(202, "DELETE", `/v2/ours/a/manifests/${referrer}`);
    expect(await referrers()).toEqual([]);
  });

  test("it knows no referrers: what clients listed there under the fallback tag, our referrers API lists", async () => {
    const [ours, peer] = await place.start();
    const { manifests, subject } = await fill(peer.api, "theirs", { emptyBlob: pair.storesEmptyBlobs });
    const referrer = manifests.at(-1);
    await peer.api.expect(404, "GET", `/v2/theirs/a/referrers/${subject}`);
    const entry = { mediaType: OCI_MANIFEST, digest: referrer?.digest, size: referrer?.bytes.byteLength };
    const index = json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] });
    const pushed = await peer.api.putManifest("theirs/a", subject.replace(":", "-"), index, OCI_INDEX);
    expect(pushed.status).toBe(201);
    const found = (await ours.api.json(`/v2/theirs/a/referrers/${subject}`)) as { manifests: { digest: string }[] };
    expect(found.manifests.map(({ digest }) => digest)).toEqual([referrer?.digest]);
  });

  describe("sha512", () => {
    test("we push blobs and a manifest by sha512: it serves them by sha512, by digest and by tag", async () => {
      const [ours, peer] = await place.start();
      const made = makeManifest({ algorithm: "sha512" });
      await pushMade(ours.api, "team/app", made, made.digest);
      await pushMade(ours.api, "team/app", made, "v1");
      for (const { api } of [ours, peer]) {
        for (const bytes of made.blobs) {
          const reply = await api.expect(200, "GET", `/v2/team/app/blobs/${sha512(bytes)}`);
          expect(reply.body.equals(bytes)).toBe(true);
          const head = await api.expect(200, "HEAD", `/v2/team/app/blobs/${sha512(bytes)}`);
          expect(head.headers["content-length"]).toBe(String(bytes.byteLength));
          // The repository has it under the digest that it was pushed with and no other.
          await api.expect(404, "GET", `/v2/team/app/blobs/${sha256(bytes)}`);
        }
        const byDigest = await api.manifest("team/app", made.digest);
        expect(byDigest.body.equals(made.bytes)).toBe(true);
        expect(byDigest.digest).toBe(made.digest);
        expect((await api.manifest("team/app", "v1")).digest).toBe(sha256(made.bytes));
        expect(await tagsOf(api, "team/app")).toEqual(["v1"]);
      }
    });

    test("it stores blobs that were pushed by sha512 under their sha256, with a link: we serve them by both", async () => {
      const [ours, peer] = await place.start();
      const blob = randomBytes(5000);
      await peer.api.pushBlob("team/app", blob, "sha512");
      for (const name of [sha512(blob), sha256(blob)]) {
        const { body } = await ours.api.expect(200, "GET", `/v2/team/app/blobs/${name}`);
        expect(body.equals(blob)).toBe(true);
        const part = await ours.api.expect(206, "GET", `/v2/team/app/blobs/${name}`, {
          headers: { Range: "bytes=10-19" },
        });
        expect(part.body.equals(blob.subarray(10, 20))).toBe(true);
        const head = await ours.api.expect(200, "HEAD", `/v2/team/app/blobs/${name}`);
        expect(head.headers["docker-content-digest"]).toBe(name);
      }
    });

    test("we mount such a blob in another repository, and it reads it there", async () => {
      const [ours, peer] = await place.start();
      const made = makeManifest({ algorithm: "sha512" });
      for (const blob of made.blobs) {
        await peer.api.pushBlob("team/app", blob, "sha512");
        await ours.api.expect(201, "POST", `/v2/other/app/blobs/uploads/?mount=${sha512(blob)}&from=team/app`);
      }
      expect((await ours.api.putManifest("other/app", "v1", made.bytes)).status).toBe(201);
      for (const { api } of [ours, peer]) {
        for (const blob of made.blobs) {
          expect((await api.hashBlob("other/app", sha512(blob))).digest).toBe(sha512(blob));
        }
      }
    });

    test("it takes no manifest by sha512 (400 DIGEST_INVALID), but one by tag whose blobs are sha512, which we serve", async () => {
      const [ours, peer] = await place.start();
      const made = makeManifest({ algorithm: "sha512" });
      for (const blob of made.blobs) await peer.api.pushBlob("team/app", blob, "sha512");
      const refused = await peer.api.putManifest("team/app", made.digest, made.bytes);
      expect(refused.status).toBe(400);
      expect(refused.body.toString()).toContain("DIGEST_INVALID");
      expect((await peer.api.putManifest("team/app", "v1", made.bytes)).status).toBe(201);
      expect((await ours.api.manifest("team/app", "v1")).body.equals(made.bytes)).toBe(true);
      for (const blob of made.blobs) {
        expect((await ours.api.hashBlob("team/app", sha512(blob))).digest).toBe(sha512(blob));
      }
    });
  });
});
