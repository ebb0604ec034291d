/** What was found amiss in the code, each as the schedule that shows it. */
import { expect, test } from "vitest";
import { TIMES } from "../support.ts";
import type { Choose } from "./schedule.ts";
import { Stage } from "./stage.ts";

/** All goes on in the order of its asking, but that runs come between two writes of a push, once a night has passed. */
function pausedBefore(step: string): Choose {
  let passMs = TIMES.horizonMs + 2000;
  return (waiting) => {
    const run = waiting.find(({ process }) => process.kind === "run");
    const push = waiting.find(({ process }) => process.kind === "push");
    const isDue = waiting.some((one) => one.step === step);
    const chosen = isDue ? (run ?? push) : (push ?? run);
    if (chosen === undefined) throw new Error("nobody waits");
    const passes = isDue ? passMs : 0;
    if (isDue) passMs = 0;
    return { waiting: chosen, verdict: "pass", passMs: passes };
  };
}

test("a push that is paused for a night between its revision and its tag does all again", async () => {
  const focus = { pauses: [TIMES.settleMs + 1000] };
  const stage = new Stage(1, { backend: "bucket", takes: "untagged", mutation: {}, focus });
  const content = stage.content("b");
  await stage.holds("r", content);
  await stage.holdsImage(stage.image("o", "r", [content]), "other");
  const image = stage.image("m", "r", [content]);
  const pusher = stage.client("pusher");
  const push = async (): Promise<void> => {
    expect(await pusher.pushes(image, "t")).toBe(true);
  };
  await stage.schedule.play([push, async () => await stage.collects("collector", 2)], pausedBefore("write tag"));
  expect(stage.collected.deleted).toBe(1);
  await stage.rests();
  expect(stage.ledger.reliedOn).toEqual([image]);
});
