import { randomUUID } from "node:crypto";
import { mapLimit } from "../concurrency.ts";
import { DraftGoneError, OverloadedError, type Draft, type DraftStore, type WriteOptions } from "../driver.ts";
import { checkKey, checkPrefix } from "../key.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import type { S3Bucket, StoredPart, Upload } from "./bucket.ts";
import { codeOf, faultOf } from "./faults.ts";
import { despiteFolders } from "./folders.ts";
import { PartReader, type Part } from "./part-reader.ts";
import { LEAST_PART, MOST_PARTS, partSizes, type PartSizes } from "./part-sizes.ts";
import type { S3Settings } from "./settings.ts";

/** One request copies at most this many bytes. */
const MOST_COPIED = 5 * 1024 ** 3;

/** Parts of one body that are sent at a time, while the next is received. */
const PARTS_IN_FLIGHT = 3;

/** How often one body may break off. */
const MOST_BREAKS = 3;

/** Bytes up to this size are kept in the draft itself, which saves an object for configs and small layers. */
const INLINE_BYTES = 32 * 1024;
const NOTHING_INLINE = -1;

interface Segment {
  readonly key: string;
  readonly size: number;
}

/**
 * Segments are objects of at least 5 MiB each, which a copy can put together. What comes after them is too small for
 * that: the next append begins with it.
 */
interface S3Draft extends Draft {
  readonly prefix: string;
  readonly segments: readonly Segment[];
  /** In base64, or an object. */
  readonly tail?: string | Segment;
}

/**
 * Drafts as objects. A body whose key is known goes there at once, as a multipart upload that is completed only when it is
 * verified; a draft's segments are put together by copies that the store makes.
 */
export class S3Drafts implements DraftStore {
  readonly #settings: S3Settings;
  readonly #at: (key: string) => S3Bucket;
  readonly #budget: MemoryBudget;

  /** `at` says in which bucket a key lies. */
  constructor(settings: S3Settings, at: (key: string) => S3Bucket, budget: MemoryBudget) {
    this.#settings = settings;
    this.#at = at;
    this.#budget = budget;
  }

  async write(key: string, body: AsyncIterable<Uint8Array>, { length, verify }: WriteOptions): Promise<void> {
    checkKey(key);
    const reader = new PartReader(body, this.#budget);
    try {
      const stored = await this.#store(key, reader, this.#partSizes(length), NOTHING_INLINE, async () => {
        if (!(await reader.isAtEnd()))
          throw new Error(`the body is longer than what ${MOST_PARTS} parts hold, since its length was not announced`);
        await verify();
      });
      if (stored.inParts === true) await checkStored(this.#at(key), key, stored.size);
    } finally {
      await reader.cancel();
    }
  }

  begin(prefix: string): S3Draft {
    checkPrefix(prefix);
    return { size: 0, prefix, segments: [] };
  }

