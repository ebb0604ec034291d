/** Ports for programs that have to be told theirs. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

const LOWEST = 10_000;

/**
 * A port of the loopback that nobody listens on, and that no other socket is given before it is used: the system takes
 * those that a program does not choose from a range of its own, and this is below it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = randomInt(LOWEST, lowestGiven());
    try {
      await once(server.listen(port, "127.0.0.1"), "listening");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") continue;
      throw error;
    }
    await once(server.close(), "close");
    return port;
  }
}

/** The first port that the system gives by itself; IANA's where it does not say. */
function lowestGiven(): number {
  try {
    const lowest = parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
    return lowest > LOWEST ? lowest : 49_152;
  } catch {
    return 49_152;
  }
}
