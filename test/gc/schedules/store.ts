/**
 * A store whose calls wait until they are let go, as a bucket or as a folder: ETags follow from the content, permits to delete
 * end by the clock (bucket) or by being revoked (folder), and what a run deleted comes back with its old age (bucket).
 */
import { createHash, randomUUID } from "node:crypto";
import { asError } from "../../../shared/storage/as-error.ts";
import {
  DeletesFailedError,
  DraftGoneError,
  ObjectTooLargeError,
  PreconditionFailedError,
  type Draft,
  type FencedDelete,
  type FencedDeletes,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type Written,
} from "../../../shared/storage/driver.ts";

export type Backend = "bucket" | "folder";

/** A call that waits. */
export interface Call {
  readonly operation: string;
  readonly key: string;
  /** What is written. */
  readonly bytes?: Uint8Array;
  readonly isConditional?: boolean;
}

/** Lets a call take effect when its time has come. */
export type Gate = <T>(call: Call, effect: () => T) => Promise<T>;

interface Entry {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly modified: number;
}

/** What it holds, and its clock. All is done at once when it is called. */
export class Store {
  /** Milliseconds since 1970. */
  time = Date.parse("2026-01-01T00:00:00Z");
  readonly objects = new Map<string, Entry>();
  readonly #backend: Backend;
  readonly #permitMs: number;
  /** In a folder: permits that nobody has ended, and when they were opened. */
  readonly #open = new Map<string, number>();
  readonly #deleted = new Map<string, Map<string, Entry>>();

  constructor(backend: Backend, permitMs: number) {
    this.#backend = backend;
    this.#permitMs = permitMs;
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition): Written {
    const current = this.objects.get(key);
    if (condition !== undefined) {
      const holds = "ifMatch" in condition ? current?.etag === condition.ifMatch : current === undefined;
      if (!holds) throw new PreconditionFailedError(key);
    }
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    this.objects.set(key, { bytes: Uint8Array.from(bytes), etag, modified: this.time });
    return { etag, asOf: this.now() };
  }

