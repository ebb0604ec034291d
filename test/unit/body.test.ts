import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeBody } from "../../shared/storage/filesystem/body.ts";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";

const MIB = 1024 * 1024;

let folder: string;
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), "lading-body-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** A body that can be fed from outside. */
function fed() {
  const stream = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 100 }, { highWaterMark: 100 });
  return { body: stream.readable, writer: stream.writable.getWriter() };
}

describe("writing a body", () => {
  it("holds no memory while its client stalls", async () => {
    const budget = new MemoryBudget(2 * MIB, 20_000);
    const stalled = await Promise.all(
      ["a", "b"].map(async (name) => {
        const { body, writer } = fed();
        const file = await open(path.join(folder, name), "w");
        const written = writeBody(file.fd, body, budget);
        await writer.write(Buffer.from(name));
        return { name, writer, file, written };
      }),
    );
    // The budget is for two batches, and two are begun: a third body gets its turn once those are put away.
    const { body, writer } = fed();
    const file = await open(path.join(folder, "c"), "w");
    const third = writeBody(file.fd, body, budget);
    await writer.write(Buffer.from("c"));
    await writer.close();
    expect(await third).toBe(1);
    await file.close();

    for (const { name, writer: other, file: its, written } of stalled) {
      await other.write(Buffer.from(name.toUpperCase()));
      await other.close();
      expect(await written).toBe(2);
      await its.close();
      expect(readFileSync(path.join(folder, name), "latin1")).toBe(`${name}${name.toUpperCase()}`);
    }
  });

  it("does not gather many small chunks, which take more memory than their bytes", async () => {
    const [name, budget] = [path.join(folder, "a"), new MemoryBudget(MIB, 20_000)];
    const file = await open(name, "w");
    async function* small(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 1025; i++) yield Buffer.from("x");
      // The last began a batch, so the memory of the one before has been given back.
      expect(statSync(name).size).toBe(1024);
    }
    expect(await writeBody(file.fd, small(), budget)).toBe(1025);
    await file.close();
  });

  it("gives all of its memory back, also when the body breaks off", async () => {
    const budget = new MemoryBudget(MIB, 20_000);
    const file = await open(path.join(folder, "a"), "w");
    async function* breaking(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(MIB);
      yield Buffer.alloc(10);
      throw new Error("broke off");
    }
    await expect(writeBody(file.fd, breaking(), budget)).rejects.toThrow("broke off");
    await file.close();
    await budget.take(MIB); // throws where any is missing
  });

  it("fails when any of its writes failed, whatever came after", async () => {
    const budget = new MemoryBudget(64 * MIB, 1000);
    const file = await open(path.join(folder, "a"), "w");
    const readOnly = await open(path.join(folder, "a"), "r");
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 5; i++) yield Buffer.alloc(MIB);
    }
    await expect(writeBody(readOnly.fd, body(), budget)).rejects.toMatchObject({ code: "EBADF" });
    await file.close();
    await readOnly.close();
    await budget.take(64 * MIB);
  });
});
