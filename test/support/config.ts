/** Configurations for tests, and the tables that say what becomes of keys. */
import { describe, expect, test } from "vitest";
import type { Config } from "../../shared/config/config.ts";
import { ConfigError, loadConfig } from "../../shared/config/load.ts";

export type Env = Record<string, string | undefined>;

/** A file that says nothing beyond what every file must. */
const least = { version: "0.1", storage: "inmemory" };

/** A file with these keys, and what every file must have. JSON is YAML. */
export function file(keys: Record<string, unknown>): string {
  return JSON.stringify({ ...least, ...keys });
}

/** What is made of a file with these keys. */
export function load(keys: Record<string, unknown>, env: Env = {}): ReturnType<typeof loadConfig> {
  return loadConfig({ yaml: file({ http: { addr: ":5000" }, ...keys }), env });
}

/** All that is wrong with a configuration. */
export function problemsOf(yaml: string | undefined, env: Env = {}): readonly string[] {
  try {
    loadConfig({ yaml, env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** `{a: {b: value}}` for the path `a.b`. */
export function at(path: string, value: unknown): Record<string, unknown> {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

/** Keys beside an address, which no notice is about then. */
function withAddress(keys: Record<string, unknown>): Record<string, unknown> {
  return { ...keys, http: { addr: ":1", ...(keys["http"] as object | undefined) } };
}

/** Each key has an effect: this part of the configuration is what is expected. */
export function honours(
  rows: readonly [path: string, value: unknown, pick: (config: Config) => unknown, expected: unknown][],
): void {
  describe("keys that are honoured", () => {
    test.each(rows)("%s: %j", (path, value, pick, expected) => {
      expect(pick(load(at(path, value)).config)).toEqual(expected);
    });
  });
}

const NO_EFFECT = "keys that have no effect are named once, with the reason";

/** Each key has no effect, and one notice says so of `key`, and why. */
export function ignores(rows: readonly [path: string, value: unknown, key: string, because: string][]): void {
  describe(NO_EFFECT, () => {
    test.each(rows)("%s: %j", (path, value, key, because) => {
      const { notices } = load(withAddress(at(path, value)));
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(new RegExp(`^${key} has no effect here, because `));
      expect(notices[0]).toContain(because);
    });
  });
}

/** Each key asks for what is done anyway. */
export function accepts(rows: readonly [path: string, value: unknown][]): void {
  describe(NO_EFFECT, () => {
    test.each(rows)("nothing is said of %s: %j, which asks for what is done", (path, value) => {
      expect(load(withAddress(at(path, value))).notices).toEqual([]);
    });
  });
}

/** Each key has an effect, and one notice warns of it. */
export function warns(rows: readonly [path: string, value: unknown, notice: string][]): void {
  describe(NO_EFFECT, () => {
    test.each(rows)("%s: %j is done, with a warning", (path, value, notice) => {
      expect(load(at(path, value)).notices).toEqual([expect.stringContaining(notice)]);
    });
  });
}

/** Each configuration is refused, with a text that this is part of, and nothing that is called "hush" in any. */
export function refuses(rows: readonly [yaml: string | undefined, env: Env, problem: string][]): void {
  describe("what is refused", () => {
    test.each(rows)("%j with %j", (yaml, env, problem) => {
      const found = problemsOf(yaml, env);
      expect(found).toEqual(expect.arrayContaining([expect.stringContaining(problem)]));
      expect(found.join("\n")).not.toContain("hush");
    });

    test("nothing is said twice", () => {
      for (const [yaml, env] of rows) {
        const found = problemsOf(yaml, env);
        expect(new Set(found).size).toBe(found.length);
      }
    });
  });
}
