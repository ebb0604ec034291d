import * as z from "zod";
import { algorithmOf, CANONICAL_ALGORITHM, digestFrom, type Digest, type DigestAlgorithm } from "../oci/digest.ts";
import { RangeMismatchError, RegistryError } from "../oci/error.ts";
import { bodyHasher } from "../oci/body-hasher.ts";
import {
  HashedBody,
  nativeHasher,
  resumableHasher,
  resumeHasher,
  type ResumableHasher,
  type StreamHasher,
} from "../oci/hasher.ts";
import type { RepositoryName } from "../oci/reference.ts";
import {
  bytesOf,
  discardDraft,
  DraftGoneError,
  OverloadedError,
  PreconditionFailedError,
  StorageFullError,
  type Draft,
  type PutCondition,
  type StorageDriver,
} from "../storage/driver.ts";
import { jsonOf } from "../storage/json.ts";
import type { BlobStore } from "./blob-store.ts";
import { layout } from "./layout.ts";
import type { Clearance, Promises } from "./promises.ts";
import { isSessionId, newSessionId } from "./session-id.ts";

/** A request's body. It can be read once. */
export type Body = AsyncIterable<Uint8Array>;

/** What a client says about the bytes that it appends. */
export interface Chunk {
  readonly body: Body;
  /** From Content-Length: what the body should have, in bytes. */
  readonly length?: number;
  /** From Content-Range: the position of the first and the last byte. */
  readonly range?: { readonly start: number; readonly end: number };
}

/**
 * The published state of a session: a draft with all acknowledged bytes, and what is known of their hash. After the first
 * append that is the digest itself, made by the fast native hash, since nearly every push is one append; from the second
 * on it is a state that the next append resumes.
 */
const sessionState = z.object({
  algorithm: z.enum(["sha256", "sha512"]),
  draft: z.looseObject({ size: z.number().int().nonnegative() }),
  digest: z.string().optional(),
  hashState: z.string().optional(),
});

type SessionState = Omit<z.infer<typeof sessionState>, "draft"> & { readonly draft: Draft };

/** What a request has brought. */
interface Sent {
  readonly bytes: number;
  readonly digest: Digest | undefined;
}

const NOTHING: Sent = { bytes: 0, digest: undefined };

interface Session {
  readonly state: SessionState;
  /** Holds while nobody else has published a state since. */
  readonly unchanged: PutCondition;
  /** Whether a state was published yet. */
  readonly hasState: boolean;
}

/**
 * Upload sessions of one repository. All of a session is in storage, so it survives a restart and any process can go on
 * with it.
 *
 * Each append writes bytes of its own and then publishes a new state by compare-and-swap: of two appends at one offset
 * exactly one is acknowledged, and the other can never touch acknowledged bytes. A body that breaks off, or a process that
 * dies, leaves the session as it was before that append.
 *
 * A commit makes the blob visible only when size and digest hold, in an order in which a crash at any point is mended by
 * the client's retry: bytes under their digest, then the link, then the end of the session.
 */
export class UploadStore {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;
  readonly #blobs: BlobStore;
  readonly #promises: Promises;
  readonly #now: () => Date;

  constructor(
    driver: StorageDriver,
    name: RepositoryName,
    { blobs, promises }: { blobs: BlobStore; promises: Promises },
    now: () => Date,
  ) {
    this.#driver = driver;
    this.#name = name;
    this.#blobs = blobs;
    this.#promises = promises;
    this.#now = now;
  }

  /** Starts a session; gives its id. `algorithm` is what the client means to commit with. */
  async start(algorithm: DigestAlgorithm = CANONICAL_ALGORITHM): Promise<string> {
    const id = newSessionId();
    const startedAt = this.#now()
      .toISOString()
      .replace(/\.\d+Z$/, "Z");
    await this.#driver.put(layout.uploadStart(this.#name, id), Buffer.from(startedAt));
    // A session without a state is an empty one with the canonical algorithm: the usual start is one write.
    if (algorithm !== CANONICAL_ALGORITHM) {
      await this.#publishState(id, this.#emptyState(id, algorithm), { ifNoneMatch: "*" });
    }
    return id;
  }

