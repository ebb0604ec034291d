/**
 * What the registry asks of storage: a strongly consistent object store. Keys are paths without a leading slash; there are
 * no directories, no rename and no append. Drivers know nothing of OCI.
 *
 * Absence is an answer (`undefined`), and only the store's own word for "no such key" gives it. Everything else that goes
 * wrong is thrown: a missing bucket or a denied request must never look like a missing key, since a collector that
 * believed it would sweep everything.
 */

export interface ObjectInfo {
  /** In bytes, of the whole object. */
  readonly size: number;
  /** Changes with every write of other bytes. */
  readonly etag: string;
  readonly lastModified: Date;
  /**
   * When this was so, by the clock that also gives `lastModified`: the store's own, to the second or finer. Times of one
   * store can be compared with each other, never with this process's clock.
   */
  readonly asOf: Date;
}

/** What there was under a key, and when. Absence has a time too. */
export interface Look {
  readonly asOf: Date;
  readonly object?: ObjectInfo & { readonly bytes: Uint8Array };
}

/** A write as the store answered it. */
export interface Written {
  readonly etag: string;
  /** When it was done, or later. */
  readonly asOf: Date;
}

/** Bytes `start` to `end`, both included; an `end` beyond the object's last byte is cut to it. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface StoredObject extends ObjectInfo {
  /** The bytes asked for: in memory where they are few, else a stream that must be read to its end or cancelled. */
  readonly body: Uint8Array | ReadableStream<Uint8Array>;
}

/** At most one of: the key must be absent; the key must be as it was when this etag was read. */
export type PutCondition = { readonly ifNoneMatch: "*" } | { readonly ifMatch: string };

export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly lastModified: Date;
  /** What `head` gives. */
  readonly etag: string;
}

export interface ListOptions {
  /** With it, keys below the next slash are rolled up into `prefixes`. */
  readonly delimiter?: "/";
  /** Only keys and prefixes after this one, in byte order. */
  readonly startAfter?: string;
  /** Most entries (keys and prefixes together) in the page; a driver may give fewer. */
  readonly limit?: number;
}

/** One page in byte order of keys, in which `a-b/` comes before `a/`. */
export interface ListPage {
  readonly objects: readonly ListedObject[];
  readonly prefixes: readonly string[];
  /** Where the next page starts after; absent on the last page. */
  readonly next?: string;
  /** When it was so: no object of the page was looked at before. */
  readonly asOf: Date;
}

export interface StorageDriver {
  readonly name: string;
  head(key: string): Promise<ObjectInfo | undefined>;
  /** A whole small object. Throws ObjectTooLargeError beyond `limit` bytes. */
  read(key: string, limit: number): Promise<Uint8Array | undefined>;
  /** The same, with what else is known of it and when it was so. */
  look(key: string, limit: number): Promise<Look>;
  /** A whole object or a range of it. A range that starts beyond the end gives an empty body. */
  get(key: string, range?: ByteRange): Promise<StoredObject | undefined>;
  /** Writes a whole small object: durable, and visible all at once, when it answers. Throws PreconditionFailedError. */
  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<Written>;
  /**
   * Copies an object of any size within the store, replacing what is there: durable when it answers. False where there is
   * nothing to copy. Only where the bytes need not pass through this process.
   */
  copy?(from: string, to: string): Promise<boolean>;
  /** Deletes a key; it may be absent. */
  delete(key: string): Promise<void>;
  /** Deletes keys; throws the first failure after all were tried. */
  deleteMany(keys: readonly string[]): Promise<void>;
  /** `prefix` is empty or ends in a slash. What lies in another part than the prefix itself is not listed. */
  list(prefix: string, options?: ListOptions): Promise<ListPage>;
  /** Where large objects are put together. */
  readonly drafts: DraftStore;
  /** Deletes that come too late are refused here, by the store. */
  readonly fenced: FencedDeletes;
  /** Where clients can be sent to the store itself. */
  readonly presigner?: Presigner;
  /** The places that it keeps objects in, each on its own, where there are several. A key is looked for in one of them. */
  readonly parts?: readonly StoragePart[];
  /**
   * Removes what processes that died more than `ageMs` ago left behind and no listing shows. Where such things belong to
   * keys, only what is below `prefix`: others may keep theirs in the same store. Throws the first failure after all was tried.
   */
  removeLeftovers?(ageMs: number, prefix: string): Promise<void>;

