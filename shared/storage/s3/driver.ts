/**
 * Objects in a bucket of Amazon S3, or of a store that speaks like it. Keys are S3's own, below a root; what distribution
 * wrote there is read as it lies, and the other way round.
 */
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import {
  DraftGoneError,
  ObjectTooLargeError,
  OverloadedError,
  PreconditionFailedError,
  type ByteRange,
  type FencedDeletes,
  type ListOptions,
  type ListPage,
  type Look,
  type ObjectInfo,
  type Presigner,
  type PutCondition,
  type StorageDriver,
  type StoragePart,
  type StoredObject,
  type Written,
} from "../driver.ts";
import { checkKey, checkPrefix } from "../key.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import { infoOf } from "./answers.ts";
import { S3Bucket } from "./bucket.ts";
import { answeredAt, type S3Call } from "./client.ts";
import { S3Drafts } from "./drafts.ts";
import { attemptsOf, codeOf, CONFLICT, faultOf, FOLDER_GOES } from "./faults.ts";
import { SignedDeletes } from "./fenced-deletes.ts";
import { PROBES } from "./probe.ts";
import { AMAZON_S3, type S3Settings, type StorePromises } from "./settings.ts";

/** S3's own: entries in a page, keys in one deletion. */
const PAGE = 1000;
/** Objects up to this size are given in memory. */
const INLINE_BYTES = 64 * 1024;
/** Sorts after every key below a prefix: keys are printable ASCII. */
const AFTER_ALL = "\x7f";
/** Two conditional writes at one moment are told to try again. */
const CONTENDED: ReadonlySet<string> = new Set([CONFLICT, "OperationAborted", ...FOLDER_GOES]);
const CONFLICT_TRIES = 5;
const CONFLICT_PAUSE_MS = 50;

/** A bucket as a storage driver; or two, of which one has what does not stay. */
export class S3Driver implements StorageDriver {
  readonly name = "s3";
  readonly drafts: S3Drafts;
  readonly fenced: FencedDeletes;
  readonly presigner: Presigner;
  readonly parts?: readonly StoragePart[];
  readonly #buckets: readonly S3Bucket[];
  /** The bucket that a key lies in, or what a prefix has below it. */
  readonly #at: (key: string) => S3Bucket;
  readonly #promises: () => Promise<StorePromises>;

