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

  "sweep: DELETE referrer entry",
  "sweep: DELETE revision",
  "sweep: DELETE link",
  "sweep: DELETE bytes",
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
  "sweep: DELETE referrer entry": ["delete links"],
  "sweep: DELETE revision": ["delete links"],
  "sweep: DELETE link": ["delete links"],
  "sweep: DELETE bytes": ["delete bytes"],
  "sweep: PUT swept": ["swept"],
};

/** What the protocol does, or what is done around it. */
export type StepName = (typeof STEPS)[number] | `${"client" | "user" | "undo" | "late request" | "mutant"}: ${string}`;