  /** Lets go of connections, where it keeps any. No method may be called afterwards. */
  close?(): void;
}

/** How long a permit is good where nothing else is asked for. */
export const PERMIT_LIFETIME_MS = 120_000;

/** Leave to delete for a while. */
export interface Permit {
  /** `<run>/<nonce>`, each of letters, digits and dashes: used once, and known to everybody who may want to revoke it. */
  readonly id: string;
  /**
   * From when on the lifetime counts: an `asOf` of the store's from before anybody could read of the permit, since a write
   * that had to be sent twice was done before its answer.
   */
  readonly since: Date;
}

/** A key, and the leave to delete it. */
export interface FencedDelete {
  readonly key: string;
  readonly permit: Permit;
}

/**
 * Deletes that the store itself refuses once their permit is over, however long the sender was paused before. A permit is
 * over `lifetimeMs` after its `since`, or when it was revoked, whichever is first; but see `revoke` and `revokeExpired`.
 */
export interface FencedDeletes {
  readonly lifetimeMs: number;
  /**
   * Does this store keep what is said here? Some S3 servers take signed requests that have expired. Asks it. Throws with a
   * sentence where it rests on this machine's clock, and that is not the store's.
   */
  isKept(): Promise<boolean>;
  /** Before anybody can read the permit's id: then whoever revokes it finds what there is to revoke. */
  open(id: string): Promise<void>;
  /**
   * Deletes keys, each sent once; they may be absent. Gives those that were refused since their permit is over. Throws
   * DeletesFailedError after all were tried where others could not be deleted, or did not answer.
   */
  delete(items: readonly FencedDelete[]): Promise<readonly string[]>;
  /**
   * Ends a permit: what is deleted with it was deleted before this answers. A store that cannot be told keeps to the
   * lifetime alone, so only who has waited for that may call it. The permit may be over, or never have been opened.
   */
  revoke(id: string): Promise<void>;
  /** Ends all permits that were opened longer ago than their lifetime, where the store does not see to that itself. */
  revokeExpired(): Promise<void>;
  /** What was deleted so, where the store can keep it. */
  readonly trash?: Trash;
}

/** Where objects lie that were deleted with a permit, until they are brought back or removed for good. */
export interface Trash {
  /**
   * Does the store keep what is deleted from now on? A bucket can be told to, and not to. Undefined where it does not say.
   */
  keeps(): Promise<boolean | undefined>;
  /**
   * The first part of the ids of the permits with which something was deleted that `empty` would remove, in byte order.
   * Undefined where the store itself ends what it keeps, by rules of its own.
   */
  runs(): Promise<readonly string[] | undefined>;
  /**
   * Brings objects back that were deleted with a permit, but for keys that are there again; gives the keys that are neither.
   * They have the time of now; or, where the store keeps versions, the one that they had.
   */
  restore(items: readonly { readonly key: string; readonly id: string }[]): Promise<readonly string[]>;
  /** Removes what a run deleted, for good, where the store does not see to that itself. Its permits are over. */
  empty(run: string): Promise<void>;
}

/** One of the places that a store is made of. A key may lie there that would be looked for elsewhere. */
export type StoragePart = Pick<StorageDriver, "list" | "delete" | "deleteMany">;

/** Makes URLs that anybody can use for one method on one object until they expire. */
export interface Presigner {
  /** The object may be absent. No request to the store. */
  presign(key: string, method: "GET" | "HEAD"): Promise<string>;
}

/**
 * Bytes of a large object before they have their final key. Plain JSON that the caller keeps; what is in it is the
 * driver's affair. A draft is a value: appending makes a new one and leaves the old one valid, so of two appends to the
 * same draft either may be kept and the other discarded.
 */
export interface Draft {
  readonly size: number;
  readonly [field: string]: unknown;
}

