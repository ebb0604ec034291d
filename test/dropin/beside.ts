/** Lading and another registry over one folder. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import { startLading, type Lading } from "../support/lading.ts";
import { startPeer, type Peer, type PeerKind, type PeerOptions } from "../support/peers.ts";
import { scratchFolder } from "../support/scratch.ts";

export interface Beside {
  /** The one folder. */
  root: string;
  startOurs(): Promise<Lading>;
  startPeer(options?: Partial<PeerOptions>): Promise<Peer>;
  /** What the other registry's own commands need. */
  peerOptions(): PeerOptions;
}

/** A fresh folder for each test; what a test starts ends with it. */
export function beside(kind: PeerKind): Beside {
  let folder = "";
  let running: { stop(): Promise<void> }[] = [];
  const place: Beside = {
    root: "",
    startOurs: async () => {
      const own = path.join(folder, `ours-${running.length}`);
      await mkdir(own);
      const server = await startLading({ folder: own, root: place.root });
      running.push(server);
      return server;
    },
    startPeer: async (options = {}) => {
      const peer = await startPeer(kind, { ...place.peerOptions(), ...options });
      running.push(peer);
      return peer;
    },
    peerOptions: () => ({ root: place.root, folder }),
  };
  beforeEach(async () => {
    folder = await scratchFolder("dropin");
    place.root = path.join(folder, "root");
    await mkdir(place.root);
    running = [];
  });
  afterEach(async () => {
    const ended = await Promise.allSettled(running.map(async (server) => await server.stop()));
    await rm(folder, { recursive: true, force: true });
    for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
  });
  return place;
}
