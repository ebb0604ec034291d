/** What is refused, with which status and code, and that nothing is stored then. */
import { afterEach, beforeAll, afterAll, describe, expect, it } from "vitest";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { createTestApp, throughEvents, type SendOptions, type TestApp } from "../support/app.ts";
import { sha256 } from "../support/bodies.ts";
import { snapshot } from "../support/invariants.ts";
import { CONFIG, CONFIG_TYPE, descriptorOf, imageOf, pushImage, type TestManifest } from "../support/manifests.ts";
import { STORES, type TestStore } from "../support/stores.ts";

const missing = sha256("missing");
const hex = "0".repeat(64);

interface Refusal {
  readonly what: string;
  readonly request: readonly [method: string, path: string, options?: SendOptions];
  readonly status: number;
  readonly code: string;
}
const refusal = (what: string, request: Refusal["request"], status: number, code: string): Refusal => ({
  what,
  request,
  status,
  code,
});

const LONG_NAME = `${"a/".repeat(127)}aa`; // 256 characters
const NAMES: Refusal[] = [
  "A",
  "Upper/case",
  "a//b",
  "/a",
  "a/",
  "-a",
  "a-",
  ".a",
  "a..b",
  "a___b",
  "a._b",
  "_a",
  "a/_manifests/b",
  // Through API Gateway it comes decoded, and is the name a/b.
  ...(throughEvents ? [] : ["a%2Fb", "a%2fb"]),
  "..%2f..",
  "..",
  "a/../b",
  "a/./b",
  ".",
  "%2e%2e/a",
  "a%00",
  "a%0A",
  "a%20b",
  "a b",
  "%",
  "%zz",
  "a%ff",
  "ä",
  "%C3%A4",
  "a@b",
  "a:b",
  "a\\b",
  LONG_NAME,
].flatMap((name) =>
  [`manifests/v1`, `manifests/sha256:${hex}`, `blobs/sha256:${hex}`, "tags/list", `referrers/sha256:${hex}`].map(
    (rest) =>
      refusal(
        `the name ${name.slice(0, 40)} in …/${rest.slice(0, 20)}`,
        ["GET", `/v2/${name}/${rest}`],
        400,
        "NAME_INVALID",
      ),
  ),
);

const PATHS: Refusal[] = [
  "/v1/",
  "/v2x",
  "/v2/unknown",
  "/v2/r",
  "/v2/r/tags",
  "/v2/r/tags/list/",
  "/v2/r/tags/LIST",
  "/v2/_catalog/",
  "/v2/r/manifests",
  "/v2/manifests/v1",
  "/v2/tags/list",
  "/v2/r/blob/x",
  "/favicon.ico",
  "//v2/",
].map((path) => refusal(`the path ${path}`, ["GET", path], 404, "UNSUPPORTED"));

const TAGS: Refusal[] = [".a", "-a", "a+b", "a%20b", "a b", "%2e", "..", "", "a%25", "ä", "a".repeat(129)].map((tag) =>
  refusal(`the tag ${tag.slice(0, 20)}`, ["GET", `/v2/r/manifests/${tag}`], 400, "TAG_INVALID"),
);

const DIGESTS: Refusal[] = [
  "sha256:abc",
  `sha256:${hex.slice(1)}g`,
  `sha256:${hex.toUpperCase().replace("0", "A")}`,
  `sha256:${hex}0`,
  `sha512:${hex}`,
  `md5:${hex.slice(32)}`,
  `sha384:${hex}${hex.slice(32)}`,
  `SHA256:${hex}`,
  `:${hex}`,
  "sha256:",
  `sha256:sha256:${hex}`,
  `__proto__:${hex}`,
].flatMap((digest) => [
  refusal(`the digest ${digest.slice(0, 20)} of a blob`, ["GET", `/v2/r/blobs/${digest}`], 400, "DIGEST_INVALID"),
  refusal(`the digest ${digest.slice(0, 20)} to delete`, ["DELETE", `/v2/r/blobs/${digest}`], 400, "DIGEST_INVALID"),
  refusal(
    `the digest ${digest.slice(0, 20)} of a manifest`,
    ["GET", `/v2/r/manifests/${digest}`],
    400,
    "DIGEST_INVALID",
  ),
  refusal(
    `the digest ${digest.slice(0, 20)} of an upload`,
    ["POST", `/v2/r/blobs/uploads/?digest=${encodeURIComponent(digest)}`, { body: "x" }],
    400,
    "DIGEST_INVALID",
  ),
]);

