/** Request bodies, and bytes to fill them with. */
import { createHash, randomBytes } from "node:crypto";
import { digestOf } from "../../shared/oci/hasher.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import type { StoredObject } from "../../shared/storage/driver.ts";

/** A body of these chunks. */
export async function* bodyOf(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
}

/** A body that breaks off after these chunks. */
export async function* brokenBody(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  yield* bodyOf(...chunks);
  throw new Error("the client went away");
}

/** A body that is fed and ended by hand, to decide the order in which several of them end. */
export class ManualBody implements AsyncIterable<Uint8Array> {
  readonly #queue: (Uint8Array | Error | undefined)[] = [];
  #wake: () => void = () => undefined;
  /** Resolves when somebody has begun to read. */
  readonly started: Promise<void>;
  #start: () => void = () => undefined;

  constructor() {
    this.started = new Promise((resolve) => (this.#start = resolve));
  }

  write(chunk: string | Uint8Array): void {
    this.#push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }

  end(): void {
    this.#push(undefined);
  }

  fail(): void {
    this.#push(new Error("the client went away"));
  }

  #push(item: Uint8Array | Error | undefined): void {
    this.#queue.push(item);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    this.#start();
    for (;;) {
      while (this.#queue.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      const item = this.#queue.shift();
      if (item === undefined) return;
      if (item instanceof Error) throw item;
      yield item;
    }
  }
}

/** All bytes of a stored object, whole or streamed. */
export async function bytesOfBody({ body }: Pick<StoredObject, "body">): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** All bytes of a body. */
export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Bytes that nobody has stored before. */
export function fresh(length: number): Buffer {
  return randomBytes(length);
}

/** The same `length` bytes every time, without a short period. */
export function pattern(length: number, seed = "pattern"): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < length; i++) blocks.push(createHash("sha512").update(`${seed} ${i}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

export function sha256(bytes: string | Uint8Array): Digest {
  return digestOf("sha256", typeof bytes === "string" ? Buffer.from(bytes) : bytes);
}

export function sha512(bytes: string | Uint8Array): Digest {
  return digestOf("sha512", typeof bytes === "string" ? Buffer.from(bytes) : bytes);
}
