/** The protocol with one rule broken, on the real code, in races that are told; and the same races with the rule. */
import { describe, expect, test } from "vitest";
import { tellStory } from "./play.ts";
import { Violation } from "./schedule.ts";
import { STORIES } from "./stories.ts";

describe("without this something is lost", () => {
  test.each(STORIES)("$what", async (story) => {
    const { failure, trace, missed } = await tellStory(story, false);
    expect(failure, trace.join("\n")).toBeInstanceOf(Violation);
    expect(failure?.message).toMatch(/^[124]: /);
    expect(missed).toBeUndefined();
  });
});

describe("with it nothing is, in the same race", () => {
  test.each(STORIES)("$what", async (story) => {
    const { failure, trace, missed } = await tellStory(story, true);
    expect(failure, trace.join("\n")).toBeUndefined();
    expect(missed).toBeUndefined();
  });
});

describe("what cannot be followed fails", () => {
  const story = { what: "", mutation: {}, by: "HEAD", without: [] } as const;

  test("a step that never comes", async () => {
    const [never, begun] = ["pusher: write bytes of b", "run 1: list marks"];
    expect((await tellStory({ ...story, script: [never] }, false)).missed).toBe(never);
    const { failure } = await tellStory({ ...story, script: [begun, never] }, true);
    expect(failure?.message).toBe(`this never comes: ${never}`);
  });

  test.each(["pusher", "pusher: read mark — never", "pass the salt"])("what is no line: %s", async (line) => {
    await expect(tellStory({ ...story, script: [line] }, false)).rejects.toThrow(line.replace("pass ", ""));
  });
});