  /**
   * `budget` bounds what all bodies in flight hold; at least one part. `promises` is what the store keeps of Amazon's,
   * or finds it out: it is called at each conditional write. `onCall` is told of every request. `permitMs`
   * is the lifetime of a permit to delete, in whole seconds, where it is not the usual. `isTemporary` says which keys, and
   * prefixes of keys, lie in `temporaryBucket`, where the settings name one.
   */
  constructor(
    settings: S3Settings,
    budget: MemoryBudget,
    promises: StorePromises | (() => Promise<StorePromises>) = AMAZON_S3,
    onCall?: (call: S3Call) => void,
    permitMs?: number,
    isTemporary: (key: string) => boolean = () => false,
  ) {
    const bucket = new S3Bucket(settings, onCall);
    if (settings.temporaryBucket === undefined) {
      this.#buckets = [bucket];
      this.#at = () => bucket;
    } else {
      const temporary = bucket.beside(settings.temporaryBucket);
      this.#buckets = [bucket, temporary];
      this.#at = (key) => (isTemporary(key) || key.startsWith(PROBES) ? temporary : bucket);
      this.parts = this.#buckets.map(partOf);
    }
    this.#promises = typeof promises === "function" ? promises : async () => promises;
    this.drafts = new S3Drafts(settings, this.#at, budget);
    this.fenced = new SignedDeletes(this.#at, this.#promises, permitMs, settings.endpoint === undefined);
    this.presigner = {
      presign: async (key, method) => {
        checkKey(key);
        return await this.#at(key).presign(key, method);
      },
    };
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    return await this.#at(key).head(key);
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    return (await this.look(key, limit)).object?.bytes;
  }

  async look(key: string, limit: number): Promise<Look> {
    checkKey(key);
    return await unbroken(async () => {
      const { asOf, object } = await this.#at(key).look(key);
      if (object?.Body === undefined) return { asOf };
      if ((object.ContentLength ?? 0) > limit) {
        (object.Body as Readable).destroy();
        throw new ObjectTooLargeError(key, limit);
      }
      return { asOf, object: { ...infoOf(object), bytes: await gather(key, object.Body as Readable) } };
    });
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    return await unbroken(async () => await this.#get(key, range));
  }

  async #get(key: string, range: ByteRange | undefined): Promise<StoredObject | undefined> {
    let object;
    try {
      object = await this.#at(key).get(key, range);
    } catch (error) {
      // The range starts beyond the end, so there is an object.
      if (codeOf((error as Error).cause) !== "InvalidRange") throw error;
      const info = await this.#at(key).head(key);
      return info === undefined ? undefined : { ...info, body: new Uint8Array() };
    }
    if (object?.Body === undefined) return undefined;
    const info = infoOf(object);
    const stream = object.Body as Readable;
    if ((object.ContentLength ?? 0) <= INLINE_BYTES) return { ...info, body: await gather(key, stream) };
    return { ...info, body: webStream(stream) };
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<Written> {
    checkKey(key);
    const promises = condition === undefined ? AMAZON_S3 : await this.#promises();
    if (condition !== undefined && !promises.conditionalWrites) {
      await this.#checkFirst(key, condition);
      return await this.put(key, bytes);
    }
    let lostAnswers = false;
    for (let tries = 1; ; tries++) {
      try {
        const { etag, asOf } = await this.#at(key).put(key, bytes, worded(condition, promises));
        return { etag, asOf };
      } catch (error) {
        const code = codeOf(error);
        lostAnswers ||= attemptsOf(error) > 1;
        if (CONTENDED.has(code ?? "")) {
          if (tries === CONFLICT_TRIES) throw new OverloadedError(`S3 PutObject ${key}: ${code}`, 1, { cause: error });
          await delay(CONFLICT_PAUSE_MS * tries);
          continue;
        }
        if (condition === undefined || (code !== "PreconditionFailed" && code !== "NoSuchKey")) {
          throw faultOf("PutObject", key, error);
        }
        // After a retry the store may mean our own write, whose answer was lost.
        const mine = lostAnswers ? await this.#holds(key, bytes) : undefined;
        if (mine === undefined) throw new PreconditionFailedError(key);
        return mine;
      }
    }
  }

  async copy(from: string, to: string): Promise<boolean> {
    checkKey(to);
    const info = await this.head(from);
    if (info === undefined) return false;
    try {
      await this.drafts.copy(from, info.size, to);
      return true;
    } catch (error) {
      if (error instanceof DraftGoneError) return false;
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.#at(key).delete(key);
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    keys.forEach(checkKey);
    const failures: unknown[] = [];
    for (const bucket of this.#buckets) {
      const own = keys.filter((key) => this.#at(key) === bucket);
      if (own.length > 0) await deleteMany(bucket, own).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async list(prefix: string, options?: ListOptions): Promise<ListPage> {
    checkPrefix(prefix);
    return await list(this.#at(prefix), prefix, options);
  }

  /** Removes multipart uploads that were begun before, and that nobody will complete; and what the store was asked with. */
  async removeLeftovers(ageMs: number, prefix: string): Promise<void> {
    checkPrefix(prefix);
    const before = new Date(Date.now() - ageMs);
    const failures: unknown[] = [];
    for (const bucket of this.#buckets) {
      for (const below of [prefix, PROBES]) {
        for await (const upload of bucket.uploadsBefore(before, below)) {
          await bucket.abortUpload(upload).catch((error: unknown) => failures.push(error));
        }
      }
      const { objects } = await list(bucket, PROBES);
      for (const { key, lastModified } of objects) if (lastModified < before) await bucket.delete(key);
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Frees the connections. */
  close(): void {
    for (const bucket of this.#buckets) bucket.close();
  }

  /** For a store that does not decide: between this look and the write another writer may come. */
  async #checkFirst(key: string, condition: PutCondition): Promise<void> {
    const current = await this.#at(key).head(key);
    const holds = "ifMatch" in condition ? current?.etag === condition.ifMatch : current === undefined;
    if (!holds) throw new PreconditionFailedError(key);
  }

  /** What `put` gives, of an object that holds just these bytes. */
  async #holds(key: string, bytes: Uint8Array): Promise<Written | undefined> {
    return await unbroken(async () => {
      const { asOf, object } = await this.#at(key).look(key);
      if (object?.Body === undefined) return undefined;
      const stored = await gather(key, object.Body as Readable);
      return Buffer.compare(stored, bytes) === 0 ? { etag: object.ETag ?? "", asOf } : undefined;
    });
  }
}

function partOf(bucket: S3Bucket): StoragePart {
  return {
    list: async (prefix, options) => {
      checkPrefix(prefix);
      return await list(bucket, prefix, options);
    },
    delete: async (key) => {
      checkKey(key);
      await bucket.delete(key);
    },
    deleteMany: async (keys) => {
      keys.forEach(checkKey);
      await deleteMany(bucket, keys);
    },
  };
}

async function deleteMany(bucket: S3Bucket, keys: readonly string[]): Promise<void> {
  const [only] = keys;
  if (keys.length === 1 && only !== undefined) {
    await bucket.delete(only);
    return;
  }
  const failures: unknown[] = [];
  for (let at = 0; at < keys.length; at += PAGE) {
    const left = await bucket.deleteMany(keys.slice(at, at + PAGE)).catch((error: unknown) => {
      failures.push(error);
      return [];
    });
    // One by one: the SDK repeats a whole request that fails, but not what failed in it.
    for (const { key } of left) await bucket.delete(key).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

async function list(
  bucket: S3Bucket,
  prefix: string,
  { delimiter, startAfter, limit = PAGE }: ListOptions = {},
): Promise<ListPage> {
  // A prefix that was the last of a page stands for all keys below it. The listed prefix itself was not.
  const rolledUp = delimiter !== undefined && startAfter !== undefined && startAfter.length > prefix.length;
  const after = rolledUp && startAfter.endsWith("/") ? `${startAfter}${AFTER_ALL}` : startAfter;
  const page = await bucket.list(prefix, {
    limit: Math.min(limit, PAGE),
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(after === undefined ? {} : { startAfter: after }),
  });
  const { root } = bucket.settings;
  const objects = (page.Contents ?? []).map(({ Key = "", Size = 0, LastModified, ETag = "" }) => ({
    key: Key.slice(root.length),
    size: Size,
    lastModified: toTheSecond(LastModified ?? new Date(0)),
    etag: ETag,
  }));
  const prefixes = (page.CommonPrefixes ?? []).map(({ Prefix = "" }) => Prefix.slice(root.length));
  const [key = "", common = ""] = [objects.at(-1)?.key, prefixes.at(-1)];
  const next = key > common ? key : common;
  // Consoles make "folders": empty objects whose keys end in a slash, which are no objects of ours.
  return {
    objects: objects.filter((object) => !object.key.endsWith("/")),
    prefixes,
    asOf: answeredAt(page),
    ...(page.IsTruncated === true && next !== "" ? { next } : {}),
  };
}

/** An answer that broke off in its body. */
class BrokenBodyError extends OverloadedError {}

async function gather(key: string, stream: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  } catch (error) {
    throw new BrokenBodyError(faultOf("GetObject", key, error).message, 1, { cause: error });
  }
  return Buffer.concat(chunks);
}

/** A condition as the store wants its ETag. */
function worded(condition: PutCondition | undefined, { etags }: StorePromises): PutCondition | undefined {
  if (condition === undefined || !("ifMatch" in condition) || etags === "quoted") return condition;
  return { ifMatch: condition.ifMatch.replaceAll('"', "") };
}

/** As the headers of an answer say it: in their listings some stores are more exact. */
function toTheSecond(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

/** Asks once more where an answer breaks off that nobody has seen anything of: the SDK repeats only what fails before. */
async function unbroken<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof BrokenBodyError) return await ask();
    throw error;
  }
}

/** Reads only as fast as it is read; cancelling it ends the request. */
function webStream(stream: Readable): ReadableStream<Uint8Array> {
  const chunks = stream[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = (await chunks.next()) as IteratorResult<Uint8Array, undefined>;
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel() {
        stream.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}
