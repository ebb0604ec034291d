/** The storage drivers that the suites run on, each made anew for a test. */
import { FilesystemDriver } from "../../shared/storage/filesystem/driver.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { everythingIn, fastTemporaryFolder, removeFolder, temporaryFolder } from "./temp.ts";

/** An empty store. */
export interface TestStore {
  readonly driver: StorageDriver;
  /** Another process's view of the same store. */
  peer(): StorageDriver;
  /** What lies in the store beside objects, as names. */
  residue(): Promise<string[]>;
  /** The folder where there is one. */
  readonly folder: string | undefined;
  close(): Promise<void>;
}

/** Makes an empty store. */
export type StoreFactory = () => Promise<TestStore>;

async function memoryStore(): Promise<TestStore> {
  const driver = new MemoryDriver();
  return {
    driver,
    peer: () => driver,
    residue: async () => [],
    folder: undefined,
    close: async () => undefined,
  };
}

async function filesystemStore(makeFolder: () => Promise<string>): Promise<TestStore> {
  const folder = await makeFolder();
  return {
    driver: filesystemDriver(folder),
    peer: () => filesystemDriver(folder),
    // The driver's own two folders may stay, but nothing in them.
    residue: async () =>
      (await everythingIn(folder)).filter((name) => ![".lading/", ".lading/tmp/", ".lading/claims/"].includes(name)),
    folder,
    close: async () => await removeFolder(folder),
  };
}

/** A driver over a folder, as a process of its own would have it. */
export function filesystemDriver(folder: string): FilesystemDriver {
  return new FilesystemDriver(folder, new MemoryBudget(64 * 1024 * 1024, 1000));
}

/** Each driver by its name, on a real disk. */
export const STORES_ON_DISK: readonly (readonly [name: string, make: StoreFactory])[] = [
  ["memory", memoryStore],
  ["filesystem", async () => await filesystemStore(temporaryFolder)],
];

/** Each driver by its name, where what is tested is not the driver. */
export const STORES: readonly (readonly [name: string, make: StoreFactory])[] = [
  ["memory", memoryStore],
  ["filesystem", async () => await filesystemStore(fastTemporaryFolder)],
];
