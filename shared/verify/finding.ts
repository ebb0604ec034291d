import type { Digest } from "../oci/digest.ts";

/** What can be wrong, and how bad it is: `damage` is what a client can run into, a `note` harms nobody. */
export const KINDS = {
  "repositories missing": "damage",
  "blob damaged": "damage",
  "blob unreadable": "damage",
  "link malformed": "damage",
  "link missing": "damage",
  "manifest missing": "damage",
  "manifest unreadable": "damage",
  "manifest incomplete": "damage",
  "image damaged": "damage",
  "tag malformed": "damage",
  "tag leads nowhere": "damage",
  "link leads nowhere": "note",
  "referrer leads nowhere": "note",
  "referrer missing": "note",
  "catalog entry missing": "note",
  "catalog entry of nothing": "note",
  "mark malformed": "note",
  "unknown key": "note",
} as const satisfies Record<string, "damage" | "note">;

/** One of KINDS. */
export type FindingKind = keyof typeof KINDS;

/** Something that is not as it should be. */
export interface Finding {
  readonly kind: FindingKind;
  /** Of the object that is wrong, or is missing. */
  readonly key: string;
  readonly repository?: string;
  readonly tag?: string;
  readonly digest?: Digest;
  /** What is wrong, and what can be done about it: a sentence. */
  readonly text: string;
  /**
   * Absent: not a matter that can be repaired for certain. `possible`: it could be. `done`: it was. `not done`: it was tried,
   * and `text` says why it could not be done.
   */
  readonly repair?: "possible" | "done" | "not done";
}
