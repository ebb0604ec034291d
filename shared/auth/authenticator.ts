/** Who is asking: somebody unnamed, or a user whose credential was verified. */
export type Principal = { readonly kind: "anonymous" } | { readonly kind: "user"; readonly name: string };

/** The principal of a request for which no credential is asked. */
export const ANONYMOUS: Principal = { kind: "anonymous" };

/** Turns the credentials of a request into a principal. */
export interface Authenticator {
  /**
   * @param authorization the value of the `Authorization` header, as received
   * @throws UnauthorizedError the credentials are missing, malformed or wrong
   * @throws TooManyAttemptsError too many credentials wait to be verified; nothing was verified
   */
  authenticate(authorization: string | undefined): Promise<Principal>;

  /** The value of `WWW-Authenticate` that asks for credentials; undefined where none are ever asked. */
  readonly challenge: string | undefined;
}

/** The credentials are missing or not accepted. The message never says whether the user exists. */
export class UnauthorizedError extends Error {
  override readonly name = "UnauthorizedError";
  /** The value of `WWW-Authenticate`. */
  readonly challenge: string;

  constructor(message: string, challenge: string) {
    super(message);
    this.challenge = challenge;
  }
}

/** More credentials wait to be verified than the server is willing to hold. */
export class TooManyAttemptsError extends Error {
  override readonly name = "TooManyAttemptsError";
  /** When to try again: whole seconds, at least 1. */
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super("too many sign-in attempts are waiting; try again later");
    this.retryAfterSeconds = Math.max(1, Math.ceil(retryAfterSeconds));
  }
}

/** The authenticator of a registry without users: everyone is anonymous, whatever credentials they send. */
export const anonymousAuthenticator: Authenticator = {
  challenge: undefined,
  authenticate: async () => ANONYMOUS,
};
