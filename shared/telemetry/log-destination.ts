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

/**
 * A turn's lines are handed over before its end when they are this long, in UTF-16 units. Large, so that what is said
 * in the turn that ends the process is still here, to be written in order: a write that was begun cannot be waited for
 * then, and what follows it may overtake it.
 */
const BATCH_LENGTH = 1024 * 1024;

/** How long closing, or the end of the process, waits for a reader that does not read, in milliseconds. */
const CLOSE_DEADLINE_MS = 2_000;

/** How often the last flush at exit tries again while the reader is slow; sonic-boom waits 100 ms between. */
const EXIT_RETRIES = 20;

/**
 * Lines to a file descriptor, asynchronously: a line never waits for the reader, and the lines of one turn of the event
 * loop, or of the time another write takes, go together. What is left at the end of the process is written then. A reader that goes
 * away (EPIPE) ends the log, not the process; a full disk is tried again with the next line.
 *
 * @param fd 2, standard error, by default; any open descriptor that may be written to
 */
export function openLogDestination(fd = 2): LogOutput {
  let dropped = 0;
  let broken = false;
  let exiting = false;
  let exitRetries = 0;
  const stream = new SonicBoom({
    fd,
    sync: false,
    maxLength: MAX_BUFFERED_BYTES,
    retryEAGAIN: () => !exiting || ++exitRetries <= EXIT_RETRIES,
  });
  stream.on("drop", (lines: string) => {
    dropped += countLines(lines);
  });
  stream.on("error", (error: Error) => {
    const code = "code" in error ? error.code : undefined;
    if (code !== "EPIPE" && code !== "EBADF" && code !== "ECONNRESET") return;
    broken = true;
    stream.destroy();
  });

  /** Lines of this turn of the event loop: handing them over together is cheaper than one by one. */
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
      handOver();
      stream.flushSync();
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
      if (batch === "") setImmediate(handOver);
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
