/** A mount or an upload that stands still until its blob is gone, writes its link, and dies. */
import { expect, test } from "vitest";
import { layout } from "../../../shared/registry/layout.ts";
import { sha256 } from "../../support/bodies.ts";
import { nameOf, TIMES } from "../support.ts";
import type { Client } from "./client.ts";
import type { Choose, Verdict } from "./schedule.ts";
import { Stage } from "./stage.ts";

/**
 * All goes on in the order of its asking, but that runs come between two writes of a push, once a night has passed. What
 * becomes of the second is the `verdict`.
 */
function pausedBefore(step: string, verdict: Verdict = "pass"): Choose {
  let passMs = TIMES.horizonMs + 2000;
  return (waiting) => {
    const run = waiting.find(({ process }) => process.kind === "run");
    const push = waiting.find(({ process }) => process.kind === "push");
    const isDue = waiting.some((one) => one.step === step);
    const chosen = isDue ? (run ?? push) : (push ?? run);
    if (chosen === undefined) throw new Error("nobody waits");
    const passes = isDue ? passMs : 0;
    if (isDue) passMs = 0;
    return { waiting: chosen, verdict: chosen.step === step ? verdict : "pass", passMs: passes };
  };
}

const PUSHES: Readonly<Record<string, (client: Client, content: string) => Promise<void>>> = {
  mount: async (client, content) => {
    await client.mounts("r", "to", sha256(content));
  },
  upload: async (client, content) => {
    await client.uploads("to", content);
  },
};

test.each(
  (["bucket", "folder"] as const).flatMap((backend) =>
    Object.entries(PUSHES).map(([name, push]) => ({ backend, name, push })),
  ),
)(
  "the link of a $name that stands still before it for nights, and dies after it, goes ($backend)",
  async ({ backend, push }) => {
    const focus = { pauses: [TIMES.settleMs + 1000] };
    // A seed with which the client does not try again.
    const stage = new Stage(2, { backend, takes: "blobs", mutation: {}, focus });
    const [content, other] = [stage.content("b"), stage.content("other")];
    await stage.holds("r", content, other);
    await stage.holdsImage(stage.image("o", "r", [other]), "other");
    const pusher = stage.client("pusher");
    await stage.schedule.play(
      [async () => await push(pusher, content), async () => await stage.collects("collector", 2)],
      pausedBefore("write link", "killed after"),
    );
    const { objects } = stage.store;
    const [link, bytes] = [layout.layerLink(nameOf("to"), sha256(content)), layout.blob(sha256(content))];
    expect([objects.has(link), objects.has(bytes)]).toEqual([true, false]);
    stage.store.time += TIMES.horizonMs + 2000;
    for (let i = 0; i < 2; i++) {
      expect(objects.has(link)).toBe(true);
      await stage.night(TIMES.settleMs + 1000);
    }
    expect(objects.has(link)).toBe(false);
    await stage.rests();
  },
);
