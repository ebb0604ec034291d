import { randomBytes, timingSafeEqual } from "node:crypto";
import { encodeBase64, hashSync } from "bcryptjs";
import { costOf } from "./htpasswd.ts";

/** One credential to verify. */
export interface ComparisonRequest {
  /** At most 72 bytes of UTF-8, without NUL: bcrypt ignores what is beyond. */
  readonly password: string;
  /** The user's hash; undefined for a user who does not exist. */
  readonly hash: string | undefined;
  /** What a failure costs, whichever way it fails: as much work as one comparison at this cost. */
  readonly cost: number;
}

/** `$2b$10$` and 22 characters of salt. */
const SALT_LENGTH = 29;

/** A random salt and a random digest, so that each is what a real hash of that cost is, and no password has it. */
const dummySalt = encodeBase64(randomBytes(16), 16);
const dummyDigest = encodeBase64(randomBytes(23), 23);

/** A well-formed bcrypt hash that no password is known for; comparing with it costs what `cost` says. */
export function dummyHash(cost: number): string {
  return `$2b$${String(cost).padStart(2, "0")}$${dummySalt}${dummyDigest}`;
}

/**
 * Verifies a password, synchronously and for a long time: only for a worker thread.
 *
 * Every failure takes the same work, so its duration tells nothing of the name: an unknown user costs one comparison
 * at `cost`; a known user with a cheaper hash of cost c costs 2^c and then dummies of c, c+1, …, cost-1, which add up
 * to 2^cost exactly.
 */
export function compare({ password, hash, cost }: ComparisonRequest): boolean {
  if (hash === undefined) {
    matches(password, dummyHash(cost));
    return false;
  }
  if (matches(password, hash)) return true;
  for (let spent = costOf(hash); spent < cost; spent++) matches(password, dummyHash(spent));
  return false;
}

/** Only the digests are compared: some old tools wrote salts whose unused last bits bcryptjs would write differently. */
function matches(password: string, hash: string): boolean {
  const computed = hashSync(password, hash.slice(0, SALT_LENGTH)).slice(SALT_LENGTH);
  return timingSafeEqual(Buffer.from(computed), Buffer.from(hash.slice(SALT_LENGTH)));
}
