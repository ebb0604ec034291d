/** Who may sign in: an htpasswd text, and how it is changed. What is not a user's line stays as it is. */
import { hash } from "bcryptjs";
import { MAX_PASSWORD_BYTES, parseHtpasswd } from "../auth/htpasswd.ts";

/** Makes a text of another, which is the same where there is nothing to change. May throw. */
export type UsersEdit = (text: string) => string;

/** A place that keeps users. */
export interface UsersStore {
  /** What messages call it. */
  readonly name: string;
  /** The text as it is; undefined where there is none. Throws a sentence. */
  read(): Promise<string | undefined>;
  /**
   * Changes the text, and none of what somebody else changes at the same time. `edit` may be called again, with a text that it
   * has changed already. Throws a sentence, and what `edit` throws; then nothing was changed.
   */
  change(edit: UsersEdit): Promise<void>;
}

/** A name, a password or a change that cannot be. The message is a sentence for whoever asked for it. */
export class UsersError extends Error {
  override readonly name = "UsersError";
}

/**
 * bcrypt's cost: 2^10 rounds, a tenth of a second of one processor. `htpasswd -B` makes 2^5, which is guessed 32 times as fast.
 * A function pays it once for each user and environment: what was verified is remembered.
 */
const COST = 10;
const MAX_NAME_BYTES = 255;

/** What is wrong with a name, as it would go on after "the name"; undefined where it can be one. */
function faultOf(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name.includes(":")) return "holds a colon, which ends it in every sign-in";
  if (/[\x00-\x1f\x7f\uFFFD\uFEFF]/.test(name)) return "holds a character that nobody can type";
  if (name.startsWith("#") || name.trim() !== name) return "begins with #, or begins or ends with a space";
  return Buffer.byteLength(name) > MAX_NAME_BYTES ? `is longer than ${MAX_NAME_BYTES} bytes` : undefined;
}

/** Hashes a password for an htpasswd line. Throws UsersError where nobody could sign in with it. */
export async function hashPassword(password: string): Promise<string> {
  if (password === "") throw new UsersError("the password is empty");
  if (/[\x00-\x1f\x7f]/.test(password)) throw new UsersError("the password holds a control character");
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new UsersError(`the password is longer than ${MAX_PASSWORD_BYTES} bytes, the most bcrypt can verify`);
  }
  return await hash(password, COST);
}

/** Adds a user, or gives one another password. `passwordHash` is of `hashPassword`. Throws UsersError of the name. */
export function withUser(name: string, passwordHash: string): UsersEdit {
  const fault = faultOf(name);
  if (fault !== undefined) throw new UsersError(`the name ${fault}`);
  return (text) => edited(text, new Map([[name, passwordHash]]));
}

/** Takes a user out. */
export function withoutUser(name: string): UsersEdit {
  return (text) => edited(text, new Map([[name, undefined]]));
}

/** Names in the order of the text. Throws UsersError where a line cannot be used. */
export function namesIn(text: string): string[] {
  return [...usersIn(text).keys()];
}

/** Does to a text what made `after` of `before`, user by user. */
export function sameChange(before: string, after: string): UsersEdit {
  const [old, made] = [usersIn(before), usersIn(after)];
  const changes = new Map<string, string | undefined>();
  for (const name of old.keys()) if (!made.has(name)) changes.set(name, undefined);
  for (const [name, line] of made) if (old.get(name) !== line) changes.set(name, line);
  return (text) => edited(text, changes);
}

function usersIn(text: string): ReadonlyMap<string, string> {
  try {
    return parseHtpasswd(text).users;
  } catch (error) {
    const place = error instanceof Error && "line" in error ? `line ${String(error.line)}: ` : "";
    throw new UsersError(`${place}${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Hashes by name; undefined where there shall be no such user. */
function edited(text: string, changes: ReadonlyMap<string, string | undefined>): string {
  const users = usersIn(text);
  const open = new Map([...changes].filter(([name, line]) => users.get(name) !== line));
  if (open.size === 0) return text;
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text === "" ? [] : text.replace(/\r?\n$/, "").split(/\r?\n/);
  const kept: string[] = [];
  // A name may have several lines, of which the last counts: one is left of them, where the first was.
  const written = new Set<string>();
  for (const line of lines) {
    const name = nameOf(line);
    if (name === undefined || !open.has(name)) kept.push(line);
    else if (!written.has(name)) {
      written.add(name);
      const passwordHash = open.get(name);
      if (passwordHash !== undefined) kept.push(`${name}:${passwordHash}`);
    }
  }
  for (const [name, passwordHash] of open) {
    if (passwordHash !== undefined && !written.has(name)) kept.push(`${name}:${passwordHash}`);
  }
  return kept.map((line) => line + newline).join("");
}

/** As `parseHtpasswd` reads it. */
function nameOf(raw: string): string | undefined {
  const line = raw.trim();
  return line.startsWith("#") || !line.includes(":") ? undefined : line.slice(0, line.indexOf(":"));
}
