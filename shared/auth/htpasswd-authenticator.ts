import { createHmac, randomBytes } from "node:crypto";
import type { Reloading, TextSource } from "../reloading/reloading.ts";
import { UnauthorizedError, type Authenticator, type Principal } from "./authenticator.ts";
import { basicChallenge, parseBasicHeader, type BasicCredentials } from "./basic.ts";
import { BcryptPool } from "./bcrypt-pool.ts";
import { HtpasswdError, MAX_HTPASSWD_BYTES, MAX_PASSWORD_BYTES, parseHtpasswd, type Htpasswd } from "./htpasswd.ts";

/** How an htpasswd authenticator is set up. */
export interface HtpasswdAuthenticatorOptions {
  /** Where the text of an htpasswd file is. */
  readonly source: TextSource;
  /** Shown to users by their client when it asks for a password. */
  readonly realm: string;
  /** Told of a changed text that cannot be used, as `source` says; never of a password or a hash. Must not throw. */
  readonly logError: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Where passwords are compared. By default a pool of its own, which `close()` ends; a given one is left open. */
  readonly pool?: BcryptPool;
  /** How many verified credentials are remembered at most. Default 10,000. */
  readonly maxRemembered?: number;
}

/** What an authenticator and its pool have done since they were made. */
export interface HtpasswdCounters {
  /** bcrypt comparisons: one for a credential, not one for a request. */
  readonly comparisons: number;
  /** Requests that waited for the comparison of another request with the same credential. */
  readonly shared: number;
  /** Requests answered from memory. */
  readonly remembered: number;
  /** Comparisons refused because too many were waiting. */
  readonly queueRejected: number;
}

const WRONG = "the user name or the password is wrong";

/**
 * Basic authentication against the text of an htpasswd file, which is looked at again for each request with credentials, so
 * users come and go without a restart.
 *
 * A verified credential is remembered until its line changes, under an HMAC with a key of this process: no password
 * is kept. A failure is not remembered: guessing never repeats itself, so it would only cost memory that strangers
 * fill, and it would have to be forgotten the moment the file changes; requests that arrive together share one
 * comparison anyway.
 *
 * Whether a name exists shows in nothing: neither in the answer nor in the work a failure takes (see `compare`).
 */
export class HtpasswdAuthenticator implements Authenticator {
  readonly challenge: string;
  readonly #file: Reloading<Htpasswd>;
  readonly #pool: BcryptPool;
  readonly #ownsPool: boolean;
  readonly #maxRemembered: number;
  readonly #key = randomBytes(32);
  /** Fingerprint of a verified credential -> whose it is and the line it was verified with. The oldest use is first. */
  readonly #verified = new Map<string, { readonly name: string; readonly hash: string }>();
  /** Fingerprint of a credential -> its comparison that runs or waits. */
  readonly #pending = new Map<string, Promise<boolean>>();
  #latest: Htpasswd;
  #shared = 0;
  #remembered = 0;

  private constructor(
    options: HtpasswdAuthenticatorOptions,
    challenge: string,
    file: Reloading<Htpasswd>,
    latest: Htpasswd,
  ) {
    this.challenge = challenge;
    this.#file = file;
    this.#latest = latest;
    this.#pool = options.pool ?? new BcryptPool();
    this.#ownsPool = options.pool === undefined;
    this.#maxRemembered = options.maxRemembered ?? 10_000;
  }

  /**
   * Reads the text.
   *
   * @throws Error it is missing, unreadable, too large or has a line that cannot be used; the message names its source,
   *   the line and what to do
   * @throws RangeError the realm cannot be sent in a header
   */
  static async create(options: HtpasswdAuthenticatorOptions): Promise<HtpasswdAuthenticator> {
    const { source, logError } = options;
    const challenge = basicChallenge(options.realm);
    try {
      const file = await source.open({
        maxBytes: MAX_HTPASSWD_BYTES,
        parse: parseHtpasswd,
        onBadChange: (error) => {
          logError("the users cannot be read anew; what was read last stays in force until they can", {
            htpasswd: source.name,
            ...(error instanceof HtpasswdError ? { line: error.line } : {}),
            error,
          });
        },
      });
      return new HtpasswdAuthenticator(options, challenge, file, await file.current());
    } catch (error) {
      throw new Error(describe(source.name, error), { cause: error });
    }
  }

