import type { BlobTable } from "../gc/blob-table.ts";
import type { Bits } from "../gc/columns.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import type { StorageDriver } from "../storage/driver.ts";
import type { Finding, FindingKind } from "./finding.ts";
import { writeAgain, type BrokenLink } from "./repair.ts";

/** What repositories are looked at with. */
export interface Looking {
  readonly driver: StorageDriver;
  readonly times: GcTimes;
  readonly blobs: BlobTable;
  /** Rows of blobs whose bytes are not their digest, or cannot be read. */
  readonly damaged: Bits;
  readonly repair: boolean;
  /** Are manifests and indexes allowed whose blobs or children are not here? */
  readonly allowSparse: boolean;
  readonly allowSparseIndexes: boolean;
  readonly report: (finding: Finding) => void;
}

/** What is known of one repository while its keys are listed: as much as it has links. */
export interface RepositoryLook {
  readonly name: RepositoryName;
  /** Digests with a link that leads to stored bytes, and what manifests those are. */
  readonly layers: Set<Digest>;
  readonly revisions: Set<Digest>;
  readonly tags: Map<string, Digest>;
  /** Tags that have a link which is read, and those that have a history. */
  readonly currentTags: Set<string>;
  readonly pastTags: Set<string>;
  /** `subject referrer`. */
  readonly referrers: Set<string>;
}

/** Nothing is known yet. */
export function newLook(name: RepositoryName): RepositoryLook {
  return {
    name,
    layers: new Set(),
    revisions: new Set(),
    tags: new Map(),
    currentTags: new Set(),
    pastTags: new Set(),
    referrers: new Set(),
  };
}

/** Is there a blob of this digest? One that came after the list is asked for. */
export async function isStored({ driver, blobs }: Looking, digest: Digest): Promise<boolean> {
  return blobs.find(digest) !== undefined || (await driver.head(layout.blob(digest))) !== undefined;
}

/** Is it known that the bytes of this blob are not its digest, or cannot be read? */
export function isDamaged({ blobs, damaged }: Looking, digest: Digest): boolean {
  const row = blobs.find(digest);
  return row !== undefined && damaged.has(row);
}

/** Reports a link that has to be written, and writes it where that is asked for. */
export async function reportLink(
  looking: Looking,
  finding: Omit<Finding, "repair"> & { readonly kind: FindingKind },
  link: BrokenLink,
): Promise<void> {
  const { driver, times, repair, report } = looking;
  if (!(await isStored(looking, link.digest)) || isDamaged(looking, link.digest)) {
    report(finding);
    return;
  }
  const failure = repair ? await writeAgain(driver, times, link) : undefined;
  if (failure === undefined) report({ ...finding, repair: repair ? "done" : "possible" });
  else report({ ...finding, text: `${finding.text}; it was not written again: ${failure}`, repair: "not done" });
}
