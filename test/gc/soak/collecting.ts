/** A process that collects all the time, in steps of all lengths, and prints the summary of each run as a line of JSON. */
import { soakCollector } from "./collection.ts";
import { ownSettings, random, soakDriver } from "./settings.ts";

const settings = ownSettings();
const next = random(settings.seed);
const collector = soakCollector(soakDriver(settings), settings.untagged);
process.stdout.write("collecting\n");
for (;;) {
  const outcome = await collector.step({ ms: next() < 0.3 ? 1 : Infinity });
  if (outcome.state === "done") process.stdout.write(`${JSON.stringify(outcome.summary)}\n`);
}
