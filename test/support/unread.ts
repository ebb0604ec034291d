/** Programs whose reader has gone. */
import path from "node:path";
import { runAny, type Finished, type RunOptions } from "./process.ts";
import { removeFolder, temporaryFolder } from "./temp.ts";

/** Runs a program to its end, with an output that nobody reads any more (`| head`) from its first byte on. */
export async function runUnread(
  argv: readonly string[],
  options: RunOptions = {},
  output: "stdout" | "stderr" = "stdout",
): Promise<Finished> {
  const folder = await temporaryFolder();
  try {
    const script = `mkfifo "$1"; exec 3<>"$1"; exec 4>"$1"; exec 3<&-; shift; exec "$@" ${output === "stdout" ? 1 : 2}>&4`;
    return await runAny(["sh", "-c", script, "sh", path.join(folder, "fifo"), ...argv], options);
  } finally {
    await removeFolder(folder);
  }
}
