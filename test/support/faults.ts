/** A storage driver whose calls fail when they are told to. */
import { asError } from "../../shared/storage/as-error.ts";
import { DeletesFailedError, type StorageDriver } from "../../shared/storage/driver.ts";

/** One call to the driver, as a plan sees it before it is made. */
export interface PlannedCall {
  /** From 1. */
  readonly index: number;
  readonly operation:
    | "head"
    | "read"
    | "look"
    | "get"
    | "put"
    | "copy"
    | "delete"
    | "list"
    | "write"
    | "append"
    | "publish"
    | "open permit"
    | "fenced delete"
    | "revoke";
  readonly key: string;
}

/** Fail this call before it has any effect, or after all of it; or let it pass. */
export type Verdict = "before" | "after" | "pass";

/** The failure that calls end with where a plan names no other. It holds what no client may see. */
export class StorageFault extends Error {
  override readonly name = "StorageFault";
  constructor() {
    super("SECRET: i/o error on /var/lib/registry, token=hunter2");
  }
}

/** A driver that asks `plan` before each call, and waits for what it says. A deletion of many is as many deletes, so that it can end between two of them. */
export function withFaults(
  driver: StorageDriver,
  plan: (call: PlannedCall) => Verdict | Promise<Verdict>,
  failure: () => Error = () => new StorageFault(),
): StorageDriver {
  let index = 0;
  const run = async <T>(operation: PlannedCall["operation"], key: string, work: () => Promise<T>): Promise<T> => {
    const planned = plan({ index: ++index, operation, key });
    const verdict = typeof planned === "string" ? planned : await planned;
    if (verdict === "before") throw failure();
    const result = await work();
    if (verdict === "after") throw failure();
    return result;
  };
  const remove = async (key: string): Promise<void> => await run("delete", key, async () => await driver.delete(key));
  const { drafts, fenced } = driver;
  return {
    name: driver.name,
    head: async (key) => await run("head", key, async () => await driver.head(key)),
    read: async (key, limit) => await run("read", key, async () => await driver.read(key, limit)),
    look: async (key, limit) => await run("look", key, async () => await driver.look(key, limit)),
    get: async (key, range) => await run("get", key, async () => await driver.get(key, range)),
    put: async (key, bytes, condition) => await run("put", key, async () => await driver.put(key, bytes, condition)),
    delete: remove,
    ...(driver.copy === undefined
      ? {}
      : { copy: async (from, to) => await run("copy", from, async () => (await driver.copy?.(from, to)) ?? false) }),
    deleteMany: async (keys) => {
      const failures: unknown[] = [];
      for (const key of keys) await remove(key).catch((error: unknown) => failures.push(error));
      if (failures.length > 0) throw failures[0];
    },
    list: async (prefix, options) => await run("list", prefix, async () => await driver.list(prefix, options)),
    drafts: {
      write: async (key, body, options) => await run("write", key, async () => await drafts.write(key, body, options)),
      begin: (prefix) => drafts.begin(prefix),
      append: async (draft, body, length) =>
        await run("append", "", async () => await drafts.append(draft, body, length)),
      read: (draft) => drafts.read(draft),
      publish: async (draft, key) => await run("publish", key, async () => await drafts.publish(draft, key)),
      keysOf: (draft) => drafts.keysOf(draft),
    },
    fenced: {
      lifetimeMs: fenced.lifetimeMs,
      isKept: async () => await fenced.isKept(),
      open: async (id) => await run("open permit", id, async () => await fenced.open(id)),
      delete: async (items) => {
        const refused: string[] = [];
        const failures = new Map<string, Error>();
        for (const item of items) {
          const deleted = run("fenced delete", item.key, async () => await fenced.delete([item]));
          await deleted.then(
            (late) => refused.push(...late),
            (error: unknown) => failures.set(item.key, asError(error)),
          );
        }
        if (failures.size > 0) throw new DeletesFailedError(failures, refused);
        return refused;
      },
      revoke: async (id) => await run("revoke", id, async () => await fenced.revoke(id)),
      revokeExpired: async () => await run("revoke", "", async () => await fenced.revokeExpired()),
      ...(fenced.trash === undefined ? {} : { trash: fenced.trash }),
    },
    ...(driver.presigner === undefined ? {} : { presigner: driver.presigner }),
    ...(driver.parts === undefined ? {} : { parts: driver.parts }),
  };
}

/** The process dies at a call: that one, before or after its effect, and all later ones fail. */
export function dyingAt(driver: StorageDriver, index: number, when: "before" | "after"): FaultyStore {
  return planned(driver, (call) => (call === index ? when : call > index ? "before" : "pass"));
}

/** One call fails, with a StorageFault where nothing else is named, and all others work. */
export function failingAt(
  driver: StorageDriver,
  index: number,
  when: "before" | "after",
  failure?: () => Error,
): FaultyStore {
  return planned(driver, (call) => (call === index ? when : "pass"), failure);
}

/** A driver with a plan, and what has come of it. */
export interface FaultyStore {
  readonly driver: StorageDriver;
  /** Calls so far, in words. */
  readonly calls: string[];
}

function planned(driver: StorageDriver, verdict: (index: number) => Verdict, failure?: () => Error): FaultyStore {
  const calls: string[] = [];
  return {
    calls,
    driver: withFaults(
      driver,
      ({ index, operation, key }) => {
        calls.push(`${operation} ${key.replace("docker/registry/v2/", "")}`);
        return verdict(index);
      },
      failure,
    ),
  };
}