  /** What was done so far. */
  get counters(): HtpasswdCounters {
    const { comparisons, queueRejected } = this.#pool.counters;
    return { comparisons, shared: this.#shared, remembered: this.#remembered, queueRejected };
  }

  async authenticate(authorization: string | undefined): Promise<Principal> {
    const header = parseBasicHeader(authorization);
    switch (header.kind) {
      case "missing":
        throw this.#unauthorized("a user name and a password are needed");
      case "malformed":
        throw this.#unauthorized("the Authorization header does not hold Basic credentials");
      case "credentials":
        return await this.#verify(header.credentials);
    }
  }

  /** Ends the pool if it is this authenticator's own; comparisons that wait are rejected. */
  async close(): Promise<void> {
    this.#verified.clear();
    if (this.#ownsPool) await this.#pool.close();
  }

  async #verify(credentials: BasicCredentials): Promise<Principal> {
    const { name, password } = credentials;
    // Both depend on the password alone, so they are the same for every name.
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
      throw this.#unauthorized(`the password is longer than ${MAX_PASSWORD_BYTES} bytes, the most bcrypt can verify`);
    }
    if (password.includes("\0")) throw this.#unauthorized("the password holds a NUL character");

    const { users, highestCost } = await this.#currentFile();
    const hash = users.get(name);
    const fingerprint = this.#fingerprint(credentials, hash);

    const known = this.#verified.get(fingerprint);
    if (known !== undefined) {
      this.#remembered++;
      this.#verified.delete(fingerprint);
      this.#verified.set(fingerprint, known);
      return { kind: "user", name };
    }

    const accepted = await this.#compareOnce(fingerprint, password, hash, highestCost);
    if (!accepted || hash === undefined) throw this.#unauthorized(WRONG);
    // The file may have changed while the comparison waited: what it no longer says is not remembered.
    if (this.#latest.users.get(name) === hash) this.#remember(fingerprint, name, hash);
    return { kind: "user", name };
  }

  async #currentFile(): Promise<Htpasswd> {
    const file = await this.#file.current();
    if (file !== this.#latest) {
      this.#latest = file;
      for (const [fingerprint, { name, hash }] of this.#verified) {
        if (file.users.get(name) !== hash) this.#verified.delete(fingerprint);
      }
    }
    return file;
  }

  /** One string for one credential and the line it is checked with. A name has no colon and a hash no NUL, so no two credentials share their text. */
  #fingerprint({ name, password }: BasicCredentials, hash: string | undefined): string {
    return createHmac("sha256", this.#key)
      .update(`${hash ?? ""}\0${name}:${password}`)
      .digest("base64");
  }

  async #compareOnce(fingerprint: string, password: string, hash: string | undefined, cost: number): Promise<boolean> {
    const pending = this.#pending.get(fingerprint);
    if (pending !== undefined) {
      this.#shared++;
      return await pending;
    }
    const comparison = this.#pool.compare({ password, hash, cost });
    this.#pending.set(fingerprint, comparison);
    try {
      return await comparison;
    } finally {
      this.#pending.delete(fingerprint);
    }
  }

  #remember(fingerprint: string, name: string, hash: string): void {
    this.#verified.set(fingerprint, { name, hash });
    if (this.#verified.size <= this.#maxRemembered) return;
    for (const oldest of this.#verified.keys()) {
      this.#verified.delete(oldest);
      return;
    }
  }

  #unauthorized(message: string): UnauthorizedError {
    return new UnauthorizedError(message, this.challenge);
  }
}

function describe(source: string, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof HtpasswdError) return `htpasswd ${source}, line ${error.line}: ${reason}`;
  if (error instanceof Error && "code" in error && error.code === "ENOENT") {
    return `htpasswd ${source} does not exist; make it with \`htpasswd -B -c <file> <name>\``;
  }
  return `htpasswd ${source}: ${reason}`;
}