  async append(draft: Draft, body: AsyncIterable<Uint8Array>, length?: number): Promise<S3Draft> {
    const { prefix, segments, tail, size } = draft as S3Draft;
    const tailBytes = tail === undefined ? 0 : typeof tail === "string" ? Buffer.byteLength(tail, "base64") : tail.size;
    const joined = this.#joined(tail, body);
    const reader = new PartReader(joined.bytes, this.#budget);
    const added: Segment[] = [];
    let inline: Uint8Array | undefined;
    try {
      const sizes = this.#partSizes(length === undefined ? undefined : length + tailBytes);
      // A body of unknown length ends one object where S3's parts do, and goes on in another.
      do {
        const key = `${prefix}${randomUUID()}`;
        const stored = await this.#store(key, reader, sizes, INLINE_BYTES, () => undefined);
        if (stored.inline !== undefined) inline = stored.inline;
        else if (stored.size > 0) added.push({ key, size: stored.size });
      } while (!(await reader.isAtEnd()));
    } catch (error) {
      for (const { key } of added)
        await this.#at(key)
          .delete(key)
          .catch(() => undefined);
      throw error;
    } finally {
      await reader.cancel();
    }
    if (joined.added() === 0) {
      for (const { key } of added) await this.#at(key).delete(key);
      return draft as S3Draft;
    }
    const last = added.at(-1);
    const short = last !== undefined && last.size < LEAST_PART ? last : undefined;
    const newTail = inline === undefined ? short : Buffer.from(inline).toString("base64");
    return {
      size: size + joined.added(),
      prefix,
      segments: [...segments, ...added.filter((segment) => segment !== short)],
      ...(newTail === undefined ? {} : { tail: newTail }),
    };
  }

  async *read(draft: Draft): AsyncGenerator<Uint8Array> {
    const { segments, tail } = draft as S3Draft;
    for (const segment of segments) yield* this.#readObject(segment);
    if (tail !== undefined) yield* this.#readTail(tail);
  }

  async publish(draft: Draft, key: string): Promise<void> {
    checkKey(key);
    const { size, segments, tail } = draft as S3Draft;
    const [first] = segments;
    try {
      if (first === undefined) {
        if (typeof tail === "object") await this.#copy(tail.key, key);
        else await this.#put(key, Buffer.from(tail ?? "", "base64"));
      } else if (segments.length === 1 && tail === undefined && size <= this.#settings.copy.thresholdBytes) {
        await this.#copy(first.key, key);
      } else {
        await this.#join(draft as S3Draft, key);
      }
    } catch (error) {
      throw codeOf((error as Error).cause) === "NoSuchKey" ? new DraftGoneError() : error;
    }
  }

  /** A copy of an object of that size, which the store makes. Throws DraftGoneError where it is gone. */
  async copy(from: string, size: number, key: string): Promise<void> {
    const whole: S3Draft = { size, prefix: "", segments: [{ key: from, size }] };
    await this.publish(whole, key);
  }

  keysOf(draft: Draft): readonly string[] {
    const { segments, tail } = draft as S3Draft;
    return [...segments, ...(typeof tail === "object" ? [tail] : [])].map(({ key }) => key);
  }

  #partSizes(length: number | undefined): PartSizes {
    return partSizes(this.#settings.partBytes, length);
  }

  /** A tail and the body after it, and how much of it was the body. */
  #joined(
    tail: S3Draft["tail"],
    body: AsyncIterable<Uint8Array>,
  ): { bytes: AsyncIterable<Uint8Array>; added: () => number } {
    let added = 0;
    const readTail = (from: string | Segment): AsyncIterable<Uint8Array> => this.#readTail(from);
    async function* bytes(): AsyncGenerator<Uint8Array> {
      if (tail !== undefined) yield* readTail(tail);
      for await (const chunk of body) {
        added += chunk.byteLength;
        yield chunk;
      }
    }
    return { bytes: bytes(), added: () => added };
  }

  async *#readTail(tail: string | Segment): AsyncGenerator<Uint8Array> {
    if (typeof tail === "string") yield Buffer.from(tail, "base64");
    else yield* this.#readObject(tail);
  }

  /** A body that breaks off is gone on with where it ended: under this key there is nothing else, ever. */
  async *#readObject({ key, size }: Segment): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (let breaks = 0; at < size; breaks++) {
      const object = await this.#at(key).get(key, at === 0 ? undefined : { start: at, end: size - 1 });
      if (object?.Body === undefined) throw new DraftGoneError();
      try {
        for await (const chunk of object.Body as AsyncIterable<Uint8Array>) {
          at += chunk.byteLength;
          yield chunk;
        }
        return;
      } catch (error) {
        if (breaks === MOST_BREAKS) throw faultOf("GetObject", key, error);
      }
    }
  }

  /**
   * Stores what a reader has, up to 10,000 parts, as one object: a small body by one request, a large one by parts. Bytes of
   * at most `inlineBytes` are given back instead. Nothing is visible before `verify` has passed, and nothing stays if it
   * or the body fails.
   */
  async #store(
    key: string,
    reader: PartReader,
    sizes: PartSizes,
    inlineBytes: number,
    verify: WriteOptions["verify"],
  ): Promise<{ size: number; inline?: Uint8Array; inParts?: true }> {
    const first = await reader.read(sizes(1));
    let whole: boolean;
    try {
      whole = first === undefined || (await reader.isAtEnd());
    } catch (error) {
      first?.release();
      throw error;
    }
    if (!whole && first !== undefined) {
      return { size: await this.#storeParts(key, first, reader, sizes, verify), inParts: true };
    }
    try {
      const bytes = first?.bytes ?? new Uint8Array();
      await verify();
      if (bytes.byteLength <= inlineBytes) return { size: bytes.byteLength, inline: bytes };
      await this.#put(key, bytes);
      return { size: bytes.byteLength };
    } finally {
      first?.release();
    }
  }

  async #storeParts(
    key: string,
    first: Part,
    reader: PartReader,
    sizes: PartSizes,
    verify: WriteOptions["verify"],
  ): Promise<number> {
    const sender = new PartSender(this.#at(key), key);
    let size = 0;
    try {
      for (let part: Part | undefined = first; part !== undefined;) {
        size += part.bytes.byteLength;
        await sender.send(part);
        part = sender.count < MOST_PARTS ? await reader.read(sizes(sender.count + 1)) : undefined;
      }
      await verify();
      await sender.complete();
      return size;
    } catch (error) {
      await sender.abort();
      throw error;
    }
  }

  /** Segments, in pieces that one request may copy, and the tail after them. */
  async #join({ size, segments, tail }: S3Draft, key: string): Promise<void> {
    const { copy } = this.#settings;
    const most = MOST_PARTS - segments.length - 1;
    const pieceBytes = Math.min(MOST_COPIED, Math.max(copy.partBytes, Math.ceil(size / most)));
    const bucket = this.#at(key);
    // A copy of what is there already would take longer than the look.
    if ((await bucket.head(key))?.size === size) return;
    const upload = await bucket.createUpload(key, { withSums: false });
    try {
      const pieces = [...segments, ...(typeof tail === "object" ? [tail] : [])].flatMap((s) => piecesOf(s, pieceBytes));
      const parts = await mapLimit(pieces, copy.concurrency, async ({ source, range }, index) => {
        return await bucket.copyPart(upload, index + 1, { bucket: this.#at(source), key: source }, range);
      });
      if (typeof tail === "string") {
        parts.push(await bucket.putPart(upload, parts.length + 1, Buffer.from(tail, "base64")));
      }
      await bucket.completeUpload(upload, parts);
    } catch (error) {
      await bucket.giveUp(upload);
      throw error;
    }
    await checkStored(bucket, key, size);
  }

  async #copy(source: string, key: string): Promise<void> {
    await this.#at(key).copy({ bucket: this.#at(source), key: source }, key);
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    await despiteFolders(async () => await this.#at(key).put(key, bytes)).catch((error: unknown) => {
      throw faultOf("PutObject", key, error);
    });
  }
}

