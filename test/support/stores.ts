/** The storage drivers that the suites run on, each made anew for a test. */
import { isSharedFolder, isUploadKey } from "../../shared/registry/layout.ts";
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
    // The driver's own folders may stay, but nothing in them.
    residue: async () => (await everythingIn(folder)).filter((name) => !OWN_FOLDERS.test(name)),
    folder,
    close: async () => await removeFolder(folder),
  };
}

const OWN_FOLDERS = /^\.lading\/((tmp|claims|permits|trash)\/)?$/;

/** A driver over a folder, as a process of its own would have it. */
export function filesystemDriver(folder: string): FilesystemDriver {
  return new FilesystemDriver(folder, new MemoryBudget(64 * 1024 * 1024, 1000), isSharedFolder);
}

/** Each driver by its name, on a real disk. */
export const STORES_ON_DISK: readonly (readonly [name: string, make: StoreFactory])[] = [
  ["memory", memoryStore],
  ["filesystem", async () => await filesystemStore(temporaryFolder)],
];

/** What the suites count on that not every store does. */
export interface Abilities {
  /** A page of a listing has as many entries as were asked for, if there are so many. */
  readonly fullPages: boolean;
}

type NamedStore = readonly [name: string, make: StoreFactory, abilities: Abilities];

const LOCAL_STORES: readonly NamedStore[] = [
  ["memory", memoryStore, { fullPages: true }],
  ["filesystem", async () => await filesystemStore(fastTemporaryFolder), { fullPages: true }],
];

/** The S3 driver on real servers. It is loaded when one is made: the SDK takes its time. */
const S3_STORES: readonly NamedStore[] = [
  ["versitygw", async () => await (await import("./s3-stores.ts")).versitygwStore()(), { fullPages: true }],
  [
    "versitygw-uploads",
    async () => await (await import("./s3-stores.ts")).versitygwPairStore(isUploadKey)(),
    { fullPages: true },
  ],
  ["radosgw", async () => await (await import("./s3-stores.ts")).rgwStore()(), { fullPages: false }],
];

/**
 * Each driver by its name, where what is tested is not the driver: those that need no server, or those that
 * `LADING_TEST_STORES` names.
 */
export const STORES: readonly NamedStore[] = chosen(process.env["LADING_TEST_STORES"]);

function chosen(names: string | undefined): readonly NamedStore[] {
  if (names === undefined) return LOCAL_STORES;
  const known = new Map([...LOCAL_STORES, ...S3_STORES].map((store) => [store[0], store]));
  return names.split(",").map((name) => {
    const store = known.get(name);
    if (store === undefined) throw new Error(`LADING_TEST_STORES: ${name} is none of ${[...known.keys()].join(", ")}`);
    return store;
  });
}
