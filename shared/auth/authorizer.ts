import type { Principal } from "./authenticator.ts";

/** What can be done to a repository. */
export type Action = "pull" | "push" | "delete";

/**
 * One thing a request needs: actions on one repository, the catalog of all repositories, or the base path, at which clients
 * ask whether they have to sign in.
 */
export type Access =
  | { readonly kind: "repository"; readonly repository: string; readonly actions: readonly Action[] }
  | { readonly kind: "catalog" }
  | { readonly kind: "base" };

/** Decides what a principal may do. Who is refused and anonymous may be asked for credentials; that is for others to say. */
export interface Authorizer {
  /** Whether the principal may have all of the wanted access; part of it is a no. */
  authorize(principal: Principal, wanted: readonly Access[]): boolean;

  /**
   * Whether the principal may pull from every repository. A mount that names no source (`?mount=` without `from=`)
   * looks for the blob in all of them, so it is only open to those who could read them all anyway.
   */
  mayPullEverywhere(principal: Principal): boolean;
}

/** Everyone whom the authenticator lets in may do everything: the rule of htpasswd, and of a registry without users. */
export const allowAll: Authorizer = {
  authorize: () => true,
  mayPullEverywhere: () => true,
};
