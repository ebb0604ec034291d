/** Lading and another registry over one storage. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import { runLading, startLading, type Lading, type LadingOptions } from "../support/lading.ts";
import { PEERS, startPeer, type Peer, type PeerKind, type PeerOptions } from "../support/peers.ts";
import type { Finished } from "../support/process.ts";
import { scratchFolder } from "../support/scratch.ts";
import { STORAGES, type Storage, type StorageKind } from "../support/storage.ts";

/** Which storage, and which other registry over it. */
export interface Pair {
  readonly name: string;
  readonly peer: PeerKind;
  readonly storage: StorageKind;
  /** 2.8 completes a multipart upload without parts then, which S3 refuses. */
  readonly storesEmptyBlobs: boolean;
}

/** Every storage with every other registry. */
export const PAIRS: readonly Pair[] = STORAGES.flatMap((storage) =>
  PEERS.map((peer) => ({
    name: `${storage.name}, ${peer.name}`,
    peer,
    storage,
    storesEmptyBlobs: storage.on === "folder" || peer.storesEmptyBlobsOnS3,
  })),
);

export interface Beside {
  /** The one storage. */
  readonly storage: Storage;
  start(): Promise<[ours: Lading, peer: Peer]>;
  startOurs(options?: Partial<LadingOptions>): Promise<Lading>;
  startPeer(options?: Partial<PeerOptions>): Promise<Peer>;
  /** A command of ours over the storage, to its end. */
  run(...args: readonly string[]): Promise<Finished>;
  /** What the other registry's own commands need. */
  peerOptions(): PeerOptions;
}

/** A fresh storage for each test; what a test starts ends with it. */
export function beside(pair: Pair): Beside {
  let folder = "";
  let storage: Storage | undefined;
  let running: { stop(): Promise<void> }[] = [];
  let started = 0;
  const current = (): Storage => {
    if (storage === undefined) throw new Error("there is a storage only while a test runs");
    return storage;
  };
  const place: Beside = {
    get storage() {
      return current();
    },
    start: async () => {
      const [ours, peer] = await Promise.allSettled([place.startOurs(), place.startPeer()]);
      if (ours.status === "rejected") throw ours.reason;
      if (peer.status === "rejected") throw peer.reason;
      return [ours.value, peer.value];
    },
    startOurs: async (options = {}) => {
      const own = path.join(folder, `ours-${started++}`);
      await mkdir(own);
      const server = await startLading({ folder: own, ...current().location, ...options });
      running.push(server);
      return server;
    },
    startPeer: async (options = {}) => {
      const peer = await startPeer(pair.peer, { ...place.peerOptions(), ...options });
      running.push(peer);
      return peer;
    },
    run: async (...args) => await runLading({ ...current().location, folder }, ...args),
    peerOptions: () => ({ ...current().location, folder }),
  };
  beforeEach(async () => {
    folder = await scratchFolder("dropin");
    storage = await pair.storage.make();
    running = [];
  });
  afterEach(async () => {
    const ended = await Promise.allSettled(running.map(async (server) => await server.stop()));
    await storage?.close();
    storage = undefined;
    await rm(folder, { recursive: true, force: true });
    for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
  });
  return place;
}
