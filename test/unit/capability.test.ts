/** Capabilities: what one is worth, for whom, for how long, and that nothing altered is worth anything. */
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import type { Principal } from "../../shared/auth/authenticator.ts";
import { Capabilities, type Grant } from "../../shared/auth/capability.ts";

const ann: Principal = { kind: "user", name: "ann" };
const grant: Grant = { right: "push", repository: "team/app", session: "3b1f0c1e-8f4a-4c55-9d0f-1e2a3b4c5d6e" };
const start = Date.UTC(2026, 0, 1);
const hour = 3_600_000;

function capabilities(secrets: readonly string[] = ["current"], at = start, lifetimeMs = hour): Capabilities {
  return new Capabilities({ secrets: () => secrets, lifetimeMs, now: () => new Date(at) });
}

const grants = fc.record<Grant>({
  right: fc.constant("push"),
  repository: fc.stringMatching(/^[a-z0-9]{1,8}(\/[a-z0-9-]{1,8}){0,3}$/),
  session: fc.uuid(),
});
const principals = fc.oneof(
  fc.constant<Principal>({ kind: "anonymous" }),
  fc.string({ minLength: 1, unit: "grapheme" }).map((name): Principal => ({ kind: "user", name })),
);

test("grants what it was made for, to whom it was made for, in unreserved characters", () => {
  fc.assert(
    fc.property(grants, principals, fc.string({ minLength: 1 }), (wanted, principal, secret) => {
      const text = capabilities([secret]).mint(wanted, principal);
      expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(capabilities([secret]).verify(text, wanted)).toEqual({ kind: "granted", principal });
    }),
  );
});

test("is short", () => {
  expect(capabilities().mint(grant, { kind: "anonymous" })).toHaveLength(52);
  expect(capabilities().mint(grant, ann)).toHaveLength(56);
});

test("of one session is nothing in another, nor in another repository", () => {
  fc.assert(
    fc.property(grants, grants, (mine, other) => {
      fc.pre(mine.repository !== other.repository || mine.session !== other.session);
      expect(capabilities().verify(capabilities().mint(mine, ann), other)).toEqual({ kind: "refused" });
    }),
  );
});

test("is nothing where names were shifted across the separators", () => {
  const text = capabilities().mint({ right: "push", repository: "a/b", session: "c" }, ann);
  for (const [repository, session] of [
    ["a", "b/c"],
    ["a/b/c", ""],
    ["a/b", "cann"],
    ["a/b\0c", ""],
  ] as const) {
    expect(capabilities().verify(text, { right: "push", repository, session })).toEqual({ kind: "refused" });
  }
});

describe("altered", () => {
  const text = capabilities().mint(grant, ann);

  test("in any one character is refused, whatever stands there instead", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. %";
    for (let i = 0; i < text.length; i++) {
      for (const character of alphabet) {
        if (character === text[i]) continue;
        const altered = text.slice(0, i) + character + text.slice(i + 1);
        expect(capabilities().verify(altered, grant), altered).toEqual({ kind: "refused" });
      }
    }
  });

  test("cut, lengthened or made up is refused", () => {
    for (let i = 0; i < text.length; i++) {
      expect(capabilities().verify(text.slice(0, i), grant)).toEqual({ kind: "refused" });
      expect(capabilities().verify(text.slice(i + 1), grant)).toEqual({ kind: "refused" });
    }
    for (const more of ["A", "AAAA", "=", " ", "\n", ".", text]) {
      expect(capabilities().verify(text + more, grant)).toEqual({ kind: "refused" });
    }
    fc.assert(fc.property(fc.string(), (made) => capabilities().verify(made, grant).kind === "refused"));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 39, maxLength: 60 }), (bytes) => {
        bytes[0] = 1;
        return capabilities().verify(Buffer.from(bytes).toString("base64url"), grant).kind === "refused";
      }),
    );
  });

  test("to name another user, or a later end, is refused", () => {
    const claims = (at: number, name: string): Buffer => {
      const other = Buffer.from(capabilities(["attacker"], at).mint(grant, { kind: "user", name }), "base64url");
      return other.subarray(0, -32);
    };
    const mac = Buffer.from(text, "base64url").subarray(-32);
    const joined = (part: Buffer): string => Buffer.concat([part, mac]).toString("base64url");
    expect(joined(claims(start, "ann"))).toBe(text);
    expect(capabilities().verify(joined(claims(start, "bob")), grant)).toEqual({ kind: "refused" });
    expect(capabilities().verify(joined(claims(start + hour, "ann")), grant)).toEqual({ kind: "refused" });
  });
});

describe("time", () => {
  const text = capabilities().mint(grant, ann);

  it.each([
    ["at once", 0, "granted"],
    ["before its end", hour - 1, "granted"],
    ["at its end", hour, "expired"],
    ["long after", 1000 * hour, "expired"],
  ])("%s", (_, passed, kind) => {
    expect(capabilities(["current"], start + passed).verify(text, grant).kind).toBe(kind);
  });

  it("has passed only for who could have used it", () => {
    const later = capabilities(["current"], start + hour);
    expect(later.verify(text, { ...grant, repository: "other" })).toEqual({ kind: "refused" });
    expect(capabilities(["other"], start + hour).verify(text, grant)).toEqual({ kind: "refused" });
  });

  it("may be as long as one likes", () => {
    const forever = capabilities(["current"], start, 1e6 * hour);
    expect(forever.verify(forever.mint(grant, ann), grant).kind).toBe("granted");
  });
});

describe("secrets", () => {
  it.each<[signing: string[], checking: string[], kind: string]>([
    [["new", "old"], ["new", "old"], "granted"],
    [["old"], ["new", "old"], "granted"],
    [["new", "old"], ["new"], "granted"],
    [["old"], ["new", "older", "old"], "granted"],
    [["new", "old"], ["old"], "refused"],
    [["old"], ["new"], "refused"],
    [["old"], ["OLD"], "refused"],
  ])("signed with %j and checked with %j: %s", (signing, checking, kind) => {
    const text = capabilities(signing).mint(grant, ann);
    expect(capabilities(checking).verify(text, grant).kind).toBe(kind);
  });

  it.each([[[]], [[""]], [["new", ""]]])("%j is nothing to sign with", (secrets) => {
    expect(() => capabilities(secrets)).toThrow(RangeError);
  });
});
