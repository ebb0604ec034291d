/** Objects in this process's memory: for tests and for trying things out. Gone when it ends. */
import { randomUUID } from "node:crypto";
import {
  DraftGoneError,
  ObjectTooLargeError,
  PreconditionFailedError,
  type ByteRange,
  type Draft,
  type DraftStore,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type StoredObject,
  type WriteOptions,
} from "./driver.ts";
import { checkKey, checkPrefix } from "./key.ts";

interface Entry extends ObjectInfo {
  readonly bytes: Uint8Array;
}

interface MemoryDraft extends Draft {
  readonly prefix: string;
  readonly segments: readonly string[];
}

const PAGE = 1000;

export class MemoryDriver implements StorageDriver {
  readonly name = "inmemory";
  readonly drafts: DraftStore = new MemoryDrafts(this);
  readonly #objects = new Map<string, Entry>();
  #version = 0;

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    return this.#objects.get(key);
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry !== undefined && entry.size > limit) throw new ObjectTooLargeError(key, limit);
    return entry?.bytes;
  }

  async get(key: string, range?: ByteRange): Promise<StoredObject | undefined> {
    checkKey(key);
    const entry = this.#objects.get(key);
    if (entry === undefined) return undefined;
    const { size, etag, lastModified, bytes } = entry;
    return { size, etag, lastModified, body: range === undefined ? bytes : bytes.subarray(range.start, range.end + 1) };
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<{ etag: string }> {
    checkKey(key);
    const current = this.#objects.get(key);
    if (condition !== undefined) {
      const holds = "ifMatch" in condition ? current?.etag === condition.ifMatch : current === undefined;
      if (!holds) throw new PreconditionFailedError(key);
    }
    const etag = `"${++this.#version}"`;
    // A copy: `slice` of a Buffer would share its memory.
    this.#objects.set(key, { bytes: Uint8Array.from(bytes), size: bytes.byteLength, etag, lastModified: new Date() });
    return { etag };
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
    for (const [key, { size, lastModified }] of this.#objects) {
      if (!key.startsWith(prefix)) continue;
      const slash = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      const name = slash < 0 ? key : key.slice(0, slash + 1);
      if (name > startAfter) entries.set(name, slash < 0 ? { key, size, lastModified } : undefined);
    }
    const names = [...entries.keys()].sort();
    const page = names.slice(0, Math.min(limit, PAGE));
    const last = page.at(-1);
    return {
      objects: page.map((name) => entries.get(name)).filter((entry) => entry !== undefined),
      prefixes: page.filter((name) => entries.get(name) === undefined),
      ...(page.length < names.length && last !== undefined ? { next: last } : {}),
    };
  }
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
