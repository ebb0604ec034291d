import type { Digest } from "../oci/digest.ts";

/**
 * A thing that goes, and why: a row of a table. With a repository and a tag it is that tag, with a repository alone the
 * manifest of that digest there, and with neither the bytes of a blob.
 */
export interface Planned {
  readonly digest: Digest;
  readonly repository?: string;
  /** A tag; `digest` is what it names. */
  readonly tag?: string;
  /** In a few words. */
  readonly reason: string;
  /** In bytes, of what is freed at once: only blobs have any. */
  readonly size?: number;
}
