/**
 * What a run does to the store, by the names of docs/garbage-collection.md; the model (test/model) has the same. In the
 * order in which a run first takes them.
 */
export const STEPS = [
  "list marks",
  "drop mark",
  "revoke expired permits",
  "list blobs",
  "list repositories",
  "read manifests",
  "read tags",
  "clear mark",
  "condemn",
  "revoke permit",
  "open permit",
  "deleting",
  "journal",
  "delete links",
  "delete bytes",
  "swept",
] as const;

/** The name of a step. */
export type Step = (typeof STEPS)[number];
