import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyHashing } from "../../shared/oci/body-hasher.ts";
import { HashThread, SLOT_BYTES } from "../../shared/oci/hash-thread.ts";
import { HashedBody, type StreamHasher } from "../../shared/oci/hasher.ts";
import { limits } from "../../shared/oci/limits.ts";
import { bodyOf, brokenBody, collect, pattern, sha256, sha512 } from "../support/bodies.ts";

const worker = new URL("../../dist/hash-worker.js", import.meta.url);
const absent = new URL("./no-such-worker.js", import.meta.url);
const CORES = 2;
const bytes = pattern(3 * SLOT_BYTES + 17);

function* pieces(whole: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
}

async function digestOf(hasher: StreamHasher, chunks: Iterable<Uint8Array>): Promise<string> {
  for (const chunk of chunks) await hasher.update(chunk);
  return await hasher.digest();
}

/** The thread as it is, but that it ends when it is told to hash 13 bytes. */
const mortal = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import ${JSON.stringify(worker.href)};
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", ({ length }) => { if (length === 13) process.exit(1); });
  `)}`,
);
const DEADLY = SLOT_BYTES + 13;

describe("the hash of a body", () => {
  const hashing = new BodyHashing(worker, CORES);

  it.each([0, 1, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 2 * SLOT_BYTES, 2 * SLOT_BYTES + 1, bytes.length])(
    "of %i bytes is right in both algorithms",
    async (length) => {
      const body = bytes.subarray(0, length);
      expect(await digestOf(hashing.hasher("sha256"), pieces(body, 65_000))).toBe(sha256(body));
      expect(await digestOf(hashing.hasher("sha512"), pieces(body, 65_000))).toBe(sha512(body));
      expect(hashing.held).toBe(0);
    },
  );

  it("does not depend on how the bytes are split", async () => {
    const wanted = sha256(bytes);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (positions) => {
        const cuts = [0, ...positions.sort((a, b) => a - b), bytes.length];
        const chunks = cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
        expect(await digestOf(hashing.hasher("sha256"), chunks)).toBe(wanted);
      }),
      { numRuns: 50 },
    );
    expect(hashing.held).toBe(0);
  });

  it("is each body's own when many come at once", async () => {
    const bodies = Array.from({ length: 20 }, (_, i) => bytes.subarray(i));
    const digests = await Promise.all(
      bodies.map(async (body) => await digestOf(hashing.hasher("sha256"), pieces(body, 50_000))),
    );
    expect(digests).toEqual(bodies.map((body) => sha256(body)));
    expect(hashing.held).toBe(0);
  });

  it("is not asked for after a body that broke off, which leaves nothing behind", async () => {
    for (const chunks of [["some"], [...pieces(bytes, 60_000)]]) {
      const hasher = hashing.hasher("sha256");
      await expect(collect(new HashedBody(brokenBody(...chunks), hasher))).rejects.toThrow("the client went away");
      expect(hashing.held).toBe(0);
    }
    expect(await digestOf(hashing.hasher("sha256"), [bytes])).toBe(sha256(bytes));
  });

  it("is there although the reader of the bytes went away", async () => {
    const hasher = hashing.hasher("sha256");
    for await (const chunk of new HashedBody(bodyOf("first", "second"), hasher)) {
      expect(chunk.toString()).toBe("first");
      break;
    }
    expect(hashing.held).toBe(0);
    expect(await hasher.digest()).toBe(sha256("first"));
  });

  it("needs bounded memory, however many bodies stall, and is right when they go on", async () => {
    const count = (2 * limits.hashHeldBytes) / SLOT_BYTES;
    const hashers = Array.from({ length: count }, () => hashing.hasher("sha256"));
    for (const hasher of hashers) {
      for (const chunk of pieces(bytes.subarray(0, SLOT_BYTES), 65_536)) await hasher.update(chunk);
      expect(hashing.held).toBeLessThanOrEqual(limits.hashHeldBytes);
    }
    expect(hashing.held).toBeGreaterThan(limits.hashHeldBytes / 2);
    for (const hasher of hashers) await hasher.update(Buffer.from("the end"));
    const wanted = sha256(Buffer.concat([bytes.subarray(0, SLOT_BYTES), Buffer.from("the end")]));
    for (const hasher of hashers) expect(await hasher.digest()).toBe(wanted);
    expect(hashing.held).toBe(0);
  });
});

