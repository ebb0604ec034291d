import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseDigest } from "../../shared/oci/digest.ts";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { Registry } from "../../shared/registry/registry.ts";
import type { Body } from "../../shared/registry/upload-store.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";

async function* body(text: string): Body {
  yield Buffer.from(text);
}

/** A repository over memory that counts how often the bytes of an upload are read back. */
function counted() {
  const driver = new MemoryDriver();
  const read = driver.drafts.read.bind(driver.drafts);
  const reads = { count: 0 };
  driver.drafts.read = (draft) => {
    reads.count++;
    return read(draft);
  };
  const policy = { allowSparse: false, allowSparseIndexes: false, urlAllowed: () => true };
  const registry = new Registry({ driver, policy, now: () => new Date() });
  return { uploads: registry.repository(parseRepositoryName("team/app")).uploads, reads };
}

const digestOf = (text: string, algorithm = "sha256") =>
  parseDigest(`${algorithm}:${createHash(algorithm).update(text).digest("hex")}`);

describe("how often an upload's bytes are read back to hash them", () => {
  // Publishing several appends joins them, which reads them once more: that one is not about hashing.
  const JOIN = 1;

  it.each([
    { name: "one append", appends: ["a"], reads: 0 + JOIN },
    { name: "two appends", appends: ["a", "b"], reads: 1 + JOIN },
    { name: "five appends", appends: ["a", "b", "c", "d", "e"], reads: 1 + JOIN },
  ])("$name without Content-Range: the first bytes once, however many follow", async ({ appends, reads: wanted }) => {
    const { uploads, reads } = counted();
    const id = await uploads.start();
    for (const text of appends) await uploads.append(id, { body: body(text) });
    await uploads.commit(id, digestOf(appends.join("")));
    expect(reads.count).toBe(wanted);
  });

  it("chunks with Content-Range: never", async () => {
    const { uploads, reads } = counted();
    const id = await uploads.start();
    for (const [i, text] of ["a", "b", "c"].entries()) {
      await uploads.append(id, { body: body(text), range: { start: i, end: i } });
    }
    await uploads.commit(id, digestOf("abc"));
    expect(reads.count).toBe(0 + JOIN);
  });

  it("another algorithm at the end: once", async () => {
    const { uploads, reads } = counted();
    const id = await uploads.start();
    await uploads.append(id, { body: body("abc") });
    await uploads.commit(id, digestOf("abc", "sha512"));
    expect(reads.count).toBe(1 + JOIN);
  });

  it("all in the last PUT, whatever the algorithm: never", async () => {
    const { uploads, reads } = counted();
    const id = await uploads.start();
    await uploads.commit(id, digestOf("abc", "sha512"), { body: body("abc") });
    expect(reads.count).toBe(0);
  });
});
