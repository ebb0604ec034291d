/**
 * What manifests refer to never changes: it is remembered in the store, so that a night reads only manifests that are new.
 * Only what was read from bytes that are the manifest's digest is remembered.
 *
 *     _gc/references/v2/<segment>      "LGR1", then records, then the SHA-256 of all before it
 *       record    digest, flags, number of blobs, number of manifests (4 bytes each), [subject], blobs, manifests
 *       digest    1 byte of algorithm (1: sha256, 2: sha512), then its 32 or 64 bytes
 *
 * A segment that is damaged or cannot be read counts as missing: its manifests are read again.
 */
import { createHash } from "node:crypto";
import { algorithmOf, hexOf, toDigest, type Digest } from "../oci/digest.ts";
import type { References } from "../oci/references.ts";
import { layout } from "../registry/layout.ts";
import { listKeys, type StorageDriver } from "../storage/driver.ts";
import { Bytes } from "./columns.ts";

const MAGIC = Buffer.from("LGR1");
const SUM_BYTES = 32;
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** A record larger than a segment makes a segment of its own; a manifest of 4 MiB has no more than this in it. */
const MAX_SEGMENT_BYTES = SEGMENT_BYTES + 8 * 1024 * 1024;
/** Segments below half a segment's size that are put together when there are more of them. */
const SMALL_SEGMENTS = 16;
const HAS_SUBJECT = 1;
const PREFIX = `${layout.gcReferences}v2/`;

/** What is known of one manifest. */
export interface Remembered {
  readonly digest: Digest;
  readonly references: References;
}

/** Reads what is remembered, and adds to it. */
export class ReferenceMemory {
  readonly #driver: StorageDriver;
  readonly #newName: () => string;
  readonly #isOptional: boolean;
  #isUnwritable = false;
  #pending = new Bytes();
  #small: { key: string; records: number; kept: number; bytes: number }[] = [];

  /**
   * `newName` gives names that nobody else gives. Where it is optional to remember, what cannot be written is forgotten, as in
   * a store that is full or that nobody may write to.
   */
  constructor(driver: StorageDriver, newName: () => string, isOptional = false) {
    this.#driver = driver;
    this.#newName = newName;
    this.#isOptional = isOptional;
  }

  /** Calls `known` for each manifest that is remembered, some of them twice; it says whether there still is such a manifest. */
  async read(known: (manifest: Remembered) => boolean): Promise<void> {
    const segments: string[] = [];
    for await (const { key } of listKeys(this.#driver, PREFIX)) segments.push(key);
    for (const key of segments) {
      const bytes = await this.#driver.read(key, MAX_SEGMENT_BYTES);
      if (bytes === undefined) continue;
      let kept = 0;
      let records = 0;
      if (isWhole(bytes)) {
        for (const record of recordsOf(bytes)) {
          records++;
          if (known(record)) kept++;
        }
      }
      if (bytes.byteLength < SEGMENT_BYTES / 2 || kept * 2 < records) {
        this.#small.push({ key, records, kept, bytes: bytes.byteLength });
      }
    }
  }

  /** Remembers one more; written when there are enough, and by `flush`. */
  async add(manifest: Remembered): Promise<void> {
    encode(manifest, this.#pending);
    if (this.#pending.length >= SEGMENT_BYTES) await this.flush();
  }

  /** Writes what was added. */
  async flush(): Promise<void> {
    const records = this.#pending.view();
    if (records.byteLength === 0) return;
    this.#pending = new Bytes();
    if (this.#isUnwritable) return;
    const bytes = Buffer.concat([MAGIC, records]);
    const sum = createHash("sha256").update(bytes).digest();
    try {
      await this.#driver.put(`${PREFIX}${this.#newName()}`, Buffer.concat([bytes, sum]));
    } catch (error) {
      if (!this.#isOptional) throw error;
      this.#isUnwritable = true;
    }
  }

  /**
   * Puts small segments together where they are many, and drops what is not wanted any more. New segments are written
   * before old ones go: in between a manifest is remembered twice.
   */
  async compact(isWanted: (digest: Digest) => boolean): Promise<void> {
    const mostlyGone = this.#small.some(({ records, kept }) => records > 0 && kept * 2 < records);
    if (this.#small.length <= SMALL_SEGMENTS && !mostlyGone) return;
    const keys = this.#small.map(({ key }) => key);
    this.#small = [];
    for (const key of keys) {
      const bytes = await this.#driver.read(key, MAX_SEGMENT_BYTES);
      if (bytes === undefined || !isWhole(bytes)) continue;
      for (const record of recordsOf(bytes)) if (isWanted(record.digest)) await this.add(record);
    }
    await this.flush();
    if (!this.#isUnwritable) await this.#driver.deleteMany(keys);
  }
}

function isWhole(bytes: Uint8Array): boolean {
  const end = bytes.byteLength - SUM_BYTES;
  if (end < MAGIC.byteLength || !MAGIC.equals(bytes.subarray(0, MAGIC.byteLength))) return false;
  return createHash("sha256").update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end));
}

function encode({ digest, references: { blobs, manifests, subject } }: Remembered, target: Bytes): void {
  encodeDigest(digest, target);
  target.push(subject === undefined ? 0 : HAS_SUBJECT);
  for (const count of [blobs.length, manifests.length]) {
    const start = target.extend(4);
    new DataView(target.raw.buffer).setUint32(start, count, true);
  }
  for (const referenced of [...(subject === undefined ? [] : [subject]), ...blobs, ...manifests]) {
    encodeDigest(referenced, target);
  }
}

function encodeDigest(digest: Digest, target: Bytes): void {
  const sha256 = algorithmOf(digest) === "sha256";
  target.push(sha256 ? 1 : 2);
  const width = sha256 ? 32 : 64;
  const start = target.extend(width);
  Buffer.from(target.raw.buffer, start, width).write(hexOf(digest), "hex");
}

function* recordsOf(bytes: Uint8Array): Generator<Remembered> {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength - SUM_BYTES);
  let at = MAGIC.byteLength;
  const digest = (): Digest => {
    const sha256 = data[at] === 1;
    const end = at + 1 + (sha256 ? 32 : 64);
    const found = toDigest(sha256 ? "sha256" : "sha512", data.toString("hex", at + 1, end));
    at = end;
    return found;
  };
  while (at < data.byteLength) {
    const name = digest();
    const flags = data[at++];
    const blobs = data.readUInt32LE(at);
    const manifests = data.readUInt32LE(at + 4);
    at += 8;
    const subject = flags === HAS_SUBJECT ? digest() : undefined;
    const references: References = {
      subject,
      blobs: Array.from({ length: blobs }, digest),
      manifests: Array.from({ length: manifests }, digest),
    };
    yield { digest: name, references };
  }
}
