/**
 * Reads everything that a registry keeps and reports what is not as it should be; docs/verify.md has the list. Beside pushes
 * and collections: what looks wrong is looked at again before it is reported. What is written is right whenever it is
 * written, and nothing is deleted.
 */
import { repositoryNameFrom, type RepositoryName } from "../oci/reference.ts";
import { isRepository } from "../registry/catalog.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { catalogEntryName, layout } from "../registry/layout.ts";
import { Marks } from "../registry/marks.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { listPages, type StorageDriver } from "../storage/driver.ts";
import { listBlobs, readBlobs } from "./bytes.ts";
import { KINDS, type Finding } from "./finding.ts";
import { checkLink, linkKeyOf, type LinkKey } from "./links.ts";
import { checkRepository } from "./manifests.ts";
import { newLook, type Looking, type RepositoryLook } from "./repository.ts";

/** Links that are read side by side, and how many are gathered before. */
const LINK_READS = 24;
const LINK_BATCH = 480;

/** How it is looked. */
export interface VerifyOptions {
  readonly times: GcTimes;
  readonly repair: boolean;
  /** Blobs that are read side by side. */
  readonly reads: number;
  /** Are manifests allowed whose blobs, or indexes whose children, are not here? */
  readonly allowSparse: boolean;
  readonly allowSparseIndexes: boolean;
  readonly report: (finding: Finding) => void;
  readonly progress?: (progress: VerifyProgress) => void;
  /** Makes the index of the catalog agree with the repositories that there are, where there is an index. */
  readonly reconcileCatalog?: ((names: Iterable<RepositoryName>) => Promise<unknown>) | undefined;
}

/** How far it is. */
export interface VerifyProgress {
  readonly part: "list blobs" | "read blobs" | "read repositories" | "read the rest";
  /** Bytes of blobs, or links. */
  readonly done: number;
  readonly total?: number;
}

/** What was looked at, and what came of it. */
export interface Verified {
  readonly blobs: number;
  readonly bytes: number;
  readonly repositories: number;
  readonly links: number;
  /** That are left, or were found where nothing is repaired. */
  readonly damages: number;
  readonly notes: number;
  readonly repaired: number;
  /** Of those that are left, what `repair` would see to. */
  readonly repairable: number;
}

/** Looks at everything. Throws where the store does not answer. */
export async function verify(driver: StorageDriver, options: VerifyOptions): Promise<Verified> {
  const counts = { damages: 0, notes: 0, repaired: 0, repairable: 0 };
  const report = (finding: Finding): void => {
    if (finding.repair === "done") counts.repaired++;
    else if (KINDS[finding.kind] === "damage") counts.damages++;
    else counts.notes++;
    if (finding.repair === "possible") counts.repairable++;
    options.report(finding);
  };
  const progress = options.progress ?? (() => undefined);
  progress({ part: "list blobs", done: 0 });
  const blobs = await listBlobs(driver, report);
  let total = 0;
  for (let row = 0; row < blobs.length; row++) total += blobs.sizeOf(row);
  let done = 0;
  const damaged = await readBlobs(driver, blobs, options.reads, report, (bytes) => {
    done += bytes;
    progress({ part: "read blobs", done, total });
  });
  const looking = { ...options, driver, blobs, damaged, report };
  const { names, repositories, links, keys } = await readRepositories(looking, progress);
  if (blobs.length > 0 && keys === 0) await reportMissing(looking);
  progress({ part: "read the rest", done: 0 });
  await readCatalog(looking, names, options.reconcileCatalog);
  await readMarks(looking);
  await findUnknown(looking);
  return { blobs: blobs.length, bytes: total, repositories, links, ...counts };
}

type Progress = NonNullable<VerifyOptions["progress"]>;

async function readRepositories(looking: Looking, progress: Progress) {
  const { driver, report } = looking;
  const names: RepositoryName[] = [];
  const counts = { repositories: 0, links: 0, keys: 0 };
  let look: RepositoryLook | undefined;
  let waiting: LinkKey[] = [];
  const readWaiting = async (): Promise<void> => {
    const of = look;
    if (of === undefined) return;
    await mapLimit(waiting, LINK_READS, async (link) => await checkLink(looking, of, link));
    counts.links += waiting.length;
    waiting = [];
    progress({ part: "read repositories", done: counts.links });
  };
  const end = async (): Promise<void> => {
    await readWaiting();
    if (look === undefined) return;
    await checkRepository(looking, look);
    counts.repositories++;
    if (look.revisions.size + look.currentTags.size > 0) names.push(look.name);
  };
  for await (const { objects } of listPages(driver, layout.repositories)) {
    counts.keys += objects.length;
    for (const { key } of objects) {
      const link = linkKeyOf(key);
      if (link === "upload") continue;
      if (link === undefined) {
        report({ kind: "unknown key", key, text: "it is nothing that a registry stores, and nothing reads it" });
        continue;
      }
      // A repository's keys follow each other.
      if (link.repository !== look?.name) {
        await end();
        const name = repositoryNameFrom(link.repository);
        look = name === undefined ? undefined : newLook(name);
      }
      waiting.push(link);
      if (waiting.length >= LINK_BATCH) await readWaiting();
    }
  }
  await end();
  return { names, ...counts };
}

