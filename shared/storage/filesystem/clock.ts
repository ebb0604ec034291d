import { asStorageFault, close, fstat, fsync, openForWrite, unlink, write } from "./files.ts";

/** By how much the clocks may differ; some file systems keep times to two seconds. */
const TOLERATED_MS = 2_000;

/**
 * Throws with a sentence where the time that the file system gives to what is written now is not this machine's: ages are
 * told by both. Writes `temporary`, a file that is not there, and removes it again.
 */
export async function checkClock(temporary: string): Promise<void> {
  await asStorageFault(async () => {
    const fd = await openForWrite(temporary);
    try {
      const before = Date.now();
      await write(fd, Buffer.from("?"), 0, 1, 0);
      await fsync(fd);
      const written = Number((await fstat(fd)).mtimeMs);
      const aheadMs = Math.max(written - Date.now(), 0) || Math.min(written - before, 0);
      if (Math.abs(aheadMs) > TOLERATED_MS) {
        const seconds = (Math.abs(aheadMs) / 1000).toFixed(1);
        throw new Error(
          `the clock of the registry's folder is ${seconds} seconds ${aheadMs > 0 ? "ahead of" : "behind"} this machine's, so that ` +
            "ages cannot be told: set both by the same time server, as with chrony, and the clocks of all that serve the folder",
        );
      }
    } finally {
      await close(fd);
      await unlink(temporary);
    }
  });
}
