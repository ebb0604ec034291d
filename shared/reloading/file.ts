import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import type { Reloading, ReloadingOptions, TextSource } from "./reloading.ts";

/** A text in a file. */
export function fileSource(path: string): TextSource {
  return { name: `file ${path}`, open: async (options) => await ReloadingFile.open({ path, ...options }) };
}

interface ReloadingFileOptions<T> extends ReloadingOptions<T> {
  readonly path: string;
}

/** A change within this time of a reading may share its time stamp with a second change: the clock of some file systems ticks that slowly. */
const RACY_MS = 2000n;
const NS_PER_MS = 1_000_000n;

/**
 * Keeps the parsed content of a file up to date without a restart, a timer or a watch (which miss the symlink swaps
 * of mounted secrets): `current()` asks the file system, asynchronously, each time. What cannot be used is told once for
 * each change.
 */
class ReloadingFile<T> implements Reloading<T> {
  readonly #options: ReloadingFileOptions<T>;
  #value: T;
  #text: string;
  /** Of the content that was looked at last, good or bad. */
  #signature: string;
  #settled: boolean;
  #complaint = "";
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  private constructor(options: ReloadingFileOptions<T>, reading: Reading) {
    this.#options = options;
    this.#value = options.parse(reading.text);
    this.#text = reading.text;
    this.#signature = reading.signature;
    this.#settled = reading.settled;
  }

  static async open<T>(options: ReloadingFileOptions<T>): Promise<ReloadingFile<T>> {
    return new ReloadingFile(options, await readStable(options.path, options.maxBytes));
  }

  /** The value of the file as it was when this was called, or later. */
  async current(): Promise<T> {
    await this.#refresh();
    return this.#value;
  }

  /** Shares one look at the file among callers, but only a look that begins after they called. */
  async #refresh(): Promise<void> {
    if (this.#running === undefined) {
      await this.#start();
      return;
    }
    this.#next ??= this.#running.then(async () => {
      this.#next = undefined;
      await (this.#running ?? this.#start());
    });
    await this.#next;
  }

  async #start(): Promise<void> {
    const look = this.#look().finally(() => {
      if (this.#running === look) this.#running = undefined;
    });
    this.#running = look;
    await look;
  }

  async #look(): Promise<void> {
    const { path, maxBytes, parse } = this.#options;
    let seen = "";
    try {
      seen = signatureOf(await stat(path, { bigint: true }));
      if (seen === this.#signature && this.#settled) return;
      const reading = await readStable(path, maxBytes);
      seen = reading.signature;
      if (reading.text !== this.#text) {
        const value = parse(reading.text);
        this.#value = value;
        this.#text = reading.text;
      }
      this.#signature = reading.signature;
      this.#settled = reading.settled;
      this.#complaint = "";
    } catch (error) {
      // A bad file is looked at again when it changes, and complained of once.
      this.#signature = seen;
      this.#settled = seen !== "" && isSettled(seen);
      const complaint = `${seen} ${String(error)}`;
      if (complaint === this.#complaint) return;
      this.#complaint = complaint;
      this.#options.onBadChange(error);
    }
  }
}

interface Reading {
  readonly text: string;
  readonly signature: string;
  readonly settled: boolean;
}

/** Reads the whole file, again if it changed meanwhile (`htpasswd` rewrites it in place). */
async function readStable(path: string, maxBytes: number): Promise<Reading> {
  // A FIFO would hold the open() and a thread of the process for good: O_NONBLOCK, and only a regular file is read.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    for (let attempt = 1; ; attempt++) {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) throw new Error("it is not a regular file");
      if (before.size > BigInt(maxBytes)) throw new Error(`it is larger than ${maxBytes} bytes`);
      const buffer = Buffer.allocUnsafe(Number(before.size));
      let length = 0;
      while (length < buffer.length) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      const signature = signatureOf(before);
      const same = signatureOf(await file.stat({ bigint: true })) === signature;
      if (same || attempt === 3) {
        return { text: buffer.toString("utf8", 0, length), signature, settled: same && isSettled(signature) };
      }
    }
  } finally {
    await file.close();
  }
}

function signatureOf(stats: BigIntStats): string {
  return [stats.ctimeNs, stats.mtimeNs, stats.size, stats.ino, stats.dev].map(String).join(" ");
}

/** Whether the last change is old enough that another one would show in the time stamps. */
function isSettled(signature: string): boolean {
  const changedMs = BigInt(signature.slice(0, signature.indexOf(" "))) / NS_PER_MS;
  const age = BigInt(Date.now()) - changedMs;
  return age > RACY_MS || age < -RACY_MS;
}