/** A first push may have come in between: it is looked again. */
async function reportMissing({ driver, blobs, report }: Looking): Promise<void> {
  const key = layout.repositories;
  for await (const { objects } of listPages(driver, key, { limit: 1 })) if (objects.length > 0) return;
  const text = `${blobs.length} blobs are stored and not one key of a repository: part of the storage is missing`;
  report({ kind: "repositories missing", key, text });
}

async function readCatalog(
  { driver, report, repair }: Looking,
  names: readonly RepositoryName[],
  reconcile: VerifyOptions["reconcileCatalog"],
): Promise<void> {
  const missing = new Set(names);
  const gone: RepositoryName[] = [];
  for await (const { objects } of listPages(driver, layout.catalogEntries)) {
    for (const { key } of objects) {
      const name = catalogEntryName(key);
      if (name === undefined) report({ kind: "unknown key", key, text: "it is no entry of the catalog" });
      else if (!missing.delete(name) && !(await isRepository(driver, name))) gone.push(name);
    }
  }
  // Without it there is no index, or it is still being made.
  if ((await driver.head(layout.catalogComplete)) === undefined) return;
  const isRepaired = repair && reconcile !== undefined && missing.size + gone.length > 0;
  const existing = async (name: RepositoryName): Promise<boolean> => await isRepository(driver, name);
  if (isRepaired) {
    const known = new Set(names);
    for (const name of gone) if (await existing(name)) known.add(name);
    await reconcile(known);
  }
  const after = reconcile === undefined ? {} : { repair: repair ? ("done" as const) : ("possible" as const) };
  for (const name of missing) {
    const key = layout.catalogEntry(name);
    if (!isRepaired && (await driver.head(key)) !== undefined) continue;
    const text = "the repository is not in the catalog; another registry made it, and the next refresh enters it";
    report({ kind: "catalog entry missing", key, repository: name, text, ...after });
  }
  for (const name of gone) {
    const key = layout.catalogEntry(name);
    const isLeft = isRepaired && (await driver.head(key)) !== undefined;
    const text = "there is no such repository; a refresh removes the entry once it is two hours old";
    report({ kind: "catalog entry of nothing", key, repository: name, text, ...(isLeft ? {} : after) });
  }
}

async function readMarks({ driver, times, report }: Looking): Promise<void> {
  const marks = new Marks(driver, times);
  for (const prefix of [layout.blobMarks, layout.revisionMarks, layout.tagMarks]) {
    for await (const { objects } of listPages(driver, prefix)) {
      const odd = objects.filter(({ size }) => Marks.stateOfSize(size) === undefined);
      await mapLimit(odd, LINK_READS, async ({ key }) => {
        const { mark } = await marks.read(key);
        if (mark?.state !== "deleting" || mark.permit !== undefined) return;
        const text = "it cannot be understood: it counts as being deleted, and a collection takes it over";
        report({ kind: "mark malformed", key, text });
      });
    }
  }
}

const ROOT_FOLDERS: readonly string[] = [
  layout.blobs,
  layout.repositories,
  `${layout.root}_catalog/`,
  `${layout.root}_gc/`,
];
const OURS: readonly string[] = [
  layout.catalogEntries,
  layout.blobMarks,
  layout.revisionMarks,
  layout.tagMarks,
  layout.pulls,
  layout.gcRuns,
  layout.gcReferences,
  layout.gcTrash,
];
const OWN_KEYS: readonly string[] = [layout.catalogComplete, layout.gcLease];

/** What lies beside all that is known, a folder as one. */
async function findUnknown({ driver, report }: Looking): Promise<void> {
  const folders = [layout.root, `${layout.root}_catalog/`, `${layout.root}_gc/`, `${layout.root}_gc/marks/`];
  const known = [...ROOT_FOLDERS, ...OURS, ...folders];
  for (const folder of folders) {
    for await (const { objects, prefixes } of listPages(driver, folder, { delimiter: "/" })) {
      const keys = objects.map(({ key }) => key).filter((key) => !OWN_KEYS.includes(key));
      for (const key of [...keys, ...prefixes.filter((prefix) => !known.includes(prefix))]) {
        report({ kind: "unknown key", key, text: "it is nothing that a registry stores, and nothing reads it" });
      }
    }
  }
}
