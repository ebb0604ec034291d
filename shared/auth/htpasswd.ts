/** The content of an htpasswd file: bcrypt entries only, as the registry has always asked for. */
export interface Htpasswd {
  /** User name -> bcrypt hash, exactly as in the file. */
  readonly users: ReadonlyMap<string, string>;
  /** The highest cost of any entry; MIN_COST if there are none. */
  readonly highestCost: number;
}

/** bcrypt's lowest cost: 2^4 rounds. */
export const MIN_COST = 4;

/** The largest htpasswd file that is read, in bytes: some ten thousand users. */
export const MAX_HTPASSWD_BYTES = 1024 * 1024;

/** The longest password. bcrypt ignores what is beyond, so a longer one would be accepted with any other ending. */
export const MAX_PASSWORD_BYTES = 72;

/** A line of an htpasswd file that cannot be used. The message quotes nothing of the line: it may hold a password. */
export class HtpasswdError extends Error {
  override readonly name = "HtpasswdError";
  /** Counted from 1. */
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

const BCRYPT = /^\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$/;

/**
 * Parses an htpasswd file: `name:hash` lines, blank lines and `#` comments, either kind of line end. Of several lines
 * of one name the last one counts.
 *
 * @throws HtpasswdError a line is something else, or its hash is not bcrypt
 */
export function parseHtpasswd(text: string): Htpasswd {
  const users = new Map<string, string>();
  let highestCost = MIN_COST;
  for (const [index, raw] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    if (colon <= 0) {
      throw new HtpasswdError(
        index + 1,
        "this line is not 'name:hash'; make the entry with `htpasswd -B <file> <name>`",
      );
    }
    const name = line.slice(0, colon);
    const hash = line.slice(colon + 1);
    if (name.includes("\uFFFD")) {
      throw new HtpasswdError(index + 1, "the user name is not UTF-8; save the file as UTF-8");
    }
    if (!BCRYPT.test(hash)) {
      throw new HtpasswdError(
        index + 1,
        "the password of this entry is not hashed with bcrypt, the only kind accepted; " +
          "make the entry again with `htpasswd -B <file> <name>`",
      );
    }
    users.set(name, hash);
  }
  for (const hash of users.values()) highestCost = Math.max(highestCost, costOf(hash));
  return { users, highestCost };
}

/** The cost of a hash that `parseHtpasswd` accepted: the rounds are 2 to this power. */
export function costOf(hash: string): number {
  return Number(hash.slice(4, 6));
}