  list(prefix: string, { delimiter, startAfter = "", limit = 1000 }: ListOptions = {}): ListPage {
    const entries = new Map<string, ListedObject | undefined>();
    for (const [key, { bytes, etag, modified }] of this.objects) {
      if (!key.startsWith(prefix)) continue;
      const slash = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length);
      const name = slash < 0 ? key : key.slice(0, slash + 1);
      const object = { key, etag, size: bytes.byteLength, lastModified: new Date(modified) };
      if (name > startAfter) entries.set(name, slash < 0 ? object : undefined);
    }
    const names = [...entries.keys()].sort();
    const page = names.slice(0, limit);
    const last = page.at(-1);
    return {
      objects: page.map((name) => entries.get(name)).filter((entry) => entry !== undefined),
      prefixes: page.filter((name) => entries.get(name) === undefined),
      asOf: this.now(),
      ...(page.length < names.length && last !== undefined ? { next: last } : {}),
    };
  }

  info(key: string): ObjectInfo | undefined {
    const entry = this.objects.get(key);
    if (entry === undefined) return undefined;
    const { bytes, etag, modified } = entry;
    return { size: bytes.byteLength, etag, lastModified: new Date(modified), asOf: this.now() };
  }

  bytes(key: string, limit = Infinity): Uint8Array | undefined {
    const bytes = this.objects.get(key)?.bytes;
    if (bytes !== undefined && bytes.byteLength > limit) throw new ObjectTooLargeError(key, limit);
    return bytes;
  }

  text(key: string): string | undefined {
    const bytes = this.objects.get(key)?.bytes;
    return bytes === undefined ? undefined : Buffer.from(bytes).toString();
  }

  now(): Date {
    return new Date(this.time);
  }

  openPermit(id: string): void {
    this.#open.set(id, this.time);
  }

  /** A bucket cannot be told. */
  revoke(id: string): void {
    if (this.#backend === "folder") this.#open.delete(id);
  }

  revokeExpired(): void {
    if (this.#backend === "bucket") return;
    for (const [id, opened] of this.#open) if (this.time - opened > this.#permitMs) this.#open.delete(id);
  }

  /** False: the permit is over. */
  deleteWith({ key, permit: { id, since } }: FencedDelete): boolean {
    const isOver = this.#backend === "bucket" ? this.time > since.getTime() + this.#permitMs : !this.#open.has(id);
    if (isOver) return false;
    const entry = this.objects.get(key);
    if (entry === undefined) return true;
    const deleted = this.#deleted.get(id) ?? new Map<string, Entry>();
    this.#deleted.set(id, deleted.set(key, entry));
    return this.objects.delete(key);
  }

  /** False: it is neither there nor kept. */
  restore(key: string, id: string): boolean {
    if (this.objects.has(key)) return true;
    const entry = this.#deleted.get(id)?.get(key);
    if (entry === undefined) return false;
    this.objects.set(key, this.#backend === "bucket" ? entry : { ...entry, modified: this.time });
    return true;
  }

  get permitMs(): number {
    return this.#permitMs;
  }
}

interface SimulatedDraft extends Draft {
  readonly prefix: string;
  readonly segments: readonly string[];
}

/** A driver to the store; each of its calls goes through the gate. */
export function driverTo(store: Store, gate: Gate): StorageDriver {
  const remove = async (key: string): Promise<void> => {
    await gate({ operation: "delete", key }, () => store.objects.delete(key));
  };
  const fenced: FencedDeletes = {
    lifetimeMs: store.permitMs,
    isKept: async () => true,
    open: async (id) => {
      await gate({ operation: "open permit", key: id }, () => {
        store.openPermit(id);
      });
    },
    delete: async (items) => {
      const sent = items.map(async (item) =>
        (await gate({ operation: "fenced delete", key: item.key }, () => store.deleteWith(item))) ? [] : [item.key],
      );
      const answers = await Promise.allSettled(sent);
      const refused = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
      const failures = new Map<string, Error>();
      answers.forEach((answer, index) => {
        if (answer.status === "rejected") failures.set(items[index]?.key ?? "", asError(answer.reason));
      });
      if (failures.size > 0) throw new DeletesFailedError(failures, refused);
      return refused;
    },
    revoke: async (id) => {
      await gate({ operation: "revoke", key: id }, () => {
        store.revoke(id);
      });
    },
    revokeExpired: async () => {
      await gate({ operation: "revoke expired", key: "" }, () => {
        store.revokeExpired();
      });
    },
    trash: {
      keeps: async () => true,
      runs: async () => [],
      restore: async (items) => {
        const gone: string[] = [];
        for (const { key, id } of items) {
          if (!(await gate({ operation: "restore", key }, () => store.restore(key, id)))) gone.push(key);
        }
        return gone;
      },
      empty: async () => undefined,
    },
  };
  const publish = async (operation: string, key: string, bytes: Uint8Array): Promise<void> => {
    await gate({ operation, key, bytes }, () => store.put(key, bytes));
  };
  return {
    name: "simulated",
    head: async (key) => await gate({ operation: "head", key }, () => store.info(key)),
    read: async (key, limit) => await gate({ operation: "read", key }, () => store.bytes(key, limit)),
    look: async (key, limit) =>
      await gate({ operation: "look", key }, () => {
        const [info, bytes] = [store.info(key), store.bytes(key, limit)];
        return { asOf: store.now(), ...(info && bytes ? { object: { ...info, bytes } } : {}) };
      }),
    get: async (key, range) =>
      await gate({ operation: "get", key }, () => {
        const [info, bytes] = [store.info(key), store.bytes(key)];
        if (info === undefined || bytes === undefined) return undefined;
        return { ...info, body: range === undefined ? bytes : bytes.subarray(range.start, range.end + 1) };
      }),
    put: async (key, bytes, condition) => {
      const call = { operation: "put", key, bytes, isConditional: condition !== undefined };
      return await gate(call, () => store.put(key, bytes, condition));
    },
    delete: remove,
    deleteMany: async (keys) => {
      for (const key of keys) await remove(key);
    },
    list: async (prefix, options) => await gate({ operation: "list", key: prefix }, () => store.list(prefix, options)),
    drafts: {
      write: async (key, body, { verify }) => {
        const bytes = await gathered(body);
        await verify();
        await publish("write", key, bytes);
      },
      begin: (prefix): SimulatedDraft => ({ size: 0, prefix, segments: [] }),
      append: async (draft, body) => {
        const { size, prefix, segments } = draft as SimulatedDraft;
        const bytes = await gathered(body);
        const key = `${prefix}${randomUUID()}`;
        if (bytes.byteLength > 0) await publish("append", key, bytes);
        return bytes.byteLength === 0 ? draft : { size: size + bytes.byteLength, prefix, segments: [...segments, key] };
      },
      read: async function* (draft) {
        for (const key of (draft as SimulatedDraft).segments) {
          const bytes = await gate({ operation: "read", key }, () => store.bytes(key));
          if (bytes === undefined) throw new DraftGoneError();
          yield bytes;
        }
      },
      publish: async (draft, key) => {
        const { segments } = draft as SimulatedDraft;
        await gate({ operation: "publish", key }, () => {
          const parts = segments.map((segment) => store.bytes(segment));
          if (parts.includes(undefined)) throw new DraftGoneError();
          store.put(key, Buffer.concat(parts.filter((part) => part !== undefined)));
          if (segments.length === 1) for (const segment of segments) store.objects.delete(segment); // as a rename
        });
      },
      keysOf: (draft) => (draft as SimulatedDraft).segments,
    },
    fenced,
  };
}

async function gathered(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
