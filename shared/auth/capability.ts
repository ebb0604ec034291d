/**
 * Signed, expiring permissions that stand in a URL. Whoever holds one may do what it grants and nothing else, without
 * credentials: so that a request's body can go to another host, which a client does not sign in to.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { ANONYMOUS, type Principal } from "./authenticator.ts";

/** What a capability permits: to push into one upload session of one repository. */
export interface Grant {
  readonly right: "push";
  readonly repository: string;
  /** The session's id. */
  readonly session: string;
}

/** What a capability turned out to be. `refused`: not ours, altered, or for something else. */
export type Verdict =
  | { readonly kind: "granted"; readonly principal: Principal }
  | { readonly kind: "expired" }
  | { readonly kind: "refused" };

/** What capabilities are made and checked with. */
export interface CapabilityParts {
  /**
   * The secrets of this moment. The first signs, all are accepted: to rotate, put the new one before the old. At least one,
   * none of them empty.
   */
  readonly secrets: () => readonly string[];
  /** How long a capability holds, in milliseconds. */
  readonly lifetimeMs: number;
  readonly now: () => Date;
}

/** The first byte of every capability: how the rest is laid out and what is signed. */
const VERSION = 1;
/** After the version: the end of its life, in seconds since 1970, big-endian. */
const EXPIRY_BYTES = 6;
const MAC_BYTES = 32;
const HEAD_BYTES = 1 + EXPIRY_BYTES;

/** Makes and checks capabilities. Keeps nothing: any process with one of the secrets can check what another made. */
export class Capabilities {
  readonly #parts: CapabilityParts;

  /** Throws RangeError without a secret. */
  constructor(parts: CapabilityParts) {
    const secrets = parts.secrets();
    if (secrets.length === 0 || secrets.includes("")) throw new RangeError("nothing to sign with");
    this.#parts = parts;
  }

  /**
   * A capability for what this principal was allowed. Of the characters `A-Z a-z 0-9 - _`, which no client changes in a
   * path; about 50 of them, and 4 for every 3 bytes of a user's name. The name can be read by who holds it.
   */
  mint(grant: Grant, principal: Principal): string {
    const { secrets, lifetimeMs, now } = this.#parts;
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt8(VERSION);
    head.writeUIntBE(Math.ceil((now().getTime() + lifetimeMs) / 1000), 1, EXPIRY_BYTES);
    const claims = Buffer.concat([head, Buffer.from(principal.kind === "user" ? principal.name : "")]);
    return Buffer.concat([claims, sign(secrets()[0] ?? "", grant, claims)]).toString("base64url");
  }

  /** What a capability is worth for this. Never throws. Tells `expired` only of those that it would have granted before. */
  verify(text: string, grant: Grant): Verdict {
    const bytes = decode(text);
    if (bytes === undefined || bytes.length < HEAD_BYTES + MAC_BYTES || bytes[0] !== VERSION)
      return { kind: "refused" };
    const claims = bytes.subarray(0, -MAC_BYTES);
    const mac = bytes.subarray(-MAC_BYTES);
    const { secrets, now } = this.#parts;
    const ours = secrets().filter((secret) => timingSafeEqual(sign(secret, grant, claims), mac));
    if (ours.length === 0) return { kind: "refused" };
    if (now().getTime() >= claims.readUIntBE(1, EXPIRY_BYTES) * 1000) return { kind: "expired" };
    const name = claims.subarray(HEAD_BYTES).toString();
    return { kind: "granted", principal: name === "" ? ANONYMOUS : { kind: "user", name } };
  }
}

/** NUL stands in no name of a repository or session, so that no two grants are signed as the same bytes. */
function sign(secret: string, { right, repository, session }: Grant, claims: Uint8Array): Buffer {
  const scope = ["lading capability", right, repository, session, ""].join("\0");
  return createHmac("sha256", secret).update(scope).update(claims).digest();
}

/** Base64url in its one right form: Node's decoder takes other alphabets, and bits that do not count, for the same bytes. */
function decode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