const METHODS: Refusal[] = (
  [
    ["POST", "/v2/"],
    ["PUT", "/v2/_catalog"],
    ["DELETE", "/v2/r/tags/list"],
    ["PUT", `/v2/r/blobs/sha256:${hex}`],
    ["PATCH", "/v2/r/manifests/v1"],
    ["POST", "/v2/r/manifests/v1"],
    ["GET", "/v2/r/blobs/uploads/"],
    ["PUT", "/v2/r/blobs/uploads/"],
    ["POST", `/v2/r/referrers/sha256:${hex}`],
    ["PROPFIND", "/v2/r/tags/list"],
    ["__proto__", "/v2/r/tags/list"],
    ["constructor", "/v2/r/tags/list"],
  ] as const
).map(([method, path]) => refusal(`${method} ${path.slice(0, 30)}`, [method, path], 405, "UNSUPPORTED"));

const image = imageOf(["layer"]);
const json = (change: object): string =>
  JSON.stringify({ ...(JSON.parse(image.bytes.toString()) as object), ...change });
const bad = (
  what: string,
  body: string | Uint8Array,
  status = 400,
  code = "MANIFEST_INVALID",
  type: string = OCI_MANIFEST,
  reference = "bad",
): Refusal =>
  refusal(
    `a manifest: ${what}`,
    ["PUT", `/v2/r/manifests/${reference}`, { body, headers: type === "" ? {} : { "Content-Type": type } }],
    status,
    code,
  );

