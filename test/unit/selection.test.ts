import { describe, expect, test } from "vitest";
import { select, selectionFrom, type Cell } from "../clients/selection.ts";

const clients = [
  { name: "a", family: "patch" },
  { name: "b", family: "put", staysOnHost: true },
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
  const onServers = cells.filter(({ host }) => host !== "cloud");

  test("has each client on each host once", () => {
    expect(cells).toHaveLength(3 * clients.length);
    expect(pairs(cells, "client", "host").size).toBe(3 * clients.length);
  });

  test.each(["signIn", "driver"] as const)("has each client with each %s", (column) => {
    expect(pairs(onServers, "client", column).size).toBe(2 * clients.length);
  });

  test.each([
    ["host", "signIn"],
    ["host", "driver"],
    ["signIn", "driver"],
  ] as const)("has every pair of %s and %s", (one, other) => {
    expect(pairs(onServers, one, other).size).toBe(4);
  });

  test("has the pairs with as few as two clients too, but for one that takes three", () => {
    const few = select(clients.slice(0, 3), "pairwise").filter(({ host }) => host !== "cloud");
    expect(pairs(few, "host", "signIn").size).toBe(4);
    expect(pairs(few, "host", "driver").size).toBe(4);
    expect(pairs(few, "signIn", "driver").size).toBe(4);
  });

  test("has each sign-in in the cloud, with its bucket", () => {
    const cloud = cells.filter(({ host }) => host === "cloud");
    expect(pairs(cloud, "driver", "signIn")).toEqual(new Set(["s3 none", "s3 htpasswd"]));
  });

  test("has the large layer once for each upload family, in a folder and through the cloud", () => {
    const large = cells.filter((cell) => cell.large).map(({ client, driver }) => `${client} ${driver}`);
    expect(large).toEqual(["a filesystem", "a s3", "b filesystem", "c s3"]);
  });
});

describe("all", () => {
  const cells = select(clients, "all");

  test("is the whole product, each combination once", () => {
    const combinations = cells.map(({ client, host, signIn, driver }) => `${client} ${host} ${signIn} ${driver}`);
    expect(new Set(combinations).size).toBe(10 * clients.length);
    expect(combinations).toHaveLength(10 * clients.length);
  });

  test.each(["filesystem", "s3"])("has the large layer once with each client, on %s", (wanted) => {
    const large = cells.filter((cell) => cell.large && cell.driver === wanted);
    expect(large.map((cell) => cell.client)).toEqual(["a", "b", "c", "d", "e"]);
  });
});

test("the environment chooses, pairwise unless it says otherwise", () => {
  expect(selectionFrom({})).toBe("pairwise");
  expect(selectionFrom({ LADING_SELECTION: "all" })).toBe("all");
  expect(() => selectionFrom({ LADING_SELECTION: "some" })).toThrow("LADING_SELECTION is pairwise or all, not some");
});
