import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ReadThreads } from "../../shared/storage/filesystem/read-threads.ts";

/** Answers each request with the number of the thread, and fails as a whole at one for `/fail`. */
const WORKER = `
  import { parentPort, threadId } from "node:worker_threads";
  parentPort.on("message", (batch) => {
    if (batch.some(([, [, file]]) => file === "/fail")) throw new Error("out of order");
    parentPort.postMessage(batch.map(([id]) => [id, threadId]));
  });`;

describe("the threads that read", () => {
  const started: Worker[] = [];
  const remember = (worker: Worker): void => void started.push(worker);
  beforeEach(() => void process.on("worker", remember));
  afterEach(async () => {
    process.off("worker", remember);
    await Promise.all(started.splice(0).map(async (worker) => await worker.terminate()));
  });

  it("are replaced one by one: what fails in one fails, and the other goes on", async () => {
    const threads = new ReadThreads(new URL(`data:text/javascript,${encodeURIComponent(WORKER)}`));
    const readers = async (count: number): Promise<unknown[]> =>
      await Promise.all(Array.from({ length: count }, async () => await threads.read(["names", "/"])));
    const [failing, healthy] = await readers(2);
    expect(started.map(({ threadId }) => threadId)).toEqual([failing, healthy]);

    // A failure is told twice: as it happens, and by the end of the thread.
    const ended = new Promise((resolve) => started[0]?.once("exit", resolve));
    const [failed, answered] = await Promise.allSettled([
      threads.read(["names", "/fail"]),
      threads.read(["names", "/"]),
    ]);
    expect(failed).toMatchObject({ status: "rejected", reason: { message: "reading failed" } });
    expect(answered).toEqual({ status: "fulfilled", value: healthy });
    await ended;

    const after = await readers(4);
    expect(started).toHaveLength(3);
    expect(new Set(after)).toEqual(new Set([healthy, started[2]?.threadId]));
  });
});
