import { compareSync, getRounds, hashSync } from "bcryptjs";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { compare, dummyHash } from "../../shared/auth/bcrypt-compare.ts";

vi.mock("bcryptjs", { spy: true });

const SECRET_04 = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/** Rounds of bcrypt so far, which is what it costs. */
function rounds(): number {
  return vi
    .mocked(hashSync)
    .mock.calls.reduce((sum, [, salt]) => sum + 2 ** getRounds(`${String(salt)}${"x".repeat(31)}`), 0);
}

describe("compare", () => {
  beforeEach(() => void vi.mocked(hashSync).mockClear());

  it.each([
    ["secret", SECRET_04, true],
    ["Secret", SECRET_04, false],
    ["secret", undefined, false],
  ])("%j with %j is %j", (password, hash, expected) => {
    expect(compare({ password, hash, cost: 6 })).toBe(expected);
  });

  it.each([
    ["an unknown name", undefined],
    ["a cheap hash", SECRET_04],
    ["a hash that costs as much as the dearest", SECRET_04.replace("$04$", "$08$")],
  ])("a failure takes the same work: %s", (_, hash) => {
    expect(compare({ password: "wrong", hash, cost: 8 })).toBe(false);
    expect(rounds()).toBe(2 ** 8);
  });

  it("accepts a salt whose unused last bits are set, as old tools wrote them", () => {
    // 'u' and 'v' differ in the bits of the last salt character that bcrypt does not use.
    expect(compare({ password: "secret", hash: SECRET_04.replace("uu2r", "uv2r"), cost: 4 })).toBe(true);
  });
});

describe("dummyHash", () => {
  it.each([4, 10, 31])("is a whole bcrypt hash of cost %d", (cost) => {
    const hash = dummyHash(cost);
    expect(hash).toMatch(/^\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}$/);
    expect(getRounds(hash)).toBe(cost);
  });

  it("has no known password", () => {
    expect(compareSync("", dummyHash(4))).toBe(false);
  });
});
