import type { MemoryBudget } from "../memory-budget.ts";
import { fdatasync, read, writev } from "./files.ts";

/** Chunks are gathered up to this many bytes, so that the disk sees few, large writes. */
const BATCH_BYTES = 1024 * 1024;

/** After this many bytes the disk is asked to begin, so that the final sync finds little left to do. */
const SYNC_EVERY_BYTES = 128 * 1024 * 1024;

/** Read size of downloads: large enough that the cost of a chunk does not matter. */
const READ_BYTES = 256 * 1024;

/**
 * Writes a body to a file, from `position` on; gives the bytes written. While one batch is written the next is received, so
 * a body never holds more than two, whatever its length; those are taken from the budget first.
 */
export async function writeBody(
  fd: number,
  body: AsyncIterable<Uint8Array>,
  budget: MemoryBudget,
  position = 0,
): Promise<number> {
  await budget.take(2 * BATCH_BYTES);
  let written = position;
  let unsynced = 0;
  let batch: Uint8Array[] = [];
  let batchBytes = 0;
  let writing: Promise<void> = Promise.resolve();
  let syncing: Promise<void> | undefined;

  const flush = async (chunks: Uint8Array[], bytes: number, at: number): Promise<void> => {
    await writeAll(fd, chunks, bytes, at);
    unsynced += bytes;
    if (unsynced < SYNC_EVERY_BYTES || syncing !== undefined) return;
    unsynced = 0;
    syncing = fdatasync(fd).finally(() => (syncing = undefined));
    syncing.catch(() => undefined); // the final sync reports it
  };

  try {
    for await (const chunk of body) {
      batch.push(chunk);
      batchBytes += chunk.byteLength;
      if (batchBytes < BATCH_BYTES) continue;
      await writing;
      writing = flush(batch, batchBytes, written);
      writing.catch(() => undefined); // awaited with the next batch, or below
      written += batchBytes;
      batch = [];
      batchBytes = 0;
    }
    await writing;
    if (batchBytes > 0) await flush(batch, batchBytes, written);
    return written + batchBytes - position;
  } finally {
    // The caller closes the descriptor next: no write may still be using its number.
    await Promise.allSettled([writing, syncing]);
    budget.release(2 * BATCH_BYTES);
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
