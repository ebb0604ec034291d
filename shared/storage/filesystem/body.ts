import type { MemoryBudget } from "../memory-budget.ts";
import { fdatasync, read, writev } from "./files.ts";

/** Chunks are gathered up to this many bytes, so that the disk sees few, large writes. */
const BATCH_BYTES = 1024 * 1024;

/** A batch is full with this many chunks too: of one byte each, they take hundreds of times their bytes. */
const BATCH_CHUNKS = 1024;

/** After this many bytes the disk is asked to begin, so that the final sync finds little left to do. */
const SYNC_EVERY_BYTES = 128 * 1024 * 1024;

/** A batch to which nothing was added for this long is written as it is. */
const STALL_MS = 1000;

/** Read size of downloads: large enough that the cost of a chunk does not matter. */
const READ_BYTES = 256 * 1024;

/**
 * Writes a body to a file, from `position` on; gives the bytes written. While one batch is written the next is received, so
 * a body never holds more than two, whatever its length; each is taken from the budget before it is gathered.
 */
export async function writeBody(
  fd: number,
  body: AsyncIterable<Uint8Array>,
  budget: MemoryBudget,
  position = 0,
): Promise<number> {
  const writer = new BatchWriter(fd, budget, position);
  try {
    for await (const chunk of body) await writer.add(chunk);
    return (await writer.end()) - position;
  } finally {
    // The caller closes the descriptor next: no write may still be using its number.
    await writer.settle();
  }
}

/** Gathers chunks into batches and writes one while the next is gathered. */
class BatchWriter {
  readonly #fd: number;
  readonly #budget: MemoryBudget;
  /** A client that stalls must not keep others from the memory that its unfinished batch holds. */
  readonly #stallTimer = setInterval(() => this.#flushStalled(), STALL_MS);
  #position: number;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #grewSinceTick = false;
  #isWriting = false;
  #writing: Promise<void> = Promise.resolve();
  #unsynced = 0;
  #syncing: Promise<void> | undefined;

  constructor(fd: number, budget: MemoryBudget, position: number) {
    this.#fd = fd;
    this.#budget = budget;
    this.#position = position;
  }

  async add(chunk: Uint8Array): Promise<void> {
    if (chunk.byteLength === 0) return;
    if (this.#batchBytes === 0) await this.#budget.take(BATCH_BYTES);
    this.#batch.push(chunk);
    this.#batchBytes += chunk.byteLength;
    this.#grewSinceTick = true;
    if (this.#batchBytes < BATCH_BYTES && this.#batch.length < BATCH_CHUNKS) return;
    await this.#writing;
    this.#flush();
  }

  /** Writes what is left; gives the position after the last byte. */
  async end(): Promise<number> {
    await this.#writing;
    this.#flush();
    await this.#writing;
    return this.#position;
  }

  /** Waits for all that was begun, failed or not, and gives back what the batch that will not be written holds. */
  async settle(): Promise<void> {
    clearInterval(this.#stallTimer);
    await Promise.allSettled([this.#writing, this.#syncing]);
    if (this.#batchBytes > 0) this.#budget.release(BATCH_BYTES);
    this.#batchBytes = 0;
  }

  #flushStalled(): void {
    if (!this.#grewSinceTick && !this.#isWriting) this.#flush();
    this.#grewSinceTick = false;
  }

  #flush(): void {
    if (this.#batchBytes === 0) return;
    const [batch, bytes] = [this.#batch, this.#batchBytes];
    this.#batch = [];
    this.#batchBytes = 0;
    // After the one before, and not if that failed: a gap must never be written over as if it were not there.
    this.#writing = this.#writeAfter(this.#writing, batch, bytes);
    this.#writing.catch(() => undefined); // whoever adds or ends next awaits it
  }

  async #writeAfter(previous: Promise<void>, batch: Uint8Array[], bytes: number): Promise<void> {
    this.#isWriting = true;
    try {
      await previous;
      await this.#write(batch, bytes);
    } finally {
      this.#isWriting = false;
      this.#budget.release(BATCH_BYTES);
    }
  }

  async #write(batch: Uint8Array[], bytes: number): Promise<void> {
    await writeAll(this.#fd, batch, bytes, this.#position);
    this.#position += bytes;
    this.#unsynced += bytes;
    if (this.#unsynced < SYNC_EVERY_BYTES || this.#syncing !== undefined) return;
    this.#unsynced = 0;
    this.#syncing = fdatasync(this.#fd).finally(() => (this.#syncing = undefined));
    this.#syncing.catch(() => undefined); // the final sync reports it
  }
}

async function writeAll(fd: number, chunks: Uint8Array[], bytes: number, position: number): Promise<void> {
  let rest: Uint8Array[] = chunks;
  let left = bytes;
  let at = position;
  for (;;) {
    const { bytesWritten } = await writev(fd, rest, at);
    left -= bytesWritten;
    if (left === 0) return;
    at += bytesWritten;
    rest = [Buffer.concat(rest).subarray(bytesWritten)];
  }
}

/** The bytes `start` to `end` (excluded) of an open file as a stream that closes it; reads only as fast as it is read. */
export function streamFile(
  fd: number,
  start: number,
  end: number,
  close: (fd: number) => void,
): ReadableStream<Uint8Array> {
  let position = start;
  let reading = false;
  let cancelled = false;
  let closed = false;
  // Once, and not during a read: the number may be another file's or socket's by then.
  const closeOnce = (): void => {
    if (closed) return;
    closed = true;
    close(fd);
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - position));
          reading = true;
          const { bytesRead } = await read(fd, buffer, 0, buffer.byteLength, position).finally(() => (reading = false));
          if (cancelled) {
            closeOnce();
            return;
          }
          if (bytesRead === 0) throw new Error("the file became shorter while it was read");
          position += bytesRead;
          controller.enqueue(buffer.subarray(0, bytesRead));
          if (position >= end) {
            closeOnce();
            controller.close();
          }
        } catch (error) {
          closeOnce();
          controller.error(error);
        }
      },
      cancel: () => {
        cancelled = true;
        if (!reading) closeOnce();
      },
    },
    { highWaterMark: 0 },
  );
}