const INDEX = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] };
const MANIFESTS: Refusal[] = [
  bad("empty", ""),
  bad("not JSON", "{"),
  bad("not JSON but a layer", Buffer.from([0x1f, 0x8b, 8, 0])),
  bad("not in UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])),
  bad("with a byte order mark", `\ufeff${json({})}`),
  bad("null", "null"),
  bad("an array", "[]"),
  bad("a number", "7"),
  bad("nested too deep", `{"a":${"[".repeat(101)}${"]".repeat(101)}}`),
  bad("without a schema version", json({ schemaVersion: undefined })),
  bad("of schema version 3", json({ schemaVersion: 3 })),
  bad("of schema version 2 as text", json({ schemaVersion: "2" })),
  bad("of schema 1 by its version", json({ schemaVersion: 1, mediaType: undefined })),
  bad(
    "of schema 1 by its type",
    json({}),
    400,
    "MANIFEST_INVALID",
    "application/vnd.docker.distribution.manifest.v1+json",
  ),
  bad("of an unknown type", json({ mediaType: "a/b" }), 400, "MANIFEST_INVALID", "a/b"),
  bad("without any type", json({ mediaType: undefined }), 400, "MANIFEST_INVALID", ""),
  bad("of two types", json({ mediaType: DOCKER_MANIFEST })),
  bad(
    "of a Docker type that its body does not say",
    json({ mediaType: undefined }),
    400,
    "MANIFEST_INVALID",
    DOCKER_MANIFEST,
  ),
  bad("of a type that is no text", json({ mediaType: 7 })),
  bad("both an image and an index", json({ manifests: [] })),
  bad("an index that is an image too", JSON.stringify({ ...INDEX, layers: [] }), 400, "MANIFEST_INVALID", OCI_INDEX),
  bad(
    "an index without manifests",
    JSON.stringify({ ...INDEX, manifests: undefined }),
    400,
    "MANIFEST_INVALID",
    OCI_INDEX,
  ),
  bad("without a configuration", json({ config: undefined })),
  bad("without layers", json({ layers: undefined })),
  bad("with layers that are no list", json({ layers: {} })),
  bad("with a layer that is none", json({ layers: ["sha256"] })),
  bad("with a layer without a type", json({ layers: [{ ...descriptorOf("layer"), mediaType: "" }] })),
  bad("with a layer without a digest", json({ layers: [{ ...descriptorOf("layer"), digest: undefined }] })),
  bad("with a layer of a path for a digest", json({ layers: [{ ...descriptorOf("layer"), digest: "../../etc" }] })),
  bad("with a layer of an unknown algorithm", json({ layers: [{ ...descriptorOf("layer"), digest: `md5:${hex}` }] })),
  bad("with a negative size", json({ layers: [{ ...descriptorOf("layer"), size: -1 }] })),
  bad("with half a byte", json({ layers: [{ ...descriptorOf("layer"), size: 5.5 }] })),
  bad("with a size as text", json({ layers: [{ ...descriptorOf("layer"), size: "5" }] })),
  bad("with a size that lies", json({ layers: [{ ...descriptorOf("layer"), size: 6 }] })),
  bad("with a configuration's size that lies", json({ config: { ...descriptorOf(CONFIG, CONFIG_TYPE), size: 1 } })),
  bad("with a subject that is none", json({ subject: "x" })),
  bad("with annotations that are no texts", json({ annotations: { a: 1 } })),
  bad("with an artifact type that is no text", json({ artifactType: {} })),
  bad("with a missing layer", json({ layers: [descriptorOf("missing")] }), 404, "MANIFEST_BLOB_UNKNOWN"),
  bad("with a missing configuration", json({ config: descriptorOf("missing") }), 404, "MANIFEST_BLOB_UNKNOWN"),
  bad(
    "with a missing child",
    JSON.stringify({ ...INDEX, manifests: [descriptorOf("missing", OCI_MANIFEST)] }),
    404,
    "MANIFEST_BLOB_UNKNOWN",
    OCI_INDEX,
  ),
  bad(
    "with a layer for a child",
    JSON.stringify({ ...INDEX, manifests: [descriptorOf("layer", OCI_MANIFEST)] }),
    404,
    "MANIFEST_BLOB_UNKNOWN",
    OCI_INDEX,
  ),
  bad("under another digest", image.bytes, 400, "DIGEST_INVALID", OCI_MANIFEST, missing),
  bad("under a digest that is none", image.bytes, 400, "DIGEST_INVALID", OCI_MANIFEST, "sha256:x"),
  bad("under a tag outside the grammar", image.bytes, 400, "TAG_INVALID", OCI_MANIFEST, "-x"),
  bad("above 4 MiB", Buffer.alloc(4 * 1024 * 1024 + 1, " "), 413, "MANIFEST_INVALID"),
];

const OTHERS: Refusal[] = [
  refusal("a path beyond 8 KiB", ["GET", `/v2/r/tags/list?last=${"x".repeat(8192)}`], 414, "UNSUPPORTED"),
  refusal("a missing manifest to delete", ["DELETE", "/v2/r/manifests/none"], 404, "MANIFEST_UNKNOWN"),
  refusal("a missing blob to delete", ["DELETE", `/v2/r/blobs/${missing}`], 404, "BLOB_UNKNOWN"),
  refusal("a missing repository", ["GET", "/v2/none/tags/list"], 404, "NAME_UNKNOWN"),
];

describe.each(STORES)("%s: refused", (_, makeStore) => {
  let store: TestStore;
  let app: TestApp;
  let good: TestManifest;
  let before: Map<string, string>;
  beforeAll(async () => {
    store = await makeStore();
    app = createTestApp(store.driver);
    good = await pushImage(app.send, "r", "good");
    before = await snapshot(store.driver);
  });
  afterEach(async () => {
    expect(app.faults.splice(0)).toEqual([]);
    expect(await snapshot(store.driver)).toEqual(before);
    expect((await app.send("GET", "/v2/r/manifests/good")).bytes.equals(good.bytes)).toBe(true);
  });
  afterAll(async () => await store.close());

  const all = [...NAMES, ...PATHS, ...TAGS, ...DIGESTS, ...METHODS, ...MANIFESTS, ...OTHERS];
  it.each(all.map((row) => [row.what, row] as const))("%s", async (__, { request, status, code }) => {
    const reply = await app.send(...request);
    expect(reply.status, reply.bytes.toString()).toBe(status);
    expect(reply.header("content-type")).toBe("application/json");
    const { errors } = reply.json() as { errors: { code: string; message: string; detail?: unknown }[] };
    expect(errors).toHaveLength(1);
    expect(errors[0]?.code).toBe(code);
    expect(errors[0]?.message).toMatch(/^[\x20-\x7e]{10,600}$/);
    expect(reply.bytes.toString()).not.toMatch(/\bat \/|\.ts:\d|docker\/registry|node_modules|lading-test/);
    if (request[0] === "GET" && status !== 405) {
      const head = await app.send("HEAD", request[1]);
      expect([head.status, head.bytes.length]).toEqual([status, 0]);
      expect(head.header("content-length")).toBe(String(reply.bytes.length));
    }
  });

  it("schema 1, in a sentence that says what to do", async () => {
    const reply = await app.send("PUT", "/v2/r/manifests/v1", { body: json({ schemaVersion: 1 }) });
    const [error] = (reply.json() as { errors: { message: string }[] }).errors;
    expect(error?.message).toMatch(/schema 1 is not supported.*push the image again with a current client/);
  });

  it("missing references, by name", async () => {
    const body = json({ layers: [descriptorOf("layer"), descriptorOf("one"), descriptorOf("two")] });
    const reply = await app.send("PUT", "/v2/r/manifests/v1", { body, headers: { "Content-Type": OCI_MANIFEST } });
    const [error] = (reply.json() as { errors: { detail: { digest: string }[] }[] }).errors;
    expect(error?.detail.map(({ digest }) => digest)).toEqual([sha256("one"), sha256("two")]);
  });
});
