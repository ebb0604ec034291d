/** What a plan does not know of a manifest or a tag, and is looked up just before it is swept. */
import { limits } from "../oci/limits.ts";
import { referencesOf } from "../oci/references.ts";
import { layout } from "../registry/layout.ts";
import { listKeys, type StorageDriver } from "../storage/driver.ts";
import type { RevisionSweep } from "./plan.ts";
import { secondsOf } from "./times.ts";

/**
 * A manifest with its entry in our index of referrers, if it has a subject, or a tag with its history: these go first.
 * Undefined for a tag that was set at `horizon` (in seconds since 1970) or later, by a registry that knows no marks.
 */
export async function completed(
  driver: StorageDriver,
  item: RevisionSweep,
  horizon: number,
): Promise<RevisionSweep | undefined> {
  return item.revision.tag === undefined
    ? await withReferrerEntry(driver, item)
    : await withHistory(driver, item, horizon);
}

async function withReferrerEntry(driver: StorageDriver, item: RevisionSweep): Promise<RevisionSweep> {
  const { repository, digest, isStored } = item.revision;
  if (!isStored) return item;
  const bytes = await driver.read(layout.blob(digest), limits.manifestBytes);
  const subject = bytes === undefined ? undefined : referencesOf(bytes)?.subject;
  return subject === undefined
    ? item
    : { ...item, links: [layout.referrerLink(repository, subject, digest), ...item.links] };
}

async function withHistory(
  driver: StorageDriver,
  item: RevisionSweep,
  horizon: number,
): Promise<RevisionSweep | undefined> {
  const { repository, tag } = item.revision;
  if (tag === undefined) return item;
  const links: string[] = [];
  for await (const { key, lastModified } of listKeys(driver, layout.tag(repository, tag))) {
    if (key !== item.last) links.push(key);
    else if (secondsOf(lastModified) >= horizon) return undefined;
  }
  return { ...item, links };
}
