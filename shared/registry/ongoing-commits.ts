import type { Body, Chunk } from "./upload-store.ts";

/**
 * The commits that this process is busy with, so that a client that gives up waiting and sends its last PUT again joins
 * the one that goes on, and no second copy of a huge blob is begun. Clients wait as little as 30 seconds for an answer.
 *
 * A commit can be joined once its own body has been read to the end: until then nobody knows that the end will come, and
 * a client that sends everything again would depend on a connection that it has given up.
 */
export class OngoingCommits {
  readonly #running = new Map<string, Promise<void>>();

  /**
   * Runs `commit`, or awaits one that runs under the same key; its failure is then the failure of both. The body of a
   * request that joins is read to its end and not looked at: the key has to name the bytes that come of the commit.
   */
  async run(key: string, last: Chunk | undefined, commit: (last: Chunk | undefined) => Promise<void>): Promise<void> {
    const running = this.#running.get(key);
    if (running !== undefined) {
      if (last !== undefined) await drain(last.body);
      await running;
      return;
    }
    const begin = (): void => {
      if (!this.#running.has(key)) this.#running.set(key, work);
    };
    const work = commit(last === undefined ? undefined : { ...last, body: whenRead(last.body, begin) });
    if (last === undefined) begin();
    try {
      await work;
    } finally {
      if (this.#running.get(key) === work) this.#running.delete(key);
    }
  }
}

/** A body that tells when all of it was read. */
async function* whenRead(body: Body, done: () => void): AsyncGenerator<Uint8Array> {
  yield* body;
  done();
}

async function drain(body: Body): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  while ((await chunks.next()).done !== true);
}