describe("the memory of a body", () => {
  it("counts what its chunks take beside their bytes, and is bounded when they are of one byte each", async () => {
    const hashing = new BodyHashing(worker, CORES);
    const hasher = hashing.hasher("sha256");
    await hasher.update(bytes.subarray(0, 1));
    const one = hashing.held;
    expect(one).toBeGreaterThan(300);
    const count = Math.ceil((2 * limits.hashHeldBytes) / one);
    let most = one;
    for (let i = 1; i < count; i++) {
      await hasher.update(bytes.subarray(i, i + 1));
      most = Math.max(most, hashing.held);
    }
    expect(most).toBeLessThanOrEqual(limits.hashHeldBytes);
    expect(most).toBeGreaterThan(limits.hashHeldBytes / 2);
    expect(await hasher.digest()).toBe(sha256(bytes.subarray(0, count)));
    expect(hashing.held).toBe(0);
  });
});

describe("the thread", () => {
  it("forgets a body that has ended", async () => {
    const thread = new HashThread(worker, () => undefined);
    const body = thread.begin();
    await thread.update(body, "sha256", [bytes.subarray(0, 3)]);
    expect(`sha256:${await thread.end(body, "sha256")}`).toBe(sha256(bytes.subarray(0, 3)));
    expect(`sha256:${await thread.end(body, "sha256")}`).toBe(sha256(""));
  });

  it("takes nothing any more once it has ended", async () => {
    let thread: HashThread | undefined;
    const hasWorked = await new Promise<boolean>((resolve, reject) => {
      thread = new HashThread(mortal, resolve);
      thread.update(thread.begin(), "sha256", [bytes.subarray(0, 13)]).catch(reject);
    });
    expect(hasWorked).toBe(true);
    await expect(thread?.update(1, "sha256", [])).rejects.toThrow("the thread that hashes ended");
    await expect(thread?.end(1, "sha256")).rejects.toThrow("the thread that hashes ended");
  });
});

describe("when the thread ends", () => {
  it("what it has begun fails, short bodies do not, and the next body has a new thread", async () => {
    const hashing = new BodyHashing(mortal, CORES);
    const long = hashing.hasher("sha256");
    await long.update(bytes);
    const short = hashing.hasher("sha256");
    await short.update(bytes.subarray(0, 13));
    await expect(digestOf(hashing.hasher("sha256"), [bytes.subarray(0, DEADLY)])).rejects.toThrow(
      "the thread that hashes ended",
    );
    await expect(digestOf(long, [bytes])).rejects.toThrow("the thread that hashes ended");
    expect(await short.digest()).toBe(sha256(bytes.subarray(0, 13)));
    expect(hashing.held).toBe(0);
    expect(await digestOf(hashing.hasher("sha256"), [bytes])).toBe(sha256(bytes));
  });

  it("a body that waits for a free slot fails too, and so do its bytes", async () => {
    const hashing = new BodyHashing(mortal, CORES);
    const deadly = digestOf(hashing.hasher("sha256"), [bytes.subarray(0, DEADLY)]);
    const others = Array.from(
      { length: 10 },
      async () => await collect(new HashedBody(bodyOf(...Array<Buffer>(20).fill(bytes)), hashing.hasher("sha256"))),
    );
    await expect(deadly).rejects.toThrow("the thread that hashes ended");
    for (const result of await Promise.allSettled(others)) expect(result.status).toBe("rejected");
    expect(hashing.held).toBe(0);
  });

  it("and has never worked, bodies are hashed without it from then on", async () => {
    const hashing = new BodyHashing(absent, CORES);
    await expect(digestOf(hashing.hasher("sha256"), [bytes])).rejects.toThrow("the thread that hashes");
    expect(await digestOf(hashing.hasher("sha256"), [bytes])).toBe(sha256(bytes));
  });

  it("on a single core there is none", async () => {
    const hashing = new BodyHashing(absent, 1);
    expect(await digestOf(hashing.hasher("sha256"), [bytes])).toBe(sha256(bytes));
  });
});
