import type { Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { BlobStore } from "./blob-store.ts";
import { CatalogIndex, type CatalogRefresh } from "./catalog-index.ts";
import { isRepository, listRepositories } from "./catalog.ts";
import { gcTimes, type GcTimes } from "./gc-times.ts";
import { ManifestStore, type ManifestPolicy } from "./manifest-store.ts";
import type { NamePage, PageRequest } from "./page.ts";
import { Promises } from "./promises.ts";
import { RecentMap } from "./recent-map.ts";
import { ReferrerIndex } from "./referrer-index.ts";
import { TagStore, type IsImmutable } from "./tag-store.ts";
import { PullLog } from "./pull-log.ts";
import { purgeUploads, type PurgeReport } from "./upload-purge.ts";
import { UploadStore } from "./upload-store.ts";

/**
 * When pulls are recorded. What a process does after its answer costs nobody time, but one that stands still between
 * requests has to be done before.
 */
export type PullRecording = "never" | "after the answer" | "before the answer";

/** What a registry is made of. */
export interface RegistryParts {
  readonly driver: StorageDriver;
  readonly policy: ManifestPolicy;
  readonly now: () => Date;
  /** Tags that are read at a time where all have to be. Default 8. */
  readonly tagConcurrency?: number;
  /** Tags that never name anything else, on a store that decides conditional writes. Default: none. */
  readonly isImmutable?: IsImmutable;
  /**
   * Where the catalog is read: by a walk through all folders, or in an index of our own, which is what object storage wants.
   * The index is written by pushes, and by the first listing, so a registry that may not write has to walk. Default "walk".
   */
  readonly catalog?: "walk" | "index";
  /** The times of garbage collection: those of the collector, and of every other process. Default `gcTimes()`. */
  readonly times?: GcTimes;
  /** Do collections of this storage delete tags? Then each push of one asks whether it is being deleted. Default false. */
  readonly tagsExpire?: boolean;
  /** Is it recorded what is pulled, and does who pulls wait for that? Default: it is not. */
  readonly recordPulls?: PullRecording;
  /** How a push waits while what it brings is being deleted. Default: by a timer. */
  readonly pause?: (ms: number) => Promise<unknown>;
}

/** One repository: what it holds, by kind. */
export interface Repository {
  readonly name: RepositoryName;
  readonly blobs: BlobStore;
  readonly uploads: UploadStore;
  readonly manifests: ManifestStore;
  readonly tags: TagStore;
  /** Has anything ever been tagged or pushed here? */
  exists(): Promise<boolean>;
}

/** A registry over a storage driver. Holds nothing that its answers rest on: any number of processes may serve one storage. */
export class Registry {
  readonly #parts: RegistryParts;
  readonly #tagsSeen = new RecentMap<Digest>(limits.tagsSeen);
  readonly #catalog: CatalogIndex | undefined;
  readonly #promises: Promises;
  readonly #pulls: PullLog | undefined;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#catalog = parts.catalog === "index" ? new CatalogIndex(parts.driver, parts.now) : undefined;
    this.#promises = new Promises(parts.driver, parts.times ?? gcTimes(), parts.now, parts.pause);
    const { recordPulls = "never", driver, now } = parts;
    this.#pulls = recordPulls === "never" ? undefined : new PullLog(driver, now);
  }

  /** Somebody was given a manifest. Ends when it may be answered; never rejects. */
  async pulled(name: RepositoryName, digest: Digest): Promise<void> {
    const recorded = this.#pulls?.record(name, digest);
    if (this.#parts.recordPulls === "before the answer") await recorded;
  }

  /** Ends when nothing is being written that no answer waits for. */
  async settled(): Promise<void> {
    await this.#pulls?.settled();
  }

  /** The repository of this name, whether it exists or not. Costs nothing. */
  repository(name: RepositoryName): Repository {
    const { driver, policy, now, tagConcurrency = 8, isImmutable = () => false, tagsExpire = false } = this.#parts;
    const blobs = new BlobStore(driver, name, this.#promises);
    const tags = new TagStore(driver, name, { concurrency: tagConcurrency, seen: this.#tagsSeen, isImmutable });
    const referrers = new ReferrerIndex(driver, name);
    const stores = { tags, referrers, catalog: this.#catalog, promises: this.#promises, tagsExpire };
    return {
      name,
      blobs,
      tags,
      uploads: new UploadStore(driver, name, { blobs, promises: this.#promises }, now),
      manifests: new ManifestStore(driver, name, stores, policy),
      exists: async () => await isRepository(driver, name),
    };
  }

  /** Names of repositories in lexical order. */
  async repositories(page: PageRequest): Promise<NamePage> {
    return await (this.#catalog?.list(page) ?? listRepositories(this.#parts.driver, page));
  }

  /**
   * Brings the catalog's index up to date, unless that was done less than `ageMs` ago: adds repositories that other
   * registries made, and removes those that are gone. Undefined where nothing was to be done, as for a registry that walks.
   */
  async refreshCatalog(options: { ageMs: number }): Promise<CatalogRefresh | undefined> {
    return await this.#catalog?.refresh(options);
  }

  /** The same for who has just listed all repositories: no request for each of them. */
  async reconcileCatalog(names: Iterable<RepositoryName>): Promise<CatalogRefresh | undefined> {
    return await this.#catalog?.reconcile(names);
  }

  /** Removes upload sessions in which nothing was written for `ageMs`. */
  async purgeUploads(options: { ageMs: number; dryRun: boolean }): Promise<PurgeReport> {
    return await purgeUploads(this.#parts.driver, this.#parts.now, options);
  }
}