  /** Bytes that a session holds. Throws BLOB_UPLOAD_UNKNOWN. */
  async size(id: string): Promise<number> {
    return (await this.#open(id)).state.draft.size;
  }

  /**
   * Appends to a session, all or nothing; gives its new size. Durable.
   * Throws BLOB_UPLOAD_UNKNOWN, RangeMismatchError where the chunk does not begin at the session's end or another append was
   * faster, SIZE_INVALID where the body is not as long as its range.
   */
  async append(id: string, chunk: Chunk): Promise<number> {
    const session = await this.#open(id);
    let written: { draft: Draft; hasher: StreamHasher };
    try {
      written = await this.#append(session.state, chunk, true);
    } catch (error) {
      // A faster append has replaced bytes that this one was to go on from.
      if (error instanceof DraftGoneError) throw new RangeMismatchError(await this.size(id));
      throw error;
    }
    const { draft, hasher } = written;
    const { algorithm } = hasher;
    try {
      const state: SessionState = isResumable(hasher)
        ? { algorithm, draft, hashState: hasher.save() }
        : { algorithm, draft, digest: await hasher.digest() };
      await this.#publishState(id, state, session.unchanged);
    } catch (error) {
      // Whatever else fails, the state may have been written all the same, or may be yet: then its bytes must stay.
      if (!(error instanceof PreconditionFailedError || error instanceof StorageFullError)) throw error;
      const current = await this.#open(id);
      // It may have been written, its answer lost, and gone on from by another before it was tried again.
      await this.#discard(draft, session.state.draft, current.state.draft);
      throw error instanceof StorageFullError ? error : new RangeMismatchError(current.state.draft.size);
    }
    // What was joined with the new bytes is not needed any more.
    await this.#discard(session.state.draft, draft);
    return draft.size;
  }

  /**
   * Ends a session: its bytes, and those of `last` where given, become a blob of the repository if they have this digest.
   * A retry after a lost answer succeeds again. Throws what `append` throws, and DIGEST_INVALID.
   */
  async commit(id: string, digest: Digest, last?: Chunk): Promise<void> {
    const clearance = this.#promises.ahead(layout.blobMark(digest));
    let session: Session;
    try {
      session = await this.#open(id);
    } catch (error) {
      if (isUnknownUpload(error) && (await this.#wasCommitted(digest, last))) return;
      throw error;
    }
    const { state } = session;
    if (state.draft.size === 0) {
      // A session whose end was cut off may have lost its state and not its start: what is sent then is the blob's end.
      const ended =
        last === undefined || (last.range?.start ?? 0) > 0
          ? await this.#wasCommitted(digest, last)
          : await this.#put(digest, last, clearance, async (sent) => await this.#isEnd(digest, sent));
      if (ended) {
        await this.#remove(id, session);
        return;
      }
    }
    const written = last === undefined ? undefined : await this.#append(state, last, false);
    const draft = written?.draft ?? state.draft;
    let { hasState } = session;
    try {
      const actual = await this.#digestOf(draft, algorithmOf(digest), written?.hasher ?? state);
      if (written === undefined && actual === digest && state.algorithm !== algorithmOf(digest)) {
        await this.#noteDigest(id, session, digest);
        hasState = true;
      }
      await this.#publish(draft, digest, actual, clearance);
    } catch (error) {
      // The bytes that came with this request go; the session stays as it was, to be tried again.
      if (written !== undefined && !(error instanceof OverloadedError)) await this.#discard(draft, state.draft);
      throw error;
    }
    // What was joined with the last bytes is not in the draft that has them.
    await this.#remove(id, { hasState }, state.draft, draft);
  }

  /**
   * Stores a blob that comes in one request with its digest: its bytes are written where they stay, and become visible only
   * if they are what was announced. Throws DIGEST_INVALID, SIZE_INVALID, RangeMismatchError.
   */
  async put(digest: Digest, chunk: Chunk): Promise<void> {
    await this.#put(digest, chunk, this.#promises.ahead(layout.blobMark(digest)), async () => false);
  }

  /** The same, but for bytes of another digest that `isKnown` says are none the less what the client meant. */
  async #put(
    digest: Digest,
    { body, length, range }: Chunk,
    clearance: Clearance,
    isKnown: (sent: Sent) => Promise<boolean>,
  ): Promise<true> {
    if (range !== undefined && range.start !== 0) throw new RangeMismatchError(0);
    const hasher = bodyHasher(algorithmOf(digest));
    const hashed = new HashedBody(body, hasher);
    let actual: Digest | undefined;
    let cleared: Date | undefined;
    try {
      await this.#driver.drafts.write(layout.blob(digest), hashed, {
        ...(length === undefined ? {} : { length }),
        verify: async () => {
          checkLength(range, hashed.bytes);
          actual = await hasher.digest();
          checkDigest(digest, actual);
          cleared = await clearance.clear();
        },
      });
    } catch (error) {
      const differs = actual !== undefined && actual !== digest;
      if (differs && (await isKnown({ bytes: hashed.bytes, digest: actual }))) return true;
      throw error;
    }
    await this.#blobs.link(digest, cleared);
    return true;
  }

