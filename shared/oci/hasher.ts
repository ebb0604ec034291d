/**
 * Hashing as bytes pass. The native hash is the fastest by far, but its state cannot be kept between requests;
 * the resumable one can be saved and loaded, at about a seventh of the speed.
 */
import { createHash } from "node:crypto";
import type { IHasher } from "hash-wasm";
// Not the package as a whole: it does not shake, and weighs five times as much.
import sha256 from "hash-wasm/dist/sha256.umd.min.js";
import sha512 from "hash-wasm/dist/sha512.umd.min.js";
import { toDigest, type Digest, type DigestAlgorithm } from "./digest.ts";

/** Takes the bytes of a body, one chunk after the other. */
export interface StreamHasher {
  readonly algorithm: DigestAlgorithm;
  /** To be awaited before the next: hashing may be slower than the bytes come. */
  update(chunk: Uint8Array): void | Promise<void>;
  /** No more bytes come, be it that the body broke off. Lets go of what is held; `digest` can still be asked for. */
  end?(): void;
  /** Ends the hasher: it takes no more bytes. */
  digest(): Digest | Promise<Digest>;
}

/** Hashes at once, where it is called. */
export interface Hasher extends StreamHasher {
  update(chunk: Uint8Array): void;
  digest(): Digest;
}

export interface ResumableHasher extends Hasher {
  /** The state so far, in base64, that `resumeHasher` goes on from. The hasher stays usable. */
  save(): string;
}

/** A hasher for bytes that all come in one go. */
export function nativeHasher(algorithm: DigestAlgorithm): Hasher {
  const hash = createHash(algorithm);
  return {
    algorithm,
    update: (chunk) => void hash.update(chunk),
    digest: () => toDigest(algorithm, hash.digest("hex")),
  };
}

/** A hasher whose state can be kept. */
export async function resumableHasher(algorithm: DigestAlgorithm): Promise<ResumableHasher> {
  const hash = await wasmHasher(algorithm);
  hash.init();
  return wrap(algorithm, hash);
}

/** Goes on from what `save` gave. Undefined where that state cannot be read: another version of the library wrote it. */
export async function resumeHasher(algorithm: DigestAlgorithm, state: string): Promise<ResumableHasher | undefined> {
  const hash = await wasmHasher(algorithm);
  try {
    hash.load(Buffer.from(state, "base64"));
  } catch {
    return undefined;
  }
  return wrap(algorithm, hash);
}

async function wasmHasher(algorithm: DigestAlgorithm): Promise<IHasher> {
  return await (algorithm === "sha256" ? sha256.createSHA256() : sha512.createSHA512());
}

function wrap(algorithm: DigestAlgorithm, hash: IHasher): ResumableHasher {
  return {
    algorithm,
    update: (chunk) => void hash.update(chunk),
    digest: () => toDigest(algorithm, hash.digest("hex")),
    save: () => Buffer.from(hash.save()).toString("base64"),
  };
}

/** The digest of bytes in memory. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  const hasher = nativeHasher(algorithm);
  hasher.update(bytes);
  return hasher.digest();
}

/** Passes a body on, with each chunk shown to the hasher first; `bytes` counts what has passed. */
export class HashedBody implements AsyncIterable<Uint8Array> {
  bytes = 0;
  readonly #body: AsyncIterable<Uint8Array>;
  readonly #hasher: StreamHasher;

  constructor(body: AsyncIterable<Uint8Array>, hasher: StreamHasher) {
    this.#body = body;
    this.#hasher = hasher;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of this.#body) {
        await this.#hasher.update(chunk);
        this.bytes += chunk.byteLength;
        yield chunk;
      }
    } finally {
      this.#hasher.end?.();
    }
  }
}
