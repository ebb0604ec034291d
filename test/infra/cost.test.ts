/** docs/cost.md says what the table of requests and the prices say. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { costPage } from "../../bench/cost.ts";

it("docs/cost.md is what npm run cost writes", async () => {
  expect(await costPage()).toBe(readFileSync("docs/cost.md", "utf8"));
});
