import { limits } from "../oci/limits.ts";
import { referencesOf } from "../oci/references.ts";
import { layout } from "../registry/layout.ts";
import type { StorageDriver } from "../storage/driver.ts";
import type { RevisionSweep } from "./plan.ts";

/** The manifest with its entry in our index of referrers, if it has a subject: that goes first. */
export async function withReferrerEntry(driver: StorageDriver, item: RevisionSweep): Promise<RevisionSweep> {
  const { repository, digest, isStored } = item.revision;
  if (!isStored) return item;
  const bytes = await driver.read(layout.blob(digest), limits.manifestBytes);
  const subject = bytes === undefined ? undefined : referencesOf(bytes)?.subject;
  return subject === undefined
    ? item
    : { ...item, links: [layout.referrerLink(repository, subject, digest), ...item.links] };
}
