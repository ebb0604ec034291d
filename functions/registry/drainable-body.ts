import type { IncomingMessage } from "node:http";

/**
 * A request's body of which the rest can be read when nobody wants it any more: some gateways pass a whole body on before
 * they read any of the answer, so that an answer given before stands still with the body, until one of them gives up.
 */
export class DrainableBody implements AsyncIterable<Uint8Array> {
  readonly #incoming: IncomingMessage;
  readonly #chunks: AsyncIterator<Uint8Array>;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
    this.#chunks = (incoming as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }

  /** The body from where it was read to. A reader that stops early leaves the connection as it is. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: async () => await this.#chunks.next() };
  }

  /** Reads what is left, for at most this long. Never rejects. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#incoming.complete) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    try {
      let next: IteratorResult<Uint8Array> | undefined;
      do next = await Promise.race([this.#chunks.next(), late]);
      while (next?.done === false);
    } catch {
      // It broke off: there is nobody to answer.
    } finally {
      clearTimeout(timer);
    }
  }
}
