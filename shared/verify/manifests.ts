import type { Digest } from "../oci/digest.ts";
import { digestFrom } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { readStoredManifest } from "../oci/manifest.ts";
import { referencesOf } from "../oci/references.ts";
import type { Tag } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { ObjectTooLargeError } from "../storage/driver.ts";
import { isDamaged, isStored, reportLink, type Looking, type RepositoryLook } from "./repository.ts";

/** Manifests of a repository that are read side by side. */
const READS = 16;

/**
 * What can only be said when all keys of a repository are known. Whatever is missing is looked for once more before it is
 * reported: somebody may have pushed or deleted in between.
 */
export async function checkRepository(looking: Looking, look: RepositoryLook): Promise<void> {
  await mapLimit([...look.revisions], READS, async (digest) => await checkManifest(looking, look, digest));
  await checkTags(looking, look);
  await checkReferrers(looking, look);
}

async function checkManifest(looking: Looking, look: RepositoryLook, digest: Digest): Promise<void> {
  const { driver, report } = looking;
  const { name } = look;
  const key = layout.revisionLink(name, digest);
  const about = { key, repository: name, digest };
  let bytes;
  try {
    bytes = await driver.read(layout.blob(digest), limits.manifestBytes);
  } catch (error) {
    if (!(error instanceof ObjectTooLargeError)) throw error;
    report({ kind: "manifest unreadable", ...about, text: `it is larger than ${limits.manifestBytes} bytes` });
    return;
  }
  // Deleted in between; or an alias, of which the one that is stored is looked at.
  if (bytes === undefined) return;
  const references = referencesOf(bytes);
  if (references === undefined) {
    const text = "it is no JSON object, so nothing can be collected: push it again, or delete it by its digest";
    report({ kind: "manifest unreadable", ...about, text });
    return;
  }
  const damaged = (blob: Digest): boolean => isDamaged(looking, blob);
  const named = (): string => namesOf(look, digest);
  // What it says then is not to be relied on.
  if (damaged(digest)) {
    report({ kind: "image damaged", ...about, text: `the bytes of this manifest are damaged${named()}` });
    return;
  }
  const stored = readStoredManifest(bytes);
  const blobs = stored?.blobs.map((blob) => blob.digest) ?? schema1Layers(bytes);
  const isThere = async (): Promise<boolean> => (await driver.head(key)) !== undefined;
  for (const blob of new Set(blobs)) {
    if (damaged(blob))
      report({ kind: "image damaged", ...about, text: `it needs ${blob}, which is damaged${named()}` });
    if (look.layers.has(blob)) continue;
    const link = layout.layerLink(name, blob);
    if ((await driver.head(link)) !== undefined && (await isStored(looking, blob))) continue;
    if (!(await isThere())) return;
    if (await isStored(looking, blob)) {
      const text = `${digest} needs this blob, which is stored, but the repository has no link to it`;
      const finding = { kind: "link missing" as const, key: link, repository: name, digest: blob, text };
      await reportLink(looking, finding, { key: link, digest: blob, etag: undefined });
    } else if (!looking.allowSparse && !(await hasAlias(looking, link))) {
      report({ kind: "manifest incomplete", ...about, text: `${blob} is not stored: push the image again` });
    }
  }
  for (const child of new Set(stored?.manifests.map((manifest) => manifest.digest))) {
    if (looking.allowSparse || looking.allowSparseIndexes || look.revisions.has(child)) continue;
    if ((await driver.head(layout.revisionLink(name, child))) !== undefined) continue;
    if (!(await isThere())) return;
    report({ kind: "manifest incomplete", ...about, text: `${child}, one of its manifests, is not in the repository` });
  }
  const { subject } = references;
  if (subject === undefined || look.referrers.has(`${subject} ${digest}`)) return;
  const entry = layout.referrerLink(name, subject, digest);
  if ((await driver.head(entry)) !== undefined || !(await isThere())) return;
  const text = `${digest} refers to ${subject}, but is not listed among its referrers; another registry stored it`;
  const finding = { kind: "referrer missing" as const, key: entry, repository: name, digest, text };
  await reportLink(looking, finding, { key: entry, digest, etag: undefined, revisionOf: name });
}

/** By which tags people know it. */
function namesOf({ tags }: RepositoryLook, digest: Digest): string {
  const own = [...tags]
    .filter(([, named]) => named === digest)
    .map(([tag]) => tag)
    .sort();
  return own.length === 0 ? "" : `; tagged ${own.join(", ")}`;
}

/** A link of older registries that leads to the blob under its sha256. */
async function hasAlias({ driver }: Looking, link: string): Promise<boolean> {
  const bytes = await driver.read(link, limits.linkBytes);
  const digest = bytes === undefined ? undefined : digestFrom(Buffer.from(bytes).toString("latin1"));
  return digest !== undefined && (await driver.head(layout.blob(digest))) !== undefined;
}

function schema1Layers(bytes: Uint8Array): Digest[] {
  const { fsLayers } = JSON.parse(Buffer.from(bytes).toString()) as { fsLayers?: unknown };
  if (!Array.isArray(fsLayers)) return [];
  return fsLayers
    .map((layer: unknown) => (layer as { blobSum?: unknown } | null)?.blobSum)
    .map((sum) => (typeof sum === "string" ? digestFrom(sum) : undefined))
    .filter((digest) => digest !== undefined);
}

async function checkTags({ driver, report }: Looking, look: RepositoryLook): Promise<void> {
  const { name, tags, revisions, currentTags, pastTags } = look;
  for (const [tag, digest] of tags) {
    if (revisions.has(digest) || (await driver.head(layout.revisionLink(name, digest))) !== undefined) continue;
    const key = layout.tagLink(name, tag as Tag);
    const bytes = await driver.read(key, limits.linkBytes).catch(() => undefined);
    if (bytes === undefined || Buffer.from(bytes).toString("latin1") !== digest) continue;
    const text = `it names ${digest}, which is no manifest of the repository: push it again, or delete the tag`;
    report({ kind: "tag leads nowhere", key, repository: name, tag, digest, text });
  }
  for (const tag of pastTags) {
    const key = layout.tagLink(name, tag as Tag);
    if (currentTags.has(tag) || (await driver.head(key)) !== undefined) continue;
    const text = "it has a history and names nothing now: push it again, or delete it";
    report({ kind: "tag leads nowhere", key, repository: name, tag, text });
  }
}

async function checkReferrers({ driver, report }: Looking, look: RepositoryLook): Promise<void> {
  const { name, revisions } = look;
  for (const entry of look.referrers) {
    const [subject, referrer] = entry.split(" ") as [Digest, Digest];
    if (revisions.has(referrer)) continue;
    if ((await driver.head(layout.revisionLink(name, referrer))) !== undefined) continue;
    const key = layout.referrerLink(name, subject, referrer);
    if ((await driver.head(key)) === undefined) continue;
    const text = "there is no such manifest; a collection removes the entry when it is old enough";
    report({ kind: "referrer leads nowhere", key, repository: name, digest: referrer, text });
  }
}
