import { randomUUID } from "node:crypto";
import path from "node:path";
import { DraftGoneError, type Draft, type DraftStore, type WriteOptions } from "../driver.ts";
import { checkPrefix } from "../key.ts";
import type { MemoryBudget } from "../memory-budget.ts";
import { writeBody } from "./body.ts";
import {
  asStorageFault,
  close,
  closeQuietly,
  fsync,
  moveInto,
  open,
  openForWrite,
  prune,
  read,
  remove,
  syncFolder,
  type FolderRule,
  unlink,
} from "./files.ts";
import { isAbsent } from "./reads.ts";

/** Each append is a file of its own below the draft's prefix. */
interface FileDraft extends Draft {
  readonly prefix: string;
  readonly segments: readonly string[];
}

export interface DraftFolder {
  /** Which folders stay when they are empty. */
  readonly stays: FolderRule;
  /** The file of a key. */
  pathOf(key: string): string;
  /** A fresh file that no listing shows. */
  temporary(): string;
}

const CONCAT_BYTES = 1024 * 1024;

/**
 * Drafts as files. The usual draft has one segment, and publishing it is a rename: the bytes are written once, where they
 * stay. Several segments are joined into one file first.
 */
export class FileDrafts implements DraftStore {
  readonly #folder: DraftFolder;
  readonly #budget: MemoryBudget;

  constructor(folder: DraftFolder, budget: MemoryBudget) {
    this.#folder = folder;
    this.#budget = budget;
  }

  async write(key: string, body: AsyncIterable<Uint8Array>, { verify }: WriteOptions): Promise<void> {
    const temporary = this.#folder.temporary();
    await this.#writeFile(temporary, body);
    try {
      await verify();
      await asStorageFault(async () => await moveInto(temporary, this.#folder.pathOf(key)));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  begin(prefix: string): FileDraft {
    checkPrefix(prefix);
    return { size: 0, prefix, segments: [] };
  }

  async append(draft: Draft, body: AsyncIterable<Uint8Array>): Promise<FileDraft> {
    const { size, prefix, segments } = draft as FileDraft;
    const key = `${prefix}${randomUUID()}`;
    const file = this.#folder.pathOf(key);
    const written = await this.#writeFile(file, body);
    if (written === 0) {
      await remove(file, this.#folder.stays);
      return draft as FileDraft;
    }
    await syncFolder(path.dirname(file));
    return { size: size + written, prefix, segments: [...segments, key] };
  }

  async *read(draft: Draft): AsyncGenerator<Uint8Array> {
    for (const key of (draft as FileDraft).segments) {
      const fd = await open(this.#folder.pathOf(key), "r").catch(goneIfAbsent);
      try {
        for (;;) {
          const { bytesRead, buffer } = await read(fd, Buffer.allocUnsafe(CONCAT_BYTES), 0, CONCAT_BYTES, null);
          if (bytesRead === 0) break;
          yield buffer.subarray(0, bytesRead);
        }
      } finally {
        closeQuietly(fd);
      }
    }
  }

  async publish(draft: Draft, key: string): Promise<void> {
    const { segments } = draft as FileDraft;
    const target = this.#folder.pathOf(key);
    const [only] = segments;
    if (segments.length === 1 && only !== undefined) {
      const source = this.#folder.pathOf(only);
      try {
        await asStorageFault(async () => await moveInto(source, target));
      } catch (error) {
        await prune(path.dirname(target), this.#folder.stays);
        return goneIfAbsent(error);
      }
      await prune(path.dirname(source), this.#folder.stays);
      return;
    }
    await this.write(key, this.read(draft), { verify: () => undefined });
  }

  keysOf(draft: Draft): readonly string[] {
    return (draft as FileDraft).segments;
  }

  /** A whole, durable file, or none. */
  async #writeFile(file: string, body: AsyncIterable<Uint8Array>): Promise<number> {
    return await asStorageFault(async () => {
      const fd = await openForWrite(file);
      let complete = false;
      try {
        const written = await writeBody(fd, body, this.#budget);
        await fsync(fd);
        complete = true;
        return written;
      } finally {
        await close(fd);
        if (!complete) await remove(file, this.#folder.stays).catch(() => undefined);
      }
    });
  }
}

function goneIfAbsent(error: unknown): never {
  throw isAbsent(error) ? new DraftGoneError() : error;
}
