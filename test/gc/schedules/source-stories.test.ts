/** The code itself with a rule of the protocol broken, in stories that hold on the code as it is. */
import { describe, expect, test } from "vitest";
import { withChanged } from "./changed.ts";
import { SOURCE_STORIES, tellSourceStory } from "./source-stories.ts";

describe("without this something is lost", () => {
  test.each(SOURCE_STORIES)("$what", async ({ what, changes, mutation, violates }) => {
    await withChanged(changes, async (changed) => {
      const failure = await changed.tellSourceStory(what, mutation).then(() => undefined, String);
      expect(failure).toMatch(/^Violation: /);
      expect(failure?.replace("Violation: ", "")).toMatch(violates);
    });
  });
});

describe("with it nothing is, in the same story", () => {
  test.each(SOURCE_STORIES)("$what", async ({ what }) => {
    await tellSourceStory(what);
  });

  test("also where the code is bundled", async () => {
    await withChanged([], async (unchanged) => {
      for (const { what } of unchanged.SOURCE_STORIES) await unchanged.tellSourceStory(what);
    });
  });
});

describe("a change fails", () => {
  const [there, unused] = ["shared/gc/sweeping.ts", "shared/doctor/doctor.ts"];
  test.each([
    { file: there, from: "no such text", reason: "not there exactly once" },
    { file: there, from: "import ", reason: "not there exactly once" },
    { file: unused, from: "import ", reason: "not in use" },
  ])("of $file: $from is $reason", async ({ file, from, reason }) => {
    const work = async (): Promise<void> => await Promise.resolve();
    await expect(withChanged([{ file, from, to: "" }], work)).rejects.toThrow(reason);
  });
});
