import type { StorageDriver, StoragePart } from "./driver.ts";

/** Does the work, and whatever there is to do before and after. `operation`: its name, one of a fixed few. */
export type Around = <T>(operation: string, work: () => Promise<T>) => Promise<T>;

/** A driver that does all that the other can, each of its calls within `around`. */
export function withEach(driver: StorageDriver, around: Around): StorageDriver {
  const { drafts, fenced } = driver;
  const partOf = (part: StoragePart): StoragePart => ({
    delete: async (key) => await around("delete", async () => await part.delete(key)),
    deleteMany: async (keys) => await around("delete", async () => await part.deleteMany(keys)),
    list: async (prefix, options) => await around("list", async () => await part.list(prefix, options)),
  });
  return {
    ...partOf(driver),
    name: driver.name,
    head: async (key) => await around("head", async () => await driver.head(key)),
    read: async (key, limit) => await around("read", async () => await driver.read(key, limit)),
    look: async (key, limit) => await around("read", async () => await driver.look(key, limit)),
    get: async (key, range) => await around("get", async () => await driver.get(key, range)),
    put: async (key, bytes, condition) => await around("put", async () => await driver.put(key, bytes, condition)),
    ...(driver.copy === undefined
      ? {}
      : { copy: async (from, to) => await around("copy", async () => (await driver.copy?.(from, to)) ?? false) }),
    drafts: {
      write: async (key, body, options) => await around("write", async () => await drafts.write(key, body, options)),
      begin: (prefix) => drafts.begin(prefix),
      append: async (draft, body, length) =>
        await around("append", async () => await drafts.append(draft, body, length)),
      read: (draft) => drafts.read(draft),
      publish: async (draft, key) => await around("publish", async () => await drafts.publish(draft, key)),
      keysOf: (draft) => drafts.keysOf(draft),
    },
    fenced: {
      lifetimeMs: fenced.lifetimeMs,
      isKept: async () => await fenced.isKept(),
      open: async (id) => await around("permit", async () => await fenced.open(id)),
      delete: async (items) => await around("delete", async () => await fenced.delete(items)),
      revoke: async (id) => await around("permit", async () => await fenced.revoke(id)),
      revokeExpired: async () => await around("permit", async () => await fenced.revokeExpired()),
      ...(fenced.trash === undefined ? {} : { trash: fenced.trash }),
    },
    ...(driver.presigner === undefined ? {} : { presigner: driver.presigner }),
    ...(driver.parts === undefined ? {} : { parts: driver.parts.map(partOf) }),
    ...(driver.removeLeftovers === undefined
      ? {}
      : {
          removeLeftovers: async (ageMs, prefix) =>
            await around("leftovers", async () => await driver.removeLeftovers?.(ageMs, prefix)),
        }),
    ...(driver.close === undefined ? {} : { close: () => driver.close?.() }),
  };
}
