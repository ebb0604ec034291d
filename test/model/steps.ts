/**
 * The steps of the protocol, each one operation of the store, as docs/garbage-collection.md and the code name them. The
 * model can take no other.
 */
export const STEPS = [
  "clear: GET mark",
  "clear: PUT cleared",
  "clear: revoke permit",

  "promise: GET mark",
  "promise: GET link",
  "promise: HEAD blob",
  "promise: PUT link",

  "commit: PUT bytes",
  "commit: HEAD bytes",
  "commit: PUT link",

  "put manifest: GET child",
  "put manifest: PUT bytes",
  "put manifest: PUT revision",
  "put manifest: PUT referrer entry",
  "put manifest: PUT tag",
  "put manifest: PUT history",

  "run: LIST marks",
  "run: revoke expired permits",
  "run: LIST blobs",
  "run: LIST links",
  "run: LIST revisions",
  "run: LIST tags",
  "run: PUT condemned",
  "run: open permit",
  "run: PUT deleting",
  "run: revoke permit",
  "run: PUT cleared",
  "run: DELETE mark",

  "sweep: LIST history",
  "sweep: DELETE referrer entry",
  "sweep: DELETE revision",
  "sweep: DELETE link",
  "sweep: DELETE bytes",
  "sweep: DELETE history",
  "sweep: DELETE tag",
  "sweep: PUT swept",
] as const;

/**
 * What the collector's code calls those of its steps (shared/gc/steps.ts). It lists links and revisions at once, and writes
 * a journal, of which nothing here depends.
 */
export const COLLECTOR_STEPS: Readonly<Partial<Record<(typeof STEPS)[number], readonly string[]>>> = {
  "run: LIST marks": ["list marks"],
  "run: revoke expired permits": ["revoke expired permits"],
  "run: LIST blobs": ["list blobs"],
  "run: LIST links": ["list repositories"],
  "run: LIST revisions": ["list repositories", "read manifests"],
  "run: LIST tags": ["read tags"],
  "run: PUT condemned": ["condemn"],
  "run: open permit": ["open permit"],
  "run: PUT deleting": ["deleting"],
  "run: revoke permit": ["revoke permit"],
  "run: PUT cleared": ["clear mark"],
  "run: DELETE mark": ["drop mark"],
  "sweep: LIST history": ["list repositories"],
  "sweep: DELETE referrer entry": ["delete links"],
  "sweep: DELETE revision": ["delete links"],
  "sweep: DELETE link": ["delete links"],
  "sweep: DELETE bytes": ["delete bytes"],
  "sweep: DELETE history": ["delete links"],
  "sweep: DELETE tag": ["delete links"],
  "sweep: PUT swept": ["swept"],
};

/**
 * What the code of a push calls those of its steps (shared/registry/steps.ts). A child is promised by its revision and its
 * bytes; that the referrers of a manifest are listed first nothing here depends on.
 */
export const PUSHER_STEPS: Readonly<Partial<Record<(typeof STEPS)[number], readonly string[]>>> = {
  "clear: GET mark": ["read mark"],
  "clear: PUT cleared": ["clear mark"],
  "clear: revoke permit": ["revoke permit"],
  "promise: GET mark": ["read mark"],
  "promise: GET link": ["read link"],
  "promise: HEAD blob": ["look at bytes"],
  "promise: PUT link": ["renew link", "write link"],
  "commit: PUT bytes": ["write bytes"],
  "commit: HEAD bytes": ["look at bytes"],
  "commit: PUT link": ["write link"],
  "put manifest: GET child": ["read link", "look at bytes"],
  "put manifest: PUT bytes": ["write bytes"],
  "put manifest: PUT revision": ["write revision"],
  "put manifest: PUT referrer entry": ["write referrer entry"],
  "put manifest: PUT tag": ["write tag"],
  "put manifest: PUT history": ["write tag"],
};

/** What the protocol does, or what is done around it. */
export type StepName =
  (typeof STEPS)[number] | `${"client" | "user" | "other registry" | "undo" | "late request" | "mutant"}: ${string}`;
