/** The thread that hashes: takes the bytes that lie in the slots of the shared memory, in the order of the messages. */
import { createHash, type Hash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import type { DigestAlgorithm } from "./digest.ts";

/** What the thread is started with. */
export interface SlotMemory {
  readonly memory: SharedArrayBuffer;
  readonly slotBytes: number;
}

/** The first `length` bytes of a slot are the next of a body; without a slot, the body has ended. */
export interface HashOrder {
  readonly body: number;
  readonly algorithm: DigestAlgorithm;
  readonly slot?: number;
  readonly length?: number;
}

/** A slot is free again, or a body has this hash. */
export type HashAnswer = { readonly slot: number } | { readonly body: number; readonly hex: string };

const port = parentPort;
if (port === null) throw new Error("this file is a worker thread of the registry; it is not started by hand");
const { memory, slotBytes } = workerData as SlotMemory;
const hashes = new Map<number, Hash>();

port.on("message", ({ body, algorithm, slot, length }: HashOrder) => {
  const hash = hashes.get(body) ?? createHash(algorithm);
  if (slot === undefined) {
    hashes.delete(body);
    port.postMessage({ body, hex: hash.digest("hex") } satisfies HashAnswer);
  } else {
    hashes.set(body, hash.update(new Uint8Array(memory, slot * slotBytes, length)));
    port.postMessage({ slot } satisfies HashAnswer);
  }
});
