/**
 * What a push does to the store so that no collection takes anything from it, by the names of docs/garbage-collection.md;
 * the model (test/model) has the same, and test/gc/schedules sees that pushes do nothing else. In the order in which a push
 * first takes them.
 */
export const STEPS = [
  "read mark",
  "read link",
  "look at bytes",
  "revoke permit",
  "clear mark",
  "renew link",
  "write bytes",
  "write link",
  "list referrers",
  "write revision",
  "write referrer entry",
  "write tag",
] as const;

/** The name of a step. */
export type Step = (typeof STEPS)[number];