/** Puts large objects together from streams of any length, in memory that does not grow with them. */
export interface DraftStore {
  /**
   * Writes a body under its final key: durable and visible all at once, replacing what is there, and only if `verify` does
   * not throw when the last byte has passed. Else nothing is changed and nothing is left.
   */
  write(key: string, body: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<void>;
  /** An empty draft whose bytes will be kept under `prefix`, which ends in a slash. No request. */
  begin(prefix: string): Draft;
  /**
   * Adds a body; `length` is what it is said to have. All or nothing: if the body fails, what it wrote is removed and the
   * draft stays as it was. Durable. Throws DraftGoneError where bytes of the draft are needed and gone.
   */
  append(draft: Draft, body: AsyncIterable<Uint8Array>, length?: number): Promise<Draft>;
  /** The draft's bytes. Throws DraftGoneError. */
  read(draft: Draft): AsyncIterable<Uint8Array>;
  /**
   * Makes the draft an object, durable and visible all at once, replacing what is there. A draft of one append may be used
   * up; one of several stays readable, so that what follows can be tried again. Throws DraftGoneError.
   */
  publish(draft: Draft, key: string): Promise<void>;
  /** The keys that hold the draft's bytes: deleting them discards it. */
  keysOf(draft: Draft): readonly string[];
}

/** How a body is written. */
export interface WriteOptions {
  /** What the body is said to have, in bytes. */
  readonly length?: number;
  /** Called when all bytes have passed. What it throws ends the write. */
  readonly verify: () => void | Promise<void>;
}

/** The condition of a put did not hold. */
export class PreconditionFailedError extends Error {
  override readonly name = "PreconditionFailedError";
  constructor(key: string) {
    super(`precondition failed: ${key}`);
  }
}

/** Some of several keys could not be deleted; all were tried. The message is that of the first failure. */
export class DeletesFailedError extends Error {
  override readonly name = "DeletesFailedError";
  /** Why, by key. Nobody knows which of these are gone, or will be before their permit is over. */
  readonly failures: ReadonlyMap<string, Error>;
  /** Those of the others that were refused since their permit is over. */
  readonly refused: readonly string[];
  constructor(failures: ReadonlyMap<string, Error>, refused: readonly string[]) {
    const [first] = failures.values();
    super(first?.message, { cause: first });
    this.failures = failures;
    this.refused = refused;
  }
}

/** An object that should be small is not. */
export class ObjectTooLargeError extends Error {
  override readonly name = "ObjectTooLargeError";
  constructor(key: string, limit: number) {
    super(`object is larger than ${limit} bytes: ${key}`);
  }
}

/** Bytes of a draft are not there any more: it was published or discarded by somebody else. */
export class DraftGoneError extends Error {
  override readonly name = "DraftGoneError";
  constructor() {
    super("the draft's bytes are gone");
  }
}

/** The store has no room, or may not be written: an operator's matter, told apart so that the client's error can say so. */
export class StorageFullError extends Error {
  override readonly name = "StorageFullError";
}

/** The store or this process has too much to do now; try again after `retryAfterSeconds`. */
export class OverloadedError extends Error {
  override readonly name = "OverloadedError";
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** All bytes of an object that is known to be small. */
export async function bytesOf({ body }: StoredObject): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Removes a draft's bytes, except those that one of `kept` holds as well. Idempotent. */
export async function discardDraft(
  driver: Pick<StorageDriver, "deleteMany" | "drafts">,
  draft: Draft,
  ...kept: readonly Draft[]
): Promise<void> {
  const keep = new Set(kept.flatMap((other) => driver.drafts.keysOf(other)));
  const keys = driver.drafts.keysOf(draft).filter((key) => !keep.has(key));
  if (keys.length > 0) await driver.deleteMany(keys);
}

/** Every page of a listing, one after the other. */
export async function* listPages(
  driver: Pick<StorageDriver, "list">,
  prefix: string,
  options: ListOptions = {},
): AsyncGenerator<ListPage> {
  let startAfter = options.startAfter;
  for (;;) {
    const page = await driver.list(prefix, startAfter === undefined ? options : { ...options, startAfter });
    yield page;
    if (page.next === undefined) return;
    startAfter = page.next;
  }
}

/** Every key under a prefix. */
export async function* listKeys(driver: Pick<StorageDriver, "list">, prefix: string): AsyncGenerator<ListedObject> {
  for await (const page of listPages(driver, prefix)) yield* page.objects;
}

/** The names one level below a prefix that have keys below them: `a` for `prefix/a/…`. In byte order of `a/`. */
export async function listChildren(driver: Pick<StorageDriver, "list">, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const page of listPages(driver, prefix, { delimiter: "/" })) {
    for (const child of page.prefixes) names.push(child.slice(prefix.length, -1));
  }
  return names;
}
