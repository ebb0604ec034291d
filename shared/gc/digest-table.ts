import { algorithmOf, hexOf, toDigest, type Digest, type DigestAlgorithm } from "../oci/digest.ts";
import { Bytes } from "./columns.ts";

const WIDTH = { sha256: 32, sha512: 64 } as const;
const BUCKETS = 65_536;

/** Digests of one algorithm, packed, in ascending order, each once: 32 or 64 bytes a row. */
class Packed {
  readonly width: number;
  readonly bytes: Bytes;
  readonly #algorithm: DigestAlgorithm;
  readonly #sought: Buffer;
  /** Where the rows begin whose first two bytes are these; made at the first look. */
  #starts: Uint32Array | undefined;

  constructor(algorithm: DigestAlgorithm, bytes: Bytes) {
    this.#algorithm = algorithm;
    this.width = WIDTH[algorithm];
    this.bytes = bytes;
    this.#sought = Buffer.alloc(this.width);
  }

  get length(): number {
    return this.bytes.length / this.width;
  }

  push(hex: string): void {
    const start = this.bytes.extend(this.width);
    const { raw } = this.bytes;
    Buffer.from(raw.buffer, raw.byteOffset + start, this.width).write(hex, "hex");
    if (start > 0 && this.#compare(raw, start, raw, start - this.width) <= 0) {
      throw new Error(`the listing is not in order at ${this.#algorithm}:${hex}`);
    }
    this.#starts = undefined;
  }

  find(hex: string): number | undefined {
    this.#sought.write(hex, "hex");
    const starts = (this.#starts ??= this.#bucketStarts());
    const bucket = this.#sought.readUInt16BE(0);
    let low = starts[bucket] as number;
    let high = starts[bucket + 1] as number;
    const { raw } = this.bytes;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(raw, middle * this.width, this.#sought, 0);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  at(row: number): Digest {
    const { raw } = this.bytes;
    const hex = Buffer.from(raw.buffer, raw.byteOffset + row * this.width, this.width).toString("hex");
    return toDigest(this.#algorithm, hex);
  }

  #compare(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): number {
    for (let i = 0; i < this.width; i++) {
      const difference = (a[aStart + i] as number) - (b[bStart + i] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #bucketStarts(): Uint32Array {
    const starts = new Uint32Array(BUCKETS + 1);
    const { raw } = this.bytes;
    let bucket = 0;
    for (let row = 0; row < this.length; row++) {
      const first = ((raw[row * this.width] as number) << 8) | (raw[row * this.width + 1] as number);
      while (bucket <= first) starts[bucket++] = row;
    }
    starts.fill(this.length, bucket);
    return starts;
  }
}

/** Digests in ascending order, sha256 before sha512, each with a row number. Rows are stable once no more is pushed. */
export class DigestTable {
  readonly #sha256: Packed;
  readonly #sha512: Packed;

  constructor(sha256 = new Bytes(), sha512 = new Bytes()) {
    this.#sha256 = new Packed("sha256", sha256);
    this.#sha512 = new Packed("sha512", sha512);
  }

  get length(): number {
    return this.#sha256.length + this.#sha512.length;
  }

  /** Adds one that comes after all of its algorithm. Throws where it does not. */
  push(digest: Digest): void {
    this.#of(digest).push(hexOf(digest));
  }

  /** The row of a digest, or undefined. */
  find(digest: Digest): number | undefined {
    const row = this.#of(digest).find(hexOf(digest));
    return row === undefined || algorithmOf(digest) === "sha256" ? row : row + this.#sha256.length;
  }

  /** The digest of a row that exists. */
  at(row: number): Digest {
    const { length } = this.#sha256;
    return row < length ? this.#sha256.at(row) : this.#sha512.at(row - length);
  }

  /** The packed digests of each algorithm, for a snapshot. */
  get arrays(): { sha256: Uint8Array<ArrayBuffer>; sha512: Uint8Array<ArrayBuffer> } {
    return { sha256: this.#sha256.bytes.view(), sha512: this.#sha512.bytes.view() };
  }

  #of(digest: Digest): Packed {
    return algorithmOf(digest) === "sha256" ? this.#sha256 : this.#sha512;
  }
}
