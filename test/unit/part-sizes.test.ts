/** Into which parts a body is cut for S3. */
import { describe, expect, it } from "vitest";
import { LEAST_PART, MOST_PARTS, partSizes } from "../../shared/storage/s3/part-sizes.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;

/** How many parts a body of this length is cut into. */
function partsOf(total: number, sizes: (number: number) => number): number {
  let rest = total;
  let number = 0;
  while (rest > 0) rest -= sizes(++number);
  return number;
}

describe("parts of a body whose length is known", () => {
  it.each([0, 1, 8 * MIB, 5 * GIB, 10_000 * 8 * MIB, 10_000 * 8 * MIB + 1, 5 * TIB, 50 * TIB])(
    "of %d bytes are all of one size, and at most 10,000",
    (length) => {
      const sizes = partSizes(8 * MIB, length);
      expect(new Set([1, 2, 5000, 9999, 10_000].map(sizes)).size).toBe(1);
      expect(sizes(1)).toBeGreaterThanOrEqual(LEAST_PART);
      expect(partsOf(length, sizes)).toBeLessThanOrEqual(MOST_PARTS);
    },
  );
  it("have the size that was asked for as long as it will do", () => {
    expect(partSizes(8 * MIB, 10_000 * 8 * MIB)(1)).toBe(8 * MIB);
    expect(partSizes(8 * MIB, 10_000 * 8 * MIB + 1)(1)).toBe(8 * MIB + 1);
  });
});

describe("parts of a body whose length is not known", () => {
  it("hold 350 GiB, and the first 39 GiB in parts as small as was asked for", () => {
    const sizes = partSizes(8 * MIB, undefined);
    expect(partsOf(350 * GIB, sizes)).toBeLessThanOrEqual(MOST_PARTS);
    expect(partsOf(39 * GIB, sizes)).toBe((39 * GIB) / (8 * MIB));
  });
  it("never shrink", () => {
    for (const partBytes of [LEAST_PART, 8 * MIB, 100 * MIB]) {
      const sizes = partSizes(partBytes, undefined);
      const all = Array.from({ length: MOST_PARTS }, (_, i) => sizes(i + 1));
      expect(all).toEqual([...all].sort((a, b) => a - b));
      expect(all[0]).toBe(partBytes);
    }
  });
});
