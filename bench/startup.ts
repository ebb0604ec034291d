/** How long a server takes from its spawning to its first answer. */
import { rotated, Samples } from "./samples.ts";
import { startServer, type ServerKind } from "./servers.ts";

/** The row of the samples. */
export const START = "Start to first answer";

/** Starts each server again and again, in turn; each once before, so that its files are in memory. */
export async function measureStarts(kinds: readonly ServerKind[], folder: string, starts: number): Promise<Samples> {
  const millis = new Samples("less");
  for (let round = -1; round < starts; round++) {
    for (const kind of rotated(kinds, Math.max(round, 0))) {
      const server = await startServer(kind, folder);
      await server.stop();
      if (round >= 0) millis.add(START, kind.name, server.startMs);
    }
  }
  return millis;
}
