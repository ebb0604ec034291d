/** Objects in this process's memory: for tests and for trying things out. Gone when it ends. */
import { randomUUID } from "node:crypto";
import {
  DraftGoneError,
  ObjectTooLargeError,
  PERMIT_LIFETIME_MS,
  PreconditionFailedError,
  type ByteRange,
  type Draft,
  type DraftStore,
  type FencedDelete,
  type FencedDeletes,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type Look,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type StoredObject,
  type Trash,
  type WriteOptions,
  type Written,
} from "./driver.ts";
import { checkKey, checkPermitId, checkPrefix } from "./key.ts";

interface Entry extends Omit<ObjectInfo, "asOf"> {
  readonly bytes: Uint8Array;
}

/** How a store in memory differs from the usual. */
export interface MemoryOptions {
  /** The store's clock. Default: this machine's. */
  readonly now?: () => Date;
  /** Lifetime of a permit to delete. */
  readonly permitMs?: number;
}

interface MemoryDraft extends Draft {
  readonly prefix: string;
  readonly segments: readonly string[];
}

const PAGE = 1000;

export class MemoryDriver implements StorageDriver {
  readonly name = "inmemory";
  readonly drafts: DraftStore = new MemoryDrafts(this);
  readonly fenced: FencedDeletes;
  readonly #objects = new Map<string, Entry>();
  readonly #now: () => Date;
  #version = 0;

  constructor({ now = () => new Date(), permitMs = PERMIT_LIFETIME_MS }: MemoryOptions = {}) {
    this.#now = now;
    this.fenced = new MemoryFence(this.#objects, now, permitMs);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    return entry === undefined ? undefined : this.#infoOf(entry);
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry !== undefined && entry.size > limit) throw new ObjectTooLargeError(key, limit);
    return entry?.bytes;
  }

