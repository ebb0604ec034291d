/** State between two steps: JSON and typed arrays, as objects of a few MiB. */
import { createHash } from "node:crypto";
import { mapLimit } from "../storage/concurrency.ts";
import type { StorageDriver } from "../storage/driver.ts";

const CHUNK_BYTES = 8 * 1024 * 1024;
const PARALLEL = 4;

/** Columns by name. */
export type Arrays = Readonly<Record<string, Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>>;

/** What is kept. */
export interface Snapshot {
  /** Plain JSON. */
  readonly meta: unknown;
  readonly arrays: Arrays;
}

/** Where it is kept. */
export interface SnapshotParts {
  readonly keys: readonly string[];
  /** In bytes, of all together. */
  readonly size: number;
  readonly sha256: string;
}

interface Header {
  readonly meta: unknown;
  readonly arrays: readonly { readonly name: string; readonly type: "u8" | "u32"; readonly bytes: number }[];
}

/** Writes a snapshot under keys that begin with `prefix`, and says where it is. */
export async function writeSnapshot(
  driver: StorageDriver,
  prefix: string,
  { meta, arrays }: Snapshot,
): Promise<SnapshotParts> {
  const columns = Object.entries(arrays).map(([name, array]) => ({
    name,
    type: array instanceof Uint32Array ? ("u32" as const) : ("u8" as const),
    bytes: new Uint8Array(array.buffer, array.byteOffset, array.byteLength),
  }));
  const header: Header = {
    meta,
    arrays: columns.map(({ name, type, bytes }) => ({ name, type, bytes: bytes.byteLength })),
  };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.byteLength);

  const hash = createHash("sha256");
  let size = 0;
  const keys: string[] = [];
  for (const chunk of chunksOf([length, json, ...columns.map(({ bytes }) => bytes)])) {
    const key = `${prefix}${String(keys.length).padStart(4, "0")}`;
    hash.update(chunk);
    size += chunk.byteLength;
    await driver.put(key, chunk);
    keys.push(key);
  }
  return { keys, size, sha256: hash.digest("hex") };
}

/** Reads a snapshot. Undefined where a part of it is missing or damaged. */
export async function readSnapshot(
  driver: StorageDriver,
  { keys, size, sha256 }: SnapshotParts,
): Promise<Snapshot | undefined> {
  const all = new Uint8Array(size);
  const whole = await mapLimit(keys, PARALLEL, async (key, index) => {
    const chunk = await driver.read(key, CHUNK_BYTES);
    const start = index * CHUNK_BYTES;
    if (chunk?.byteLength !== Math.min(CHUNK_BYTES, size - start)) return false;
    all.set(chunk, start);
    return true;
  });
  if (whole.includes(false) || createHash("sha256").update(all).digest("hex") !== sha256) return undefined;
  const headerBytes = Buffer.from(all.buffer).readUInt32LE(0);
  const header = JSON.parse(Buffer.from(all.buffer, 4, headerBytes).toString()) as Header;
  const arrays: Record<string, Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>> = {};
  let start = 4 + headerBytes;
  for (const { name, type, bytes } of header.arrays) {
    const copy = all.slice(start, start + bytes); // aligned, and a buffer of its own
    arrays[name] = type === "u32" ? new Uint32Array(copy.buffer) : copy;
    start += bytes;
  }
  return { meta: header.meta, arrays };
}

/** The same bytes in chunks of one size, but for the last. */
function* chunksOf(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let filled = 0;
  for (const piece of pieces) {
    for (let start = 0; start < piece.byteLength;) {
      const taken = piece.subarray(start, start + CHUNK_BYTES - filled);
      chunk.set(taken, filled);
      filled += taken.byteLength;
      start += taken.byteLength;
      if (filled < CHUNK_BYTES) continue;
      yield chunk;
      chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}
