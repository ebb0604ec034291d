/** What commands print: lines, and how far they are. */
import { createInterface } from "node:readline/promises";

/** Where a command prints to, and whom it asks. */
export interface Console {
  /** A line of what was asked for. */
  out(line: string): void;
  /** A line about the work. */
  err(line: string): void;
  /** How far the work is: `text`, with a bar where `share` (0 to 1) is known. Cheap where nobody sees it. */
  progress(text: string, share?: number): void;
  /** Takes the bar away. */
  endProgress(): void;
  /** Undefined where nobody can answer. */
  ask(question: string): Promise<string | undefined>;
}

const BAR = 30;
/** Of a terminal that does not say how many it has. */
const COLUMNS = 80;
/** Where there is no terminal, a line of progress is written no more often than this, and none before. In milliseconds. */
const PLAIN_MS = 30_000;

/** How a program ends whose reader has gone, as a shell has it: 128 and the number of SIGPIPE. */
export const READER_GONE = 141;

/**
 * The console of this process: results on standard output, all else on standard error. Where nobody reads one of them any
 * more (`| head`), `onReaderGone` is called, each time that something was to be written; unless told otherwise the process
 * ends then, quietly.
 */
export function processConsole(onReaderGone: () => void = () => process.exit(READER_GONE)): Console {
  const { stdin, stdout, stderr } = process;
  for (const stream of [stdout, stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      onReaderGone();
    });
  }
  let isShown = false;
  let lastText = "";
  let lastAt = performance.now();
  const clear = (): void => {
    if (isShown) stderr.write("\r\u001b[K");
    isShown = false;
  };
  return {
    out: (line) => {
      clear();
      stdout.write(`${line}\n`);
    },
    err: (line) => {
      clear();
      stderr.write(`${line}\n`);
    },
    progress: (text, share) => {
      if (stderr.isTTY) {
        const full = Math.round((share ?? 0) * BAR);
        const bar = share === undefined ? "" : `[${"#".repeat(full)}${".".repeat(BAR - full)}] `;
        stderr.write(`\r\u001b[K${cutTo(stderr.columns, `${bar}${text}`)}`);
        isShown = true;
        return;
      }
      const now = performance.now();
      if (text === lastText || now - lastAt < PLAIN_MS) return;
      [lastText, lastAt] = [text, now];
      stderr.write(`${text}\n`);
    },
    endProgress: clear,
    ask: async (question) => {
      if (!stdin.isTTY || !stderr.isTTY) return undefined;
      const lines = createInterface({ input: stdin, output: stderr });
      try {
        return await lines.question(question);
      } finally {
        lines.close();
      }
    },
  };
}

/** What fits in a line of a terminal, with its cursor behind. Of one that says that it has 0 columns nothing is known. */
export function cutTo(columns: number, text: string): string {
  return text.slice(0, (columns === 0 ? COLUMNS : columns) - 1);
}

/** `1 blob`, `2 blobs`, `2 repositories`. */
export function countOf(count: number, what: string): string {
  if (count === 1) return `1 ${what}`;
  return `${count} ${what.endsWith("y") ? `${what.slice(0, -1)}ies` : `${what}s`}`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** A size as people say it, in powers of 1,000: `12.3 MB`. */
export function sizeOf(bytes: number): string {
  let size = bytes;
  let unit = 0;
  for (; size >= 999.95 && unit < UNITS.length - 1; unit++) size /= 1000;
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/** Rows under a head, in columns as wide as they have to be; numbers to the right. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => {
        const isNumber = /^[\d.]+(?: [kMGTP]?B)?$/.test(cell);
        return isNumber ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
      })
      .join("  ")
      .trimEnd(),
  );
}
