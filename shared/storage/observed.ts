import { withEach } from "./around.ts";
import type { StorageDriver } from "./driver.ts";

/** One call to a driver, when it has ended. */
export interface StorageCall {
  /** The operation's name: one of a fixed few. */
  readonly operation: string;
  readonly durationSeconds: number;
  readonly failed: boolean;
}

/** A driver that tells of each of its calls. A failed precondition is an answer, not a failure. */
export function observed(driver: StorageDriver, tell: (call: StorageCall) => void): StorageDriver {
  return withEach(driver, async (operation, work) => {
    const started = performance.now();
    let failed = true;
    try {
      const result = await work();
      failed = false;
      return result;
    } catch (error) {
      failed = !(error instanceof Error && error.name === "PreconditionFailedError");
      throw error;
    } finally {
      tell({ operation, durationSeconds: (performance.now() - started) / 1000, failed });
    }
  });
}
