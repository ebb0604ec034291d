import { describe, expect, it } from "vitest";
import { isNamePattern, matchesAny } from "../../shared/oci/name-pattern.ts";

describe("a pattern for names", () => {
  it.each([
    ["a", ["a"], ["b", "aa", "a/a"]],
    ["*", ["a", "a-b.c_d"], ["a/b"]],
    ["**", ["a", "a/b/c"], []],
    ["team/*", ["team/a"], ["team", "team/a/b", "teams/a"]],
    ["team/**", ["team/a", "team/a/b"], ["team", "steam/a"]],
    ["**/cache", ["a/cache", "a/b/cache"], ["cache"]],
    ["v?.?", ["v1.2"], ["v1", "v1x2", "v10.2"]],
    ["{a,b*}/{x,y.z}", ["a/x", "b/x", "bcd/y.z"], ["c/x", "a/yxz"]],
    ["pr-*", ["pr-1", "pr-"], ["xpr-1"]],
    ["V*", ["V1"], ["v1"]],
  ])("%s", (pattern, matching, others) => {
    const matches = matchesAny([pattern]);
    expect(matching.filter((name) => !matches(name))).toEqual([]);
    expect(others.filter(matches)).toEqual([]);
  });

  it.each(["", "a b", "^a$", "a|b", "(a)", "[ab]", "{a", "a}", "{}", "{a,}", "{a,{b}}", "a,b", "ä", "a\\.b"])(
    "is not %j",
    (text) => {
      expect(isNamePattern(text)).toBe(false);
      expect(() => matchesAny([text])).toThrow(RangeError);
    },
  );

  it("is one of several; of none, nothing matches", () => {
    expect(["a", "b", "c"].filter(matchesAny(["a", "b"]))).toEqual(["a", "b"]);
    expect(matchesAny([])("a")).toBe(false);
  });
});
