/** What was found amiss in the code, each as the schedule that shows it. */
import { expect, test } from "vitest";
import { tellSourceStory } from "./source-stories.ts";

test("a push that is paused for a night between its revision and its tag does all again", async () => {
  const { collected, ledger } = await tellSourceStory("the time is not checked after the tags");
  expect(collected.deleted).toBe(1);
  expect(ledger.reliedOn.map(({ name }) => name)).toEqual(["m"]);
});
