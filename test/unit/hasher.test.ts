import { createSHA256, createSHA512 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { HashedBody, nativeHasher, resumableHasher, resumeHasher } from "../../shared/oci/hasher.ts";
import { bodyOf, brokenBody, collect, pattern, sha256, sha512 } from "../support/bodies.ts";

describe.each([
  ["sha256", sha256],
  ["sha512", sha512],
] as const)("a %s hasher", (algorithm, digestOf) => {
  // Across two blocks of either algorithm, so that every fill of its buffer occurs.
  const bytes = pattern(270);

  it("goes on from a state that was saved at every position", async () => {
    for (let at = 0; at <= bytes.length; at++) {
      const first = await resumableHasher(algorithm);
      first.update(bytes.subarray(0, at));
      const second = await resumeHasher(algorithm, first.save());
      second?.update(bytes.subarray(at));
      expect(second?.digest(), `split at ${at}`).toBe(digestOf(bytes));
      first.update(bytes.subarray(at)); // and the one that was saved is still good
      expect(first.digest()).toBe(digestOf(bytes));
    }
  });

  it("goes on from a state of the whole package, and the other way round", async () => {
    const theirs = await (algorithm === "sha256" ? createSHA256() : createSHA512());
    theirs.init().update(bytes.subarray(0, 100));
    const ours = await resumeHasher(algorithm, Buffer.from(theirs.save()).toString("base64"));
    ours?.update(bytes.subarray(100, 200));
    theirs.load(Buffer.from(ours?.save() ?? "", "base64")).update(bytes.subarray(200));
    expect(`${algorithm}:${theirs.digest("hex")}`).toBe(digestOf(bytes));
  });

  it.each(["", "bm90IGEgc3RhdGU=", "%%%", "A".repeat(500)])("does not go on from %j", async (state) => {
    expect(await resumeHasher(algorithm, state)).toBeUndefined();
  });

  it("counts and hashes what passes, unchanged", async () => {
    const body = new HashedBody(bodyOf(bytes.subarray(0, 7), "", bytes.subarray(7)), nativeHasher(algorithm));
    expect((await collect(body)).equals(bytes)).toBe(true);
    expect(body.bytes).toBe(270);
  });

  it("passes a failure on", async () => {
    const body = new HashedBody(brokenBody("some"), nativeHasher(algorithm));
    await expect(collect(body)).rejects.toThrow("the client went away");
    expect(body.bytes).toBe(4);
  });
});
