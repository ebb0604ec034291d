/** Tables in typed arrays: a million rows of them cost what their bytes cost. */

const FIRST_ROWS = 1024;

/** A growing column of whole numbers from 0 to 2^32 - 1. */
export class Uints {
  #values: Uint32Array<ArrayBuffer>;
  #length: number;

  constructor(values: Uint32Array<ArrayBuffer> = new Uint32Array(0)) {
    this.#values = values;
    this.#length = values.length;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Uint32Array(Math.max(FIRST_ROWS, this.#length * 2));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  /** The value of a row that exists. */
  at(row: number): number {
    return this.#values[row] as number;
  }

  set(row: number, value: number): void {
    this.#values[row] = value;
  }

  /** What there is, without a copy; good until the next push. */
  view(): Uint32Array<ArrayBuffer> {
    return this.#values.subarray(0, this.#length);
  }
}

/** A growing run of bytes. */
export class Bytes {
  #values: Uint8Array<ArrayBuffer>;
  #length: number;

  constructor(values: Uint8Array<ArrayBuffer> = new Uint8Array(0)) {
    this.#values = values;
    this.#length = values.length;
  }

  get length(): number {
    return this.#length;
  }

  /** Makes room for `count` more and gives where they begin in `raw`, to be filled in by the caller. */
  extend(count: number): number {
    const start = this.#length;
    if (start + count > this.#values.length) {
      const grown = new Uint8Array(Math.max(FIRST_ROWS, this.#values.length * 2, start + count));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#length += count;
    return start;
  }

  push(value: number): void {
    const at = this.extend(1); // which may make new values
    this.#values[at] = value;
  }

  /** The bytes and room for more behind them; good until the next growth. */
  get raw(): Uint8Array<ArrayBuffer> {
    return this.#values;
  }

  /** What there is, without a copy; good until the next growth. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#values.subarray(0, this.#length);
  }
}

/** A growing column of ASCII strings, packed. */
export class Strings {
  readonly #text: Bytes;
  readonly #ends: Uints;

  constructor(text: Bytes = new Bytes(), ends: Uints = new Uints()) {
    this.#text = text;
    this.#ends = ends;
  }

  get length(): number {
    return this.#ends.length;
  }

  push(value: string): void {
    const bytes = Buffer.from(value, "utf8");
    const start = this.#text.extend(bytes.byteLength);
    this.#text.raw.set(bytes, start);
    this.#ends.push(start + bytes.byteLength);
  }

  /** The string of a row that exists. */
  at(row: number): string {
    const start = row === 0 ? 0 : this.#ends.at(row - 1);
    const { buffer, byteOffset } = this.#text.raw;
    return Buffer.from(buffer, byteOffset + start, this.#ends.at(row) - start).toString("utf8");
  }

  /** The row of a string in a column that is sorted, or undefined. */
  find(value: string): number | undefined {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.at(middle);
      if (found === value) return middle;
      if (found < value) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /** As arrays, for a snapshot. */
  get arrays(): { text: Uint8Array<ArrayBuffer>; ends: Uint32Array<ArrayBuffer> } {
    return { text: this.#text.view(), ends: this.#ends.view() };
  }
}

/** One bit for each row of a table. */
export class Bits {
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(rows: number, bytes: Uint8Array<ArrayBuffer> = new Uint8Array(Math.ceil(rows / 8))) {
    this.#bytes = bytes;
  }

  has(row: number): boolean {
    return ((this.#bytes[row >>> 3] as number) & (1 << (row & 7))) !== 0;
  }

  add(row: number): void {
    this.#bytes[row >>> 3] = (this.#bytes[row >>> 3] as number) | (1 << (row & 7));
  }

  remove(row: number): void {
    this.#bytes[row >>> 3] = (this.#bytes[row >>> 3] as number) & ~(1 << (row & 7));
  }

  /** How many of the first rows have it. */
  count(rows: number): number {
    let count = 0;
    for (let row = 0; row < rows; row++) if (this.has(row)) count++;
    return count;
  }

  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }
}

/** The row of a value in rows `start` to `end` of ascending values, or undefined. */
export function findSorted(column: Uints, value: number, start: number, end: number): number | undefined {
  let low = start;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = column.at(middle);
    if (found === value) return middle;
    if (found < value) low = middle + 1;
    else high = middle;
  }
  return undefined;
}
