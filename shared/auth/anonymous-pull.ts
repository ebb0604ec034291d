/** The rules of a registry from which anybody may pull, and to which its users push. */
import { ANONYMOUS, type Authenticator } from "./authenticator.ts";
import type { Authorizer } from "./authorizer.ts";
import { parseBasicHeader } from "./basic.ts";

/**
 * The same authenticator, but that who sends no credentials is anonymous; an empty user name, which is how podman says
 * "nobody", is none. Whoever sends some has to have them right.
 */
export function admittingAnonymous(authenticator: Authenticator): Authenticator {
  return {
    challenge: authenticator.challenge,
    authenticate: async (authorization) =>
      parseBasicHeader(authorization).kind === "missing" ? ANONYMOUS : await authenticator.authenticate(authorization),
  };
}

/**
 * Users may do everything, anybody may pull from every repository whose name they know. The catalog is for users: nobody
 * needs it to pull, and it tells the names of all that there is. So is the base path: a client that is not asked for
 * credentials there takes it that nobody ever is, and `docker login` would accept any.
 */
export const anonymousPull: Authorizer = {
  authorize: (principal, wanted) =>
    principal.kind === "user" ||
    wanted.every((access) => access.kind === "repository" && access.actions.every((action) => action === "pull")),
  mayPullEverywhere: () => true,
};
