/** What versitygw, which keeps objects as files, says of a write beside which the folder of another key is being removed. */
import { setTimeout as delay } from "node:timers/promises";
import { codeOf, FOLDER_GOES } from "./faults.ts";

const TRIES = 5;
const PAUSE_MS = 50;

/** Does a write again where such a folder was in its way. Throws what it threw last. */
export async function despiteFolders<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (tries === TRIES || !FOLDER_GOES.has(codeOf(error) ?? "")) throw error;
      await delay(PAUSE_MS * tries);
    }
  }
}
