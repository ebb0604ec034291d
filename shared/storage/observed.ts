import type { StorageDriver, StoragePart } from "./driver.ts";

/** One call to a driver, when it has ended. */
export interface StorageCall {
  /** The operation's name: one of a fixed few. */
  readonly operation: string;
  readonly durationSeconds: number;
  readonly failed: boolean;
}

/** A driver that tells of each of its calls. A failed precondition is an answer, not a failure. */
export function observed(driver: StorageDriver, tell: (call: StorageCall) => void): StorageDriver {
  const timed = async <T>(operation: string, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    let failed = true;
    try {
      const result = await work();
      failed = false;
      return result;
    } catch (error) {
      failed = !(error instanceof Error && error.name === "PreconditionFailedError");
      throw error;
    } finally {
      tell({ operation, durationSeconds: (performance.now() - started) / 1000, failed });
    }
  };
  const { drafts, fenced } = driver;
  const observedPart = (part: StoragePart): StoragePart => ({
    delete: async (key) => await timed("delete", async () => await part.delete(key)),
    deleteMany: async (keys) => await timed("delete", async () => await part.deleteMany(keys)),
    list: async (prefix, options) => await timed("list", async () => await part.list(prefix, options)),
  });
  return {
    ...observedPart(driver),
    name: driver.name,
    head: async (key) => await timed("head", async () => await driver.head(key)),
    read: async (key, limit) => await timed("read", async () => await driver.read(key, limit)),
    look: async (key, limit) => await timed("read", async () => await driver.look(key, limit)),
    get: async (key, range) => await timed("get", async () => await driver.get(key, range)),
    put: async (key, bytes, condition) => await timed("put", async () => await driver.put(key, bytes, condition)),
    ...(driver.copy === undefined
      ? {}
      : { copy: async (from, to) => await timed("copy", async () => (await driver.copy?.(from, to)) ?? false) }),
    drafts: {
      write: async (key, body, options) => await timed("write", async () => await drafts.write(key, body, options)),
      begin: (prefix) => drafts.begin(prefix),
      append: async (draft, body, length) =>
        await timed("append", async () => await drafts.append(draft, body, length)),
      read: (draft) => drafts.read(draft),
      publish: async (draft, key) => await timed("publish", async () => await drafts.publish(draft, key)),
      keysOf: (draft) => drafts.keysOf(draft),
    },
    fenced: {
      lifetimeMs: fenced.lifetimeMs,
      isKept: async () => await fenced.isKept(),
      open: async (id) => await timed("permit", async () => await fenced.open(id)),
      delete: async (items) => await timed("delete", async () => await fenced.delete(items)),
      revoke: async (id) => await timed("permit", async () => await fenced.revoke(id)),
      revokeExpired: async () => await timed("permit", async () => await fenced.revokeExpired()),
      ...(fenced.trash === undefined ? {} : { trash: fenced.trash }),
    },
    ...(driver.presigner === undefined ? {} : { presigner: driver.presigner }),
    ...(driver.parts === undefined ? {} : { parts: driver.parts.map(observedPart) }),
    ...(driver.removeLeftovers === undefined
      ? {}
      : {
          removeLeftovers: async (ageMs, prefix) =>
            await timed("leftovers", async () => await driver.removeLeftovers?.(ageMs, prefix)),
        }),
    ...(driver.close === undefined ? {} : { close: () => driver.close?.() }),
  };
}
