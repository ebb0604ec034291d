/** Every order in which the storage calls of concurrent processes can happen. */
import { setImmediate } from "node:timers/promises";
import type { MemoryDriver } from "../../shared/storage/memory.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { withFaults, type PlannedCall, type Verdict } from "./faults.ts";

/** A trial: processes that begin at once on a storage, each with a driver of its own, and what must hold when all have ended. */
export interface Trial {
  readonly driver: MemoryDriver;
  readonly processes: readonly ((driver: StorageDriver) => Promise<void>)[];
  readonly check: (order: readonly string[]) => Promise<void>;
}

/**
 * Makes trials until every order of those calls that `matters` has been tried, and gives their number. Other calls are not
 * held up. What the processes wait for must be storage in memory and nothing else: a call has ended when the event loop
 * comes round.
 */
export async function everySchedule(
  begin: () => Promise<Trial>,
  matters: (call: PlannedCall) => boolean = () => true,
): Promise<number> {
  for (let choices: number[] = [], trials = 1; ; trials++) {
    const open = await run(await begin(), matters, choices);
    // The last choice that had another option left is made otherwise, and all after it anew.
    while (choices.length > 0 && (choices.at(-1) ?? 0) + 1 >= (open[choices.length - 1] ?? 0)) choices.pop();
    const last = choices.pop();
    if (last === undefined) return trials;
    choices = [...choices, last + 1];
  }
}

/** Makes these choices, then always the first; extends `choices` by those, and gives how many options each had. */
async function run(
  { driver, processes, check }: Trial,
  matters: (call: PlannedCall) => boolean,
  choices: number[],
): Promise<number[]> {
  const waiting: { readonly what: string; readonly go: () => void }[] = [];
  const order: string[] = [];
  const open: number[] = [];
  const ended = Promise.all(
    processes.map(async (process, index) => {
      const gated = withFaults(driver, async (call): Promise<Verdict> => {
        if (matters(call)) {
          const what = `${index}: ${call.operation} ${call.key}`;
          await new Promise<void>((go) => waiting.push({ what, go }));
        }
        return "pass";
      });
      await process(gated);
    }),
  );
  ended.catch(() => undefined); // it is awaited below
  await setImmediate();
  while (waiting.length > 0) {
    waiting.sort((a, b) => (a.what < b.what ? -1 : 1));
    const choice = choices[open.length] ?? 0;
    if (open.length === choices.length) choices.push(choice);
    open.push(waiting.length);
    const [next] = waiting.splice(choice, 1);
    if (next === undefined) throw new Error("the processes are not deterministic");
    order.push(next.what);
    next.go();
    await setImmediate();
  }
  await ended;
  await check(order);
  return open;
}
