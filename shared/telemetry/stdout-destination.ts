import type { LogDestination } from "./logger.ts";

/** Standard output as a destination. */
export interface StdoutDestination extends LogDestination {
  /** Resolves when all that was written before has been handed to the system. Never rejects. */
  flush(): Promise<void>;
}

/**
 * Lines to standard output, each at once: for a process that may be frozen between two requests, where a line that
 * waits for others is seen late or never.
 */
export function openStdoutDestination(): StdoutDestination {
  return {
    write: (line) => void process.stdout.write(line),
    flush: async () => await new Promise((resolve) => process.stdout.write("", () => resolve())),
  };
}