  async look(key: string, limit: number): Promise<Look> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry !== undefined && entry.size > limit) throw new ObjectTooLargeError(key, limit);
    const asOf = this.#now();
    return entry === undefined ? { asOf } : { asOf, object: { ...this.#infoOf(entry), bytes: entry.bytes } };
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry === undefined) return undefined;
    const { bytes } = entry;
    return { ...this.#infoOf(entry), body: range === undefined ? bytes : bytes.subarray(range.start, range.end + 1) };
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<Written> {
    checkKey(key);
    const current = this.#objects.get(key);
    if (condition !== undefined) {
      const holds = "ifMatch" in condition ? current?.etag === condition.ifMatch : current === undefined;
      if (!holds) throw new PreconditionFailedError(key);
    }
    const etag = `"${++this.#version}"`;
    const asOf = this.#now();
    // A copy: `slice` of a Buffer would share its memory.
    this.#objects.set(key, { bytes: Uint8Array.from(bytes), size: bytes.byteLength, etag, lastModified: asOf });
    return { etag, asOf };
  }

  async copy(from: string, to: string): Promise<boolean> {
    const bytes = await this.read(from, Infinity);
    if (bytes !== undefined) await this.put(to, bytes);
    return bytes !== undefined;
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#objects.delete(key);
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    keys.forEach(checkKey);
    for (const key of keys) this.#objects.delete(key);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    checkPrefix(prefix);
    const { delimiter, startAfter = "", limit = PAGE } = options;
    const entries = new Map<string, ListedObject | undefined>(); // undefined: a rolled-up prefix
    for (const [key, { size, lastModified, etag }] of this.#objects) {
      if (!key.startsWith(prefix)) continue;
      const slash = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      const name = slash < 0 ? key : key.slice(0, slash + 1);
      if (name > startAfter) entries.set(name, slash < 0 ? { key, size, lastModified, etag } : undefined);
    }
    const names = [...entries.keys()].sort();
    const page = names.slice(0, Math.min(limit, PAGE));
    const last = page.at(-1);
    return {
      objects: page.map((name) => entries.get(name)).filter((entry) => entry !== undefined),
      prefixes: page.filter((name) => entries.get(name) === undefined),
      asOf: this.#now(),
      ...(page.length < names.length && last !== undefined ? { next: last } : {}),
    };
  }

  #infoOf({ size, etag, lastModified }: Entry): ObjectInfo {
    return { size, etag, lastModified, asOf: this.#now() };
  }
}

/** Permits, and what was deleted with them. All is done in one turn of the event loop, so no request is ever late. */
class MemoryFence implements FencedDeletes {
  readonly lifetimeMs: number;
  readonly trash: Trash;
  readonly #objects: Map<string, Entry>;
  readonly #now: () => Date;
  readonly #open = new Set<string>();
  /** By the permit's id. */
  readonly #deleted = new Map<string, Map<string, Entry>>();

  constructor(objects: Map<string, Entry>, now: () => Date, lifetimeMs: number) {
    this.#objects = objects;
    this.#now = now;
    this.lifetimeMs = lifetimeMs;
    this.trash = {
      keeps: async () => true,
      runs: async () => [...new Set([...this.#deleted.keys()].map(runOf))].sort(),
      restore: async (items) => items.filter(({ key, id }) => !this.#restore(key, id)).map(({ key }) => key),
      empty: async (run) => {
        for (const id of this.#deleted.keys()) if (runOf(id) === run) this.#deleted.delete(id);
      },
    };
  }

  async isKept(): Promise<boolean> {
    return true;
  }

  async open(id: string): Promise<void> {
    checkPermitId(id);
    this.#open.add(id);
  }

  async delete(items: readonly FencedDelete[]): Promise<readonly string[]> {
    for (const { key } of items) checkKey(key);
    return items.filter((item) => !this.#delete(item)).map(({ key }) => key);
  }

  async revoke(id: string): Promise<void> {
    this.#open.delete(id);
  }

  async revokeExpired(): Promise<void> {
    // Each delete looks at the clock.
  }

  #delete({ key, permit: { id, since } }: FencedDelete): boolean {
    if (!this.#open.has(id) || this.#now().getTime() > since.getTime() + this.lifetimeMs) return false;
    const entry = this.#objects.get(key);
    if (entry === undefined) return true;
    const deleted = this.#deleted.get(id) ?? new Map<string, Entry>();
    this.#deleted.set(id, deleted.set(key, entry));
    return this.#objects.delete(key);
  }

  #restore(key: string, id: string): boolean {
    const entry = this.#deleted.get(id)?.get(key);
    if (this.#objects.has(key)) return true;
    if (entry !== undefined) this.#objects.set(key, { ...entry, lastModified: this.#now() });
    return entry !== undefined;
  }
}

function runOf(id: string): string {
  return id.slice(0, id.indexOf("/"));
}

class MemoryDrafts implements DraftStore {
  readonly #driver: MemoryDriver;

  constructor(driver: MemoryDriver) {
    this.#driver = driver;
  }

  async write(key: string, body: AsyncIterable<Uint8Array>, { verify }: WriteOptions): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    await verify();
    await this.#driver.put(key, Buffer.concat(chunks));
  }

  begin(prefix: string): MemoryDraft {
    checkPrefix(prefix);
    return { size: 0, prefix, segments: [] };
  }

  async append(draft: Draft, body: AsyncIterable<Uint8Array>): Promise<MemoryDraft> {
    const { size, prefix, segments } = draft as MemoryDraft;
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (bytes.byteLength === 0) return draft as MemoryDraft;
    const key = `${prefix}${randomUUID()}`;
    await this.#driver.put(key, bytes);
    return { size: size + bytes.byteLength, prefix, segments: [...segments, key] };
  }

  async *read(draft: Draft): AsyncGenerator<Uint8Array> {
    for (const key of (draft as MemoryDraft).segments) {
      const bytes = await this.#driver.read(key, Infinity);
      if (bytes === undefined) throw new DraftGoneError();
      yield bytes;
    }
  }

  async publish(draft: Draft, key: string): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(draft)) chunks.push(chunk);
    await this.#driver.put(key, Buffer.concat(chunks));
    if (chunks.length === 1) await this.#driver.deleteMany(this.keysOf(draft)); // as a folder does, where this is a rename
  }

  keysOf(draft: Draft): readonly string[] {
    return (draft as MemoryDraft).segments;
  }
}
