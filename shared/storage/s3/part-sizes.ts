/** S3's own: a part that others follow has at least this many bytes. */
export const LEAST_PART = 5 * 1024 * 1024;
/** S3's own: an object has at most this many parts. */
export const MOST_PARTS = 10_000;
/** Parts of a body of unknown length do not grow beyond this: several of them are held at a time. */
const MOST_GROWN = 64 * 1024 * 1024;

/** Size in bytes of the part of this number, from 1. */
export type PartSizes = (number: number) => number;

/**
 * Parts of one size, so large that a body of this length fits into 10,000 of them. Where the length is not known they grow,
 * late, as few bodies come so far: 5,000 of 6 MiB and 5,000 of 64 MiB are 341 GiB.
 */
export function partSizes(partBytes: number, length: number | undefined): PartSizes {
  if (length !== undefined) {
    const uniform = Math.max(partBytes, Math.ceil(length / MOST_PARTS));
    return () => uniform;
  }
  const grown = Math.max(partBytes, MOST_GROWN);
  return (number) => (number <= MOST_PARTS / 2 ? partBytes : grown);
}
