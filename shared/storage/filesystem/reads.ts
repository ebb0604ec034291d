/**
 * The reads that the driver is made of, as a value that can cross a thread: what is asked, and what comes back.
 * `undefined` in an answer's place means that there is no such file.
 */
import fs from "node:fs";
import path from "node:path";

/** One read. Paths are absolute. */
export type ReadRequest =
  /** Size and version of a file. */
  | readonly [op: "stat", file: string]
  /** A whole file of at most `limit` bytes; false for a larger one. */
  | readonly [op: "read", file: string, limit: number]
  /** The same, with its version and when that was so. */
  | readonly [op: "look", file: string, limit: number]
  /** Size and version of a file, and its bytes from `start` to `end` (excluded) if those are at most `limit`. */
  | readonly [op: "get", file: string, start: number, end: number, limit: number]
  /** What lies in a folder: its files, and its folders with a slash, in the order that their keys have. Links are followed. */
  | readonly [op: "names", folder: string];

/** `asOfMs` is when the file was looked at. */
export type FileInfo = readonly [size: number, modifiedMs: number, etag: string, asOfMs: number];

/** Few bytes travel between threads as a latin-1 string, which costs a fraction of what an array does. */
export type Bytes = string | Uint8Array<ArrayBuffer>;

export interface ReadAnswers {
  stat: FileInfo | undefined;
  read: Bytes | false | undefined;
  look: { readonly asOfMs: number; readonly found?: { readonly info: FileInfo; readonly bytes: Bytes } } | false;
  get: { readonly info: FileInfo; readonly bytes?: Bytes } | undefined;
  /** One string, since a thousand cost a hundred times as much: names end in a newline. */
  names: string;
}

const FIRST_READ_BYTES = 16 * 1024;
const STRING_BYTES = 8 * 1024;

/** Does a read, synchronously: for a thread that does nothing else. Throws what the file system throws. */
export function readNow(request: ReadRequest): ReadAnswers[keyof ReadAnswers] {
  switch (request[0]) {
    case "stat":
      return statNow(request[1]);
    case "read":
      return withFile(request[1], (fd) => readWhole(fd, request[2]));
    case "look":
      return look(request[1], request[2]);
    case "get": {
      const [, file, start, end, limit] = request;
      return withFile(file, (fd) => readRange(fd, start, end, limit));
    }
    case "names":
      return namesIn(request[1]);
  }
}

/** Version of a file: every write makes a new one, so inode and time tell any two versions apart. */
export function etagOf({ mtimeNs, ino, size }: fs.BigIntStats): string {
  return `"${mtimeNs.toString(36)}-${ino.toString(36)}-${size.toString(36)}"`;
}

/** Is this the file system's word for "there is no such file"? */
export function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR";
}

function infoOf(stats: fs.BigIntStats): FileInfo {
  return [Number(stats.size), Number(stats.mtimeMs), etagOf(stats), Date.now()];
}

function statNow(file: string): FileInfo | undefined {
  try {
    const stats = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
    return stats?.isFile() === true ? infoOf(stats) : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function withFile<T>(file: string, work: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = fs.openSync(file, "r");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  try {
    return work(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const first = Buffer.allocUnsafeSlow(FIRST_READ_BYTES);

function readWhole(fd: number, limit: number): Bytes | false | undefined {
  try {
    // Nearly everything fits: then a short read has shown the end, and the size need not be asked for.
    const bytesRead = fs.readSync(fd, first, 0, FIRST_READ_BYTES, 0);
    if (bytesRead > limit) return false;
    if (bytesRead < FIRST_READ_BYTES) return pack(first, bytesRead);
    const { size } = fs.fstatSync(fd);
    return size > limit ? false : readExactly(fd, 0, size);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EISDIR") return undefined;
    throw error;
  }
}

function look(file: string, limit: number): ReadAnswers["look"] {
  const read = withFile(file, (fd) => readRange(fd, 0, limit + 1, limit));
  if (read === undefined) return { asOfMs: Date.now() };
  const { info, bytes } = read;
  return bytes === undefined ? false : { asOfMs: info[3], found: { info, bytes } };
}

function readRange(fd: number, start: number, wantedEnd: number, limit: number): ReadAnswers["get"] {
  const stats = fs.fstatSync(fd, { bigint: true });
  if (!stats.isFile()) return undefined;
  const info = infoOf(stats);
  const end = Math.min(wantedEnd, info[0]);
  if (end - start > limit) return { info };
  if (end - start > FIRST_READ_BYTES) return { info, bytes: readExactly(fd, start, end) };
  const length = Math.max(0, end - start);
  if (fs.readSync(fd, first, 0, length, start) !== length) throw new Error("the file became shorter while it was read");
  return { info, bytes: pack(first, length) };
}

function readExactly(fd: number, start: number, end: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.byteLength;) {
    const bytesRead = fs.readSync(fd, bytes, done, bytes.byteLength - done, start + done);
    if (bytesRead === 0) throw new Error("the file became shorter while it was read");
    done += bytesRead;
  }
  return bytes;
}

function pack(buffer: Buffer, length: number): Bytes {
  return length <= STRING_BYTES ? buffer.toString("latin1", 0, length) : new Uint8Array(buffer.subarray(0, length));
}

function namesIn(folder: string): string {
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error)) return "";
    throw error;
  }
  const names: string[] = [];
  for (const entry of entries) {
    const found = entry.isSymbolicLink() ? followed(folder, entry.name) : entry;
    if (found?.isDirectory() === true) names.push(`${entry.name}/\n`);
    else if (found?.isFile() === true) names.push(`${entry.name}\n`);
  }
  // The order of bytes with the slash counted: "a-b/" comes before "a/". Newline sorts before all else, as an end should.
  return names.sort().join("");
}

/**
 * What a symbolic link leads to, since every other read follows it; undefined where it is gone by now. Throws where it leads
 * nowhere, as to a disk that is not there, since what lay behind it is not absent, and where a listing would go in a circle.
 */
function followed(folder: string, name: string): fs.Stats | undefined {
  const link = `${folder}/${name}`;
  let stats: fs.Stats;
  try {
    stats = fs.statSync(link);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    if (fs.lstatSync(link, { throwIfNoEntry: false }) === undefined) return undefined;
    throw new Error(`the symbolic link ${link} leads nowhere`, { cause: error });
  }
  if (stats.isDirectory() && holds(fs.realpathSync(link), folder)) {
    throw new Error(`the symbolic link ${link} leads to a folder that it lies in`);
  }
  return stats;
}

/** Is a folder, or one on the way to it, in another, wherever links on this way lead? */
function holds(target: string, folder: string): boolean {
  const below = target.endsWith("/") ? target : `${target}/`;
  for (let current = folder; ; current = path.dirname(current)) {
    if (`${fs.realpathSync(current)}/`.startsWith(below)) return true;
    if (current === path.dirname(current)) return false;
  }
}
