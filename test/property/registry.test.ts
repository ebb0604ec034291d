/** What holds for any names, any splits, any pages. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRanges } from "../../functions/registry/conditional.ts";
import { parseTarget } from "../../functions/registry/target.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import { nativeHasher, resumableHasher, resumeHasher } from "../../shared/oci/hasher.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { parseManifest, readStoredManifest, storedMediaType } from "../../shared/oci/manifest.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp } from "../support/app.ts";
import { sha256, sha512 } from "../support/bodies.ts";
import { faultsOf, snapshot } from "../support/invariants.ts";

const NASTY = ["..", ".", "", "%2e%2e", "%2F", "%00", "a", "A", "_uploads", "_manifests", "blobs", "uploads", "tags"];
NASTY.push(
  "manifests",
  "list",
  "referrers",
  "v2",
  "_catalog",
  "sha256:00",
  `sha256:${"0".repeat(64)}`,
  "%",
  "a b",
  "ä",
);
const path = fc
  .array(fc.oneof(fc.constantFrom(...NASTY), fc.string({ maxLength: 6 })), { maxLength: 9 })
  .map((segments) => `/v2/${segments.join("/")}`);

describe("any bytes", () => {
  it.each(["sha256", "sha512"] as const)("split anywhere have one %s, through saved states too", async (algorithm) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), async (chunks) => {
        let hasher = await resumableHasher(algorithm);
        const native = nativeHasher(algorithm);
        for (const chunk of chunks) {
          hasher.update(chunk);
          native.update(chunk);
          const resumed = await resumeHasher(algorithm, hasher.save());
          if (resumed === undefined) throw new Error("its own state cannot be read");
          hasher = resumed;
        }
        const whole = Buffer.concat(chunks);
        const wanted = algorithm === "sha256" ? sha256(whole) : sha512(whole);
        expect([hasher.digest(), native.digest()]).toEqual([wanted, wanted]);
      }),
      { numRuns: 100 },
    );
  });

  it("uploaded in any chunks are one blob", async () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ chunk, ranged: fc.boolean() }), { maxLength: 6 }),
        fc.option(chunk),
        fc.boolean(),
        async (parts, last, long) => {
          const driver = new MemoryDriver();
          const { send } = createTestApp(driver);
          const location = (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
          let at = 0;
          for (const { chunk: body, ranged } of parts) {
            const range = { "Content-Range": `${at}-${at + body.length - 1}` };
            expect((await send("PATCH", location, { headers: ranged ? range : {}, body })).status).toBe(202);
            at += body.length;
          }
          const whole = Buffer.concat([...parts.map((part) => part.chunk), ...(last === null ? [] : [last])]);
          const digest = long ? sha512(whole) : sha256(whole);
          const put = await send("PUT", `${location}?digest=${digest}`, last === null ? {} : { body: last });
          expect(put.status).toBe(201);
          expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(whole)).toBe(true);
          expect(await faultsOf(driver)).toEqual([]);
          expect((await snapshot(driver)).size).toBe(2);
        },
      ),
      { numRuns: 80 },
    );
  });

  it("as a manifest are accepted or refused in words", () => {
    const json = fc.json().map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), json), fc.string(), (bytes, type) => {
        for (const contentType of [type, undefined, "application/vnd.oci.image.manifest.v1+json"]) {
          try {
            parseManifest(bytes, contentType);
          } catch (error) {
            expect(error).toBeInstanceOf(RegistryError);
          }
        }
        readStoredManifest(bytes);
        expect(storedMediaType(bytes)).toMatch(/^[\w.+-]+\/[\w.+-]+$/);
      }),
    );
  });
});

describe("any manifest that is accepted", () => {
  it("is read, and served, as what it was pushed as", () => {
    const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: sha256("x"), size: 1 };
    const absent = undefined;
    const list = fc.constantFrom(absent, absent, null, [], [descriptor]);
    const types = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST];
    const manifest = fc.record({
      schemaVersion: fc.constant(2),
      mediaType: fc.constantFrom(absent, absent, ...types),
      config: fc.constantFrom(absent, descriptor, descriptor),
      subject: fc.constantFrom(absent, null, descriptor),
      ...{ layers: list, manifests: list, fsLayers: fc.constantFrom(absent, absent, null, []) },
    });
    let accepted = 0;
    fc.assert(
      fc.property(manifest, fc.constantFrom(absent, ...types), (json, type) => {
        const bytes = Buffer.from(JSON.stringify(json));
        let pushed;
        try {
          pushed = parseManifest(bytes, type);
        } catch {
          return;
        }
        accepted++;
        expect(readStoredManifest(bytes)).toEqual(pushed);
        expect(storedMediaType(bytes)).toBe(pushed.mediaType);
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

describe("any path", () => {
  it("addresses something or is refused in words", () => {
    fc.assert(
      fc.property(path, (text) => {
        try {
          parseTarget(text);
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("with any method never fails, and never writes outside the layout", async () => {
    const method = fc.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE");
    const query = fc.constantFrom("", `?digest=${sha256("x")}`, "?mount=..&from=../x", "?n=1&last=%2e%2e", "?tag=../x");
    await fc.assert(
      fc.asyncProperty(method, path, query, async (verb, where, more) => {
        const driver = new MemoryDriver();
        const reply = await createTestApp(driver).send(verb, where + more, { body: "x" });
        expect(reply.status).toBeLessThan(500);
        expect(await faultsOf(driver)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("any Range header", () => {
  it("gives the bytes of the model", () => {
    const position = fc.nat({ max: 30 });
    const item = fc.oneof(
      fc.tuple(position, position).map(([a, b]) => `${a}-${b}`),
      position.map((a) => `${a}-`),
      position.map((a) => `-${a}`),
    );
    fc.assert(
      fc.property(fc.nat({ max: 20 }), item, (size, text) => {
        const [first = "", last = ""] = text.split("-");
        const all = Array.from({ length: size }, (_, i) => i);
        const wanted =
          first === ""
            ? all.slice(Math.max(0, size - Number(last)))
            : all.filter((i) => i >= Number(first) && (last === "" || i <= Number(last)));
        const ranges = parseRanges(`bytes=${text}`, size);
        if (first !== "" && last !== "" && Number(last) < Number(first)) expect(ranges).toBeUndefined();
        else expect(ranges?.flatMap(({ start, end }) => all.slice(start, end + 1))).toEqual(wanted);
      }),
      { numRuns: 500 },
    );
  });
});

describe("any names, page by page", () => {
  it.each(["walk", "index"] as const)("repositories are the sorted model, by %s", async (catalog) => {
    const component = fc.constantFrom("a", "a-b", "a.b", "a0", "a_b", "aa", "b", "0");
    const name = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.option(name),
        async (names, limit, after) => {
          const driver = new MemoryDriver();
          for (const one of names) {
            await driver.put(`docker/registry/v2/repositories/${one}/_manifests/revisions/x/link`, Buffer.from("x"));
          }
          const { registry } = createTestApp(driver, { registry: { catalog } });
          const found: string[] = [];
          let last = after ?? undefined;
          for (;;) {
            const page = await registry.repositories({ limit, ...(last === undefined ? {} : { last }) });
            found.push(...page.names);
            if (!page.more) break;
            last = page.names.at(-1);
          }
          expect(found).toEqual([...names].sort().filter((one) => after === null || one > after));
        },
      ),
    );
  });
});
