/** What a repository's view of the blobs does when the store fails in between. */
import { describe, expect, it } from "vitest";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { BlobStore } from "../../shared/registry/blob-store.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { Promises } from "../../shared/registry/promises.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";

const digest = digestOf("sha256", Buffer.from("a layer"));

describe("a link that cannot be read", () => {
  /** A store whose large object takes a turn longer, or not, than the failure of its link. */
  function store(slow: boolean, openingFails: boolean): { blobs: BlobStore; state: { open: number } } {
    const driver = new MemoryDriver();
    const state = { open: 0 };
    const promises = new Promises(driver, gcTimes(), () => new Date());
    driver.read = async () => await Promise.reject(new Error("the link"));
    driver.get = async () => {
      if (slow) await new Promise((resolve) => setImmediate(resolve));
      if (openingFails) throw new Error("the bytes");
      state.open++;
      const body = new ReadableStream<Uint8Array>({
        cancel: () => {
          state.open--;
        },
      });
      return { size: 1, etag: "e", lastModified: new Date(), asOf: new Date(), body };
    };
    return { blobs: new BlobStore(driver, parseRepositoryName("a"), promises), state };
  }

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])("leaves nothing open (bytes later: %s, failing too: %s)", async (slow, openingFails) => {
    const { blobs, state } = store(slow, openingFails);
    await expect(blobs.get(digest)).rejects.toThrow("the link");
    expect(state.open).toBe(0);
  });
});
