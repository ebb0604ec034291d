import { describe, expect, test } from "vitest";
import { select, selectionFrom, type Cell } from "../clients/selection.ts";

const clients = [
  { name: "a", family: "patch" },
  { name: "b", family: "put" },
  { name: "c", family: "put" },
  { name: "d", family: "patch" },
  { name: "e", family: "patch" },
] as const;

/** The distinct pairs of two columns that occur. */
function pairs(cells: readonly Cell[], one: keyof Cell, other: keyof Cell): Set<string> {
  return new Set(cells.map((cell) => `${String(cell[one])} ${String(cell[other])}`));
}

describe("pairwise", () => {
  const cells = select(clients, "pairwise");

  test("has each client on each host once", () => {
    expect(cells).toHaveLength(2 * clients.length);
    expect(pairs(cells, "client", "host").size).toBe(2 * clients.length);
  });

  test.each(["signIn", "driver"] as const)("has each client with each %s", (column) => {
    expect(pairs(cells, "client", column).size).toBe(2 * clients.length);
  });

  test.each([
    ["host", "signIn"],
    ["host", "driver"],
    ["signIn", "driver"],
  ] as const)("has every pair of %s and %s", (one, other) => {
    expect(pairs(cells, one, other).size).toBe(4);
  });

  test("has the pairs with as few as two clients too, but for one that takes three", () => {
    const few = select(clients.slice(0, 3), "pairwise");
    expect(pairs(few, "host", "signIn").size).toBe(4);
    expect(pairs(few, "host", "driver").size).toBe(4);
    expect(pairs(few, "signIn", "driver").size).toBe(4);
  });

  test("has the large layer once for each upload family, in a folder", () => {
    const large = cells.filter((cell) => cell.large);
    expect(large.map((cell) => cell.client)).toEqual(["a", "b"]);
    expect(large.map((cell) => cell.driver)).toEqual(["filesystem", "filesystem"]);
  });
});

describe("all", () => {
  const cells = select(clients, "all");

  test("is the whole product, each combination once", () => {
    const combinations = cells.map(({ client, host, signIn, driver }) => `${client} ${host} ${signIn} ${driver}`);
    expect(new Set(combinations).size).toBe(8 * clients.length);
    expect(combinations).toHaveLength(8 * clients.length);
  });

  test("has the large layer once with each client", () => {
    expect(cells.filter((cell) => cell.large).map((cell) => cell.client)).toEqual(["a", "b", "c", "d", "e"]);
  });
});

test("the environment chooses, pairwise unless it says otherwise", () => {
  expect(selectionFrom({})).toBe("pairwise");
  expect(selectionFrom({ LADING_SELECTION: "all" })).toBe("all");
  expect(() => selectionFrom({ LADING_SELECTION: "some" })).toThrow("LADING_SELECTION is pairwise or all, not some");
});
