import { availableParallelism } from "node:os";
import { toDigest, type Digest, type DigestAlgorithm } from "./digest.ts";
import { HashThread, SLOT_BYTES } from "./hash-thread.ts";
import { nativeHasher, type StreamHasher } from "./hasher.ts";
import { limits } from "./limits.ts";

/** What a chunk takes beside its bytes (Node 20: 300): a client can send them one byte at a time. */
const CHUNK_BYTES = 512;

/**
 * Hashes the bodies of requests: those of up to `SLOT_BYTES` where they are, longer ones in a thread, so that on a second
 * core they are hashed while they are received.
 */
export class BodyHashing {
  readonly #workerUrl: URL;
  #thread: HashThread | undefined;
  #isUsable: boolean;
  /** Memory, in bytes, of the chunks that wait in all bodies until there are enough of them for a message. */
  held = 0;

  /** `cores` decides whether there is a thread at all: a single core would only have more to do. */
  constructor(workerUrl: URL, cores: number) {
    this.#workerUrl = workerUrl;
    this.#isUsable = cores > 1;
  }

  /** A hasher for one body. Chunks must not change after they were given to it. It fails when its thread ends. */
  hasher(algorithm: DigestAlgorithm): StreamHasher {
    return this.#isUsable ? new BodyHasher(this, algorithm) : nativeHasher(algorithm);
  }

  /** The thread, started when first needed. One that ends is replaced, unless it never worked. */
  thread(): HashThread {
    this.#thread ??= new HashThread(this.#workerUrl, (hasWorked) => {
      this.#thread = undefined;
      this.#isUsable = hasWorked;
    });
    return this.#thread;
  }
}

class BodyHasher implements StreamHasher {
  readonly algorithm: DigestAlgorithm;
  readonly #hashing: BodyHashing;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #sent: { readonly thread: HashThread; readonly body: number } | undefined;
  #result: Promise<Digest> | undefined;

  constructor(hashing: BodyHashing, algorithm: DigestAlgorithm) {
    this.#hashing = hashing;
    this.algorithm = algorithm;
  }

  async update(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.byteLength > 0;) {
      // Only now: a body that ends with a full slot may be a short one.
      if (this.#bytes === SLOT_BYTES) await this.#send();
      const part = rest.subarray(0, SLOT_BYTES - this.#bytes);
      this.#chunks.push(part);
      this.#bytes += part.byteLength;
      this.#hashing.held += part.byteLength + CHUNK_BYTES;
      rest = rest.subarray(part.byteLength);
    }
    // Clients that stall must not add up.
    if (this.#hashing.held > limits.hashHeldBytes) await this.#send();
  }

  end(): void {
    this.#result ??= this.#finish();
    this.#result.catch(() => undefined); // `digest` tells
  }

  async digest(): Promise<Digest> {
    this.#result ??= this.#finish();
    return await this.#result;
  }

  async #finish(): Promise<Digest> {
    if (this.#sent === undefined) {
      const hasher = nativeHasher(this.algorithm);
      for (const chunk of this.#chunks) hasher.update(chunk);
      this.#letGo();
      return hasher.digest();
    }
    await this.#send();
    return toDigest(this.algorithm, await this.#sent.thread.end(this.#sent.body, this.algorithm));
  }

  async #send(): Promise<void> {
    if (this.#sent === undefined) {
      const thread = this.#hashing.thread();
      this.#sent = { thread, body: thread.begin() };
    }
    const { thread, body } = this.#sent;
    try {
      await thread.update(body, this.algorithm, this.#chunks);
    } finally {
      this.#letGo();
    }
  }

  #letGo(): void {
    this.#hashing.held -= this.#bytes + this.#chunks.length * CHUNK_BYTES;
    this.#chunks = [];
    this.#bytes = 0;
  }
}

// Built, the worker lies beside this code in dist/. The test runner runs the sources, and builds dist/ first.
const workerUrl = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/hash-worker.js" : "./hash-worker.js",
  import.meta.url,
);

const bodyHashing = new BodyHashing(workerUrl, availableParallelism());

/** A hasher for the body of a request, which all comes in one go; see `BodyHashing`. */
export function bodyHasher(algorithm: DigestAlgorithm): StreamHasher {
  return bodyHashing.hasher(algorithm);
}
