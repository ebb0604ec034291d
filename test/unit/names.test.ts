/** What digests, names, tags and paths are, and what they are not. */
import { describe, expect, it } from "vitest";
import { parseTarget } from "../../functions/registry/target.ts";
import { digestFrom, parseAlgorithm, parseDigest } from "../../shared/oci/digest.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import { essence, isNonDistributable, isSchema1 } from "../../shared/oci/media-type.ts";
import { parseReference, parseRepositoryName, parseTag } from "../../shared/oci/reference.ts";

const hex = "0123456789abcdef".repeat(4);
const codeOf = (work: () => unknown): string => {
  try {
    return JSON.stringify(work());
  } catch (error) {
    if (error instanceof RegistryError) return error.code;
    throw error;
  }
};

describe("digests", () => {
  it.each([`sha256:${hex}`, `sha512:${hex}${hex}`])("%s", (text) => {
    expect(digestFrom(text)).toBe(text);
    expect(parseReference(text)).toEqual({ kind: "digest", digest: text });
  });
  it.each([
    ["no-colon", /form algorithm:hex/],
    [`md5:${hex}`, /use sha256 or sha512/],
    [`sha256:${hex}0`, /64 lower-case/],
    [`sha512:${hex}`, /128 lower-case/],
    [`sha256:${hex}\n`, /64 lower-case/],
    [`constructor:${hex}`, /use sha256 or sha512/],
  ])("%j is none, and the message says why", (text, message) => {
    expect(digestFrom(text)).toBeUndefined();
    expect(() => parseDigest(text)).toThrow(message);
  });
  it.each(["sha256", "sha512"])("%s is an algorithm", (name) => expect(parseAlgorithm(name)).toBe(name));
  it.each(["sha1", "", "hasOwnProperty"])("%j is not", (name) => {
    expect(codeOf(() => parseAlgorithm(name))).toBe("DIGEST_INVALID");
  });
});

describe("names", () => {
  it.each(["a", "0", "a/b/c", "a.b", "a_b", "a__b", "a-b", "a----b", "a.b_c-d/e", "blobs/uploads", "a".repeat(255)])(
    "%s is a repository's",
    (name) => expect(parseRepositoryName(name)).toBe(name),
  );
  it.each(["", "A", "a_", "a___b", "a.-b", "a/", "/a", "a//b", "_a", "a\n", "a b", "a".repeat(256)])(
    "%j is not",
    (name) => expect(codeOf(() => parseRepositoryName(name))).toBe("NAME_INVALID"),
  );
  it.each(["a", "A", "_", "0", "v1.2.3-rc_1", "a".repeat(128)])("%s is a tag", (tag) =>
    expect(parseTag(tag)).toBe(tag),
  );
  it.each(["", ".a", "-a", "a/b", "a:b", "a+b", "a\n", "é", "a".repeat(129)])("%j is not", (tag) => {
    expect(codeOf(() => parseTag(tag))).toBe("TAG_INVALID");
  });
});

describe("paths", () => {
  const blob = `sha256:${hex}`;
  it.each<[path: string, target: object]>([
    ["/", { kind: "root" }],
    ["/v2", { kind: "base" }],
    ["/v2/", { kind: "base" }],
    ["/v2/_catalog", { kind: "catalog" }],
    [`/v2/a/blobs/${blob}`, { kind: "blob", name: "a", digest: blob }],
    ["/v2/a/blobs/uploads", { kind: "uploads", name: "a" }],
    ["/v2/a/blobs/uploads/", { kind: "uploads", name: "a" }],
    ["/v2/a/blobs/uploads/id", { kind: "upload", name: "a", id: "id" }],
    ["/v2/a/manifests/v1", { kind: "manifest", name: "a", reference: { kind: "tag", tag: "v1" } }],
    ["/v2/a/tags/list", { kind: "tags", name: "a" }],
    [`/v2/a/referrers/${blob}`, { kind: "referrers", name: "a", subject: blob }],
    // Repositories that are called like parts of the API.
    ["/v2/blobs/uploads/x/tags/list", { kind: "tags", name: "blobs/uploads/x" }],
    [`/v2/blobs/blobs/${blob}`, { kind: "blob", name: "blobs", digest: blob }],
    ["/v2/manifests/manifests/tags", { kind: "manifest", name: "manifests", reference: { kind: "tag", tag: "tags" } }],
    ["/v2/tags/list/tags/list", { kind: "tags", name: "tags/list" }],
    ["/v2/a/tags/manifests/list", { kind: "manifest", name: "a/tags", reference: { kind: "tag", tag: "list" } }],
    ["/v2/a/blobs/uploads/blobs/uploads/", { kind: "uploads", name: "a/blobs/uploads" }],
    ["/v2/v2/manifests/v2", { kind: "manifest", name: "v2", reference: { kind: "tag", tag: "v2" } }],
    [`/v2/a%2Db/blobs/sha256%3A${hex}`, { kind: "blob", name: "a-b", digest: blob }],
  ])("%s", (path, target) => expect(parseTarget(path)).toEqual(target));

  it.each([
    ["/x/v2/a/tags/list", "/x/", { kind: "tags", name: "a" }],
    ["/x/", "/x/", { kind: "root" }],
  ])("%s below %s", (path, prefix, target) => expect(parseTarget(path, prefix)).toEqual(target));

  it.each([
    ["/v2/..%2f..%2fetc/manifests/x", "NAME_INVALID"],
    ["/v2/a/../manifests/x", "NAME_INVALID"],
    ["/v2/a%00/manifests/x", "NAME_INVALID"],
    ["/v2/a%252Fb/manifests/x", "NAME_INVALID"], // decoded once, not twice
    ["/v2/a/manifests/%E0%A4%A", "NAME_INVALID"],
    ["/v2/a/manifests/..", "TAG_INVALID"],
    ["/v2/a/blobs/..", "DIGEST_INVALID"],
    ["/v2/blobs/uploads/", "DIGEST_INVALID"],
    ["/v2/manifests/x", "NOT_FOUND"],
    ["/v2/tags/list", "NOT_FOUND"],
    ["v2/", "NOT_FOUND"],
    ["", "NOT_FOUND"],
  ])("%s is refused: %s", (path, code) => {
    const actual = codeOf(() => parseTarget(path));
    expect(path === "/v2/blobs/uploads/" ? ["DIGEST_INVALID", "NOT_FOUND"] : [code]).toContain(actual);
  });
});

describe("media types", () => {
  it("lose case and parameters", () => expect(essence(" Application/JSON ; charset=utf-8")).toBe("application/json"));
  it.each([
    ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true],
    ["application/vnd.oci.image.layer.v1.tar+gzip", false],
  ])("%s need not be held: %s", (type, expected) => expect(isNonDistributable(type)).toBe(expected));
  it.each(["json", "prettyjws"])("schema 1 as %s", (suffix) => {
    expect(isSchema1(`application/vnd.docker.distribution.manifest.v1+${suffix}`)).toBe(true);
  });
});
