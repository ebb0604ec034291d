import SonicBoom from "sonic-boom";
import type { LogDestination } from "./logger.ts";

/** A destination over a file descriptor. */
export interface LogOutput extends LogDestination {
  /** Lines lost so far: the reader is gone, or too slow for the buffer. */
  readonly dropped: number;
  /** Resolves when all that was written before has been handed to the system, or cannot be. Never rejects. */
  flush(): Promise<void>;
  /** Flushes, then closes the descriptor unless it is the process's standard output or error. Never rejects. */
  close(): Promise<void>;
}

/** How much may wait for a slow reader before lines are dropped, in bytes. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

/** How long a line waits for others to be written with: a write for each would cost more than the request it tells of. */
const BATCH_MS = 10;

/** Waiting lines are handed over at once when together they are this long, in UTF-16 units. */
const BATCH_LENGTH = 1024 * 1024;

/** How long closing, or the end of the process, waits for a reader that does not read, in milliseconds. */
const CLOSE_DEADLINE_MS = 2_000;

/** How often the last flush at exit tries again while the reader is slow; sonic-boom waits 100 ms between. */
const EXIT_RETRIES = 20;

/**
 * Lines to a file descriptor, asynchronously: a line never waits for the reader, and the lines of a few
 * milliseconds go together. What is left at the end of the process is written then. A reader that goes
 * away (EPIPE) ends the log, not the process; a full disk is tried again with the next line.
 *
 * @param fd 2, standard error, by default; any open descriptor that may be written to
 */
export function openLogDestination(fd = 2): LogOutput {
  let dropped = 0;
  let broken = false;
  let exiting = false;
  let exitRetries = 0;
  const retryEAGAIN = (): boolean => !exiting || ++exitRetries <= EXIT_RETRIES;
  const stream = new SonicBoom({ fd, sync: false, maxLength: MAX_BUFFERED_BYTES, retryEAGAIN });
  stream.on("drop", (lines: string) => {
    dropped += countLines(lines);
  });
  stream.on("error", (error: Error) => {
    const code = "code" in error ? error.code : undefined;
    if (code !== "EPIPE" && code !== "EBADF" && code !== "ECONNRESET") return;
    broken = true;
    stream.destroy();
  });

  /** Lines that wait to be handed over together. */
  let batch = "";
  const handOver = (): void => {
    const lines = batch;
    batch = "";
    if (lines === "") return;
    if (broken) dropped += countLines(lines);
    else stream.write(lines);
  };

  const flushAtExit = (): void => {
    exiting = true;
    if (broken) return;
    try {
      stream.flushSync();
      // Not by `stream`, which would only begin to write them: what no thread has taken up by now Node never does.
      if (batch !== "") new SonicBoom({ fd, sync: true, retryEAGAIN }).write(batch);
    } catch {
      // Nobody is left to tell.
    }
  };
  process.on("exit", flushAtExit);

  const flush = async (): Promise<void> => {
    if (broken || closed !== undefined) return;
    handOver();
    await within(CLOSE_DEADLINE_MS, (done) => stream.flush(() => done()));
  };

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    handOver();
    if (!broken) {
      await within(CLOSE_DEADLINE_MS, (done) => {
        stream.once("close", done);
        stream.once("error", done);
        stream.end();
      });
      stream.destroy();
    }
    process.off("exit", flushAtExit);
  };

  return {
    write: (line) => {
      if (broken || closed !== undefined) {
        dropped++;
        return;
      }
      if (batch === "") setTimeout(handOver, BATCH_MS).unref();
      batch += line;
      if (batch.length >= BATCH_LENGTH) handOver();
    },
    get dropped() {
      return dropped;
    },
    flush,
    close: async () => {
      closed ??= close();
      await closed;
    },
  };
}

function countLines(text: string): number {
  return text.split("\n").length - 1;
}

/** Waits for `done`, but no longer than the deadline. */
async function within(deadlineMs: number, start: (done: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, deadlineMs);
    start(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
