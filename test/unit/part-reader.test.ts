/** How a body is cut into parts, and what that takes of the budget. */
import { describe, expect, it } from "vitest";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { PartReader } from "../../shared/storage/s3/part-reader.ts";

const KIB = 1024;

async function* cut(bytes: Uint8Array, chunk: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk);
}

/** The parts of a body, each given back before the next is read. */
async function partsOf(body: AsyncIterable<Uint8Array>, size: number, budget: MemoryBudget): Promise<Uint8Array[]> {
  const reader = new PartReader(body, budget);
  const parts: Uint8Array[] = [];
  for (let part = await reader.read(size); part !== undefined; part = await reader.read(size)) {
    parts.push(Buffer.from(part.bytes));
    part.release();
  }
  return parts;
}

describe("a body is cut into the same parts, however it arrives", () => {
  const bytes = Buffer.alloc(700 * KIB, "0123456789abcdef!");
  it.each([1, 1000, 1023, 1024, 256 * KIB, 256 * KIB + 1, 700 * KIB])("in chunks of %d bytes", async (chunk) => {
    for (const size of [200 * KIB, 300 * KIB, 700 * KIB, 701 * KIB]) {
      const parts = await partsOf(cut(bytes, chunk), size, new MemoryBudget(size, 1000));
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
      expect(parts.slice(0, -1).every(({ length }) => length === size)).toBe(true);
    }
  });
});

describe("the budget", () => {
  it("is not asked for a small body", async () => {
    const parts = await partsOf(cut(Buffer.alloc(200 * KIB), 4096), 8 * KIB * KIB, new MemoryBudget(0, 1));
    expect(parts.map(({ length }) => length)).toEqual([200 * KIB]);
  });

  it("is asked before more than that of a large one is received", async () => {
    let received = 0;
    const body = (async function* () {
      for (;;) {
        received += 64 * KIB;
        yield Buffer.alloc(64 * KIB);
      }
    })();
    await expect(new PartReader(body, new MemoryBudget(0, 1)).read(8 * KIB * KIB)).rejects.toThrow("too many uploads");
    expect(received).toBe(256 * KIB);
  });
});