/** Sends the parts of one multipart upload, a few at a time, and gives back their memory as they are stored. */
class PartSender {
  count = 0;
  readonly #bucket: S3Bucket;
  readonly #key: string;
  #upload: Promise<Upload> | undefined;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #stored: StoredPart[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(bucket: S3Bucket, key: string) {
    this.#bucket = bucket;
    this.#key = key;
  }

  /** Takes a part, as soon as fewer than a few are under way. Throws what an earlier one failed with. */
  async send(part: Part): Promise<void> {
    const number = ++this.count;
    this.#upload ??= this.#bucket.createUpload(this.#key, { withSums: true });
    const sending = this.#send(part, number, this.#upload).finally(() => this.#inFlight.delete(sending));
    this.#inFlight.add(sending);
    if (this.#inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(this.#inFlight);
    this.#throwFailure();
  }

  /** Makes the parts an object. */
  async complete(): Promise<void> {
    await Promise.all(this.#inFlight);
    this.#throwFailure();
    if (this.#upload === undefined) return;
    this.#stored.sort((a, b) => a.number - b.number);
    await this.#bucket.completeUpload(await this.#upload, this.#stored);
  }

  /** Ends the upload without an object. What cannot be removed now is removed with what processes leave behind. */
  async abort(): Promise<void> {
    await Promise.all(this.#inFlight);
    const upload = await this.#upload?.catch(() => undefined);
    if (upload !== undefined) await this.#bucket.giveUp(upload);
  }

  async #send(part: Part, number: number, upload: Promise<Upload>): Promise<void> {
    try {
      this.#stored.push(await this.#bucket.putPart(await upload, number, part.bytes));
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      part.release();
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/**
 * An upload that was completed may never be seen, where its key was deleted after the upload had begun: its version is as
 * old as its beginning. So nobody is told of an object that was not seen.
 */
async function checkStored(bucket: S3Bucket, key: string, size: number): Promise<void> {
  const stored = await bucket.head(key);
  if (stored?.size !== size) throw new OverloadedError(`S3: ${key} was deleted while it was written`, 1);
}

/** Pieces of at least the wanted size and less than twice of it: none is smaller, or larger, than a part may be. */
function piecesOf(
  { key, size }: Segment,
  pieceBytes: number,
): { source: string; range?: { start: number; end: number } }[] {
  const count = Math.max(Math.floor(size / pieceBytes), Math.ceil(size / (MOST_COPIED - MOST_PARTS)));
  if (count <= 1) return [{ source: key }];
  const bytes = Math.floor(size / count);
  return Array.from({ length: count }, (_, i) => ({
    source: key,
    range: { start: i * bytes, end: (i === count - 1 ? size : (i + 1) * bytes) - 1 },
  }));
}