  /** Ends a session without a blob. Throws BLOB_UPLOAD_UNKNOWN. */
  async cancel(id: string): Promise<void> {
    const session = await this.#open(id);
    await this.#remove(id, session, session.state.draft);
  }

  /** Writes a chunk after what a state holds, hashing as it goes. `more`: the hash must be able to go on afterwards. */
  async #append(
    state: SessionState,
    { body, length, range }: Chunk,
    more: boolean,
  ): Promise<{ draft: Draft; hasher: StreamHasher }> {
    const before = state.draft.size;
    if (range !== undefined && range.start !== before) throw new RangeMismatchError(before);
    // Where there is a second append, or a Content-Range that tells of one, there may be a third.
    const hasher = await this.#hasherFor(state, more && (range !== undefined || before > 0));
    const hashed = new HashedBody(body, hasher);
    const draft = await this.#driver.drafts.append(state.draft, hashed, length);
    try {
      checkLength(range, hashed.bytes);
    } catch (error) {
      await this.#discard(draft, state.draft);
      throw error;
    }
    return { draft, hasher };
  }

  /**
   * The hasher that has seen what a state holds. `chunked` says that more may follow: then it can be saved. What there is
   * only a digest of, or a state that this version cannot read, is read once.
   */
  async #hasherFor(state: SessionState, chunked: boolean): Promise<StreamHasher> {
    const { algorithm, draft, hashState } = state;
    if (draft.size === 0) return chunked ? await resumableHasher(algorithm) : bodyHasher(algorithm);
    const resumed = hashState === undefined ? undefined : await resumeHasher(algorithm, hashState);
    if (resumed !== undefined) return resumed;
    const fresh = chunked ? await resumableHasher(algorithm) : nativeHasher(algorithm);
    for await (const chunk of this.#read(draft)) fresh.update(chunk);
    return fresh;
  }

  /** Makes a draft that has the `actual` digest visible if that is the wanted one: bytes first, then the link. */
  async #publish(draft: Draft, digest: Digest, actual: Digest, clearance: Clearance): Promise<void> {
    checkDigest(digest, actual);
    const cleared = await clearance.clear();
    const key = layout.blob(digest);
    try {
      await this.#driver.drafts.publish(draft, key);
    } catch (error) {
      // Of two commits of one session the slower finds its bytes moved away, to where it wanted them; and so does a retry.
      if ((await this.#driver.head(key))?.size !== draft.size) {
        throw error instanceof DraftGoneError ? endedElsewhere() : error;
      }
    }
    await this.#blobs.link(digest, cleared);
  }

  /** The digest of a draft, from what is known already where that will do, else by reading it. */
  async #digestOf(draft: Draft, algorithm: DigestAlgorithm, known: SessionState | StreamHasher): Promise<Digest> {
    if (known.algorithm === algorithm) {
      if ("update" in known) return await known.digest();
      const digest = known.digest === undefined ? undefined : digestFrom(known.digest);
      if (digest !== undefined) return digest;
      const resumed = known.hashState === undefined ? undefined : await resumeHasher(algorithm, known.hashState);
      if (resumed !== undefined) return resumed.digest();
    }
    const hasher = nativeHasher(algorithm);
    for await (const chunk of this.#read(draft)) hasher.update(chunk);
    return hasher.digest();
  }

  /** The bytes of a session, unless another request has ended it meanwhile. */
  async *#read(draft: Draft): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#driver.drafts.read(draft);
    } catch (error) {
      throw error instanceof DraftGoneError ? endedElsewhere() : error;
    }
  }

  /**
   * Keeps what reading the bytes has shown. They move when the blob is made, so the retry of a commit that dies halfway
   * could not read them again.
   */
  async #noteDigest(id: string, { state, unchanged }: Session, digest: Digest): Promise<void> {
    try {
      await this.#publishState(id, { algorithm: algorithmOf(digest), draft: state.draft, digest }, unchanged);
    } catch (error) {
      // Another commit of the same bytes notes the same; an append that was faster has made this commit one of its past.
      if (!(error instanceof PreconditionFailedError)) throw error;
    }
  }

  /**
   * Removes a draft's bytes, except what others hold as well. What cannot be removed goes with the session, or by the purge:
   * the client is told how its request went, not how the tidying did.
   */
  async #discard(draft: Draft, ...kept: readonly Draft[]): Promise<void> {
    await discardDraft(this.#driver, draft, ...kept).catch(() => undefined);
  }

  /**
   * Was this session committed by a request whose answer got lost? Then the blob is there, and the body that came with the
   * commit is its end.
   */
  async #wasCommitted(digest: Digest, last: Chunk | undefined): Promise<boolean> {
    if (last === undefined) return await this.#isEnd(digest, NOTHING);
    if ((await this.#blobs.promise(digest)) === undefined) return false;
    const hasher = nativeHasher(algorithmOf(digest));
    const body = new HashedBody(last.body, hasher);
    const passing = body[Symbol.asyncIterator]();
    while ((await passing.next()).done !== true);
    return await this.#isEnd(digest, { bytes: body.bytes, digest: hasher.digest() });
  }

  /** Is there such a blob, and does it end with these bytes? */
  async #isEnd(digest: Digest, sent: Sent): Promise<boolean> {
    const blob = await this.#blobs.promise(digest);
    if (blob === undefined || sent.bytes > blob.size) return false;
    if (sent.bytes === 0) return true;
    // The whole of it: nothing need be read.
    if (sent.bytes === blob.size && sent.digest !== undefined) return sent.digest === digest;
    const stored = await this.#blobs.get(digest, { start: blob.size - sent.bytes, end: blob.size - 1 });
    if (stored === undefined) return false;
    const end = nativeHasher(algorithmOf(digest));
    if (stored.body instanceof Uint8Array) end.update(stored.body);
    else for await (const chunk of stored.body) end.update(chunk);
    return end.digest() === sent.digest;
  }

  async #open(id: string): Promise<Session> {
    if (!isSessionId(id)) throw unknownUpload(id);
    const [started, stored] = await Promise.all([
      this.#driver.head(layout.uploadStart(this.#name, id)),
      this.#driver.get(layout.uploadState(this.#name, id)),
    ]);
    if (started === undefined) {
      if (stored !== undefined && !(stored.body instanceof Uint8Array)) await stored.body.cancel();
      throw unknownUpload(id);
    }
    if (stored === undefined) {
      return { state: this.#emptyState(id, CANONICAL_ALGORITHM), unchanged: { ifNoneMatch: "*" }, hasState: false };
    }
    const state = sessionState.safeParse(jsonOf(await bytesOf(stored)));
    if (!state.success)
      throw new RegistryError("BLOB_UPLOAD_INVALID", "the session's state is damaged; start a new upload");
    return { state: state.data, unchanged: { ifMatch: stored.etag }, hasState: true };
  }

  #emptyState(id: string, algorithm: DigestAlgorithm): SessionState {
    return { algorithm, draft: this.#driver.drafts.begin(layout.upload(this.#name, id)) };
  }

  async #publishState(id: string, state: SessionState, condition: PutCondition): Promise<void> {
    await this.#driver.put(layout.uploadState(this.#name, id), Buffer.from(JSON.stringify(state)), condition);
  }

  /**
   * The start goes first: without it there is no session, whatever a crash leaves of the rest to the purge. A store that
   * takes all in one request may do them in any order; a session that is left without its state is told from a new one when
   * it is committed again.
   */
  async #remove(id: string, { hasState }: Pick<Session, "hasState">, ...drafts: readonly Draft[]): Promise<void> {
    const state = hasState ? [layout.uploadState(this.#name, id)] : [];
    const keys = new Set(drafts.flatMap((draft) => this.#driver.drafts.keysOf(draft)));
    await this.#driver.deleteMany([layout.uploadStart(this.#name, id), ...state, ...keys]);
  }
}

function checkDigest(expected: Digest, actual: Digest): void {
  if (actual === expected) return;
  throw new RegistryError("DIGEST_INVALID", "the uploaded bytes have another digest", { expected, actual });
}

function checkLength(range: Chunk["range"], bytes: number): void {
  if (range === undefined || bytes === range.end - range.start + 1) return;
  throw new RegistryError(
    "SIZE_INVALID",
    `Content-Range announces ${range.end - range.start + 1} bytes, the body has ${bytes}`,
  );
}

function isResumable(hasher: StreamHasher): hasher is ResumableHasher {
  return "save" in hasher;
}

function unknownUpload(id: string): RegistryError {
  return new RegistryError("BLOB_UPLOAD_UNKNOWN", "no such upload session in this repository; start a new one", {
    id: id.slice(0, 100),
  });
}

function endedElsewhere(): RegistryError {
  return new RegistryError("BLOB_UPLOAD_UNKNOWN", "another request has ended this upload session; start a new one");
}

function isUnknownUpload(error: unknown): boolean {
  return error instanceof RegistryError && error.code === "BLOB_UPLOAD_UNKNOWN";
}
