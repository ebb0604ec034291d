import { withEach } from "./around.ts";
import type { StorageDriver } from "./driver.ts";

/** A driver of which at most so many calls are under way at once; others wait for their turn, in order. At least 1. */
export function limited(driver: StorageDriver, most: number): StorageDriver {
  let free = most;
  const waiting: (() => void)[] = [];
  return withEach(driver, async (_, work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  });
}
