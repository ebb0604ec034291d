import { limits } from "../oci/limits.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { listKeys, listPages, type StorageDriver } from "../storage/driver.ts";
import { everyRepository, isRepository } from "./catalog.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { catalogEntryName, layout } from "./layout.ts";
import { startOf } from "./ordered-names.ts";
import type { NamePage, PageRequest } from "./page.ts";
import { RecentMap } from "./recent-map.ts";

/** What bringing the index up to date has changed. */
export interface CatalogRefresh {
  /** Repositories that were not in it. */
  readonly added: number;
  /** Entries whose repository is gone. */
  readonly removed: number;
}

/**
 * The catalog as an index: an empty object for each repository, in the order of names, so that a page of the catalog is a
 * page of the store. Every repository that was pushed to here is in it when the push is answered; one that another registry
 * made, or that was emptied, is added or removed by the next refresh.
 *
 * A push writes its link below `_manifests/` first and then the entry; a removal deletes the entry first and then looks
 * below `_manifests/`, and puts the entry back if something is there. Of the last delete of an entry and the write of it by
 * a push, one comes after the other: either the write does, and the entry stays; or the delete does, and what looks after it
 * finds the link. So a push at any moment ends with an entry, though it may be missing for as long as the removal takes, and
 * for longer where that dies on the way: then until the next refresh.
 *
 * Pushes write an entry once and remember it for `cataloguedMs`. An entry is not removed within twice that time after it was
 * written, so nobody remembers one that was.
 */
export class CatalogIndex {
  readonly #driver: StorageDriver;
  readonly #now: () => Date;
  /** When the entries that this process wrote were written, at the earliest. In milliseconds. */
  readonly #written = new RecentMap<number>(limits.cataloguedSeen);
  #complete = false;
  #building: Promise<unknown> | undefined;

  constructor(driver: StorageDriver, now: () => Date) {
    this.#driver = driver;
    this.#now = now;
  }

  /** Names of repositories in lexical order: one LIST for each 1,000. The first listing of all makes the index. */
  async list(page: PageRequest): Promise<NamePage> {
    // In this order: entries that are listed before the mark is seen may be those of an index in the making.
    this.#complete ||= (await this.#driver.head(layout.catalogComplete)) !== undefined;
    if (!this.#complete) {
      this.#building ??= this.refresh({ ageMs: 0 }).finally(() => (this.#building = undefined));
      await this.#building;
    }
    return await this.#page(page);
  }

  /** Enters a repository. To be called when something lies below its `_manifests/`, and awaited before that is told. */
  async add(name: RepositoryName): Promise<void> {
    const now = this.#now().getTime();
    if (now - (this.#written.get(name) ?? -Infinity) < limits.cataloguedMs) return;
    await this.#put(name);
    this.#written.set(name, now);
  }

  /** Makes the index say what the storage holds, unless it was made to less than `ageMs` ago. Any number may do so at once. */
  async refresh({ ageMs }: { ageMs: number }): Promise<CatalogRefresh | undefined> {
    const mark = await this.#driver.head(layout.catalogComplete);
    if (mark !== undefined && this.#now().getTime() - mark.lastModified.getTime() < ageMs) return undefined;

    return await this.reconcile(await everyRepository(this.#driver, limits.catalogRefresh));
  }

  /** The same, for who has just listed the names of all repositories. */
  async reconcile(names: Iterable<RepositoryName>): Promise<CatalogRefresh> {
    const existing = new Set(names);
    const entered = new Set<RepositoryName>();
    for await (const { key } of listKeys(this.#driver, layout.catalogEntries)) {
      const name = catalogEntryName(key);
      if (name !== undefined) entered.add(name);
    }
    const missing = [...existing].filter((name) => !entered.has(name));
    await mapLimit(missing, limits.catalogRefresh, async (name) => await this.#put(name));
    const gone = [...entered].filter((name) => !existing.has(name));
    const removed = await mapLimit(gone, limits.catalogRefresh, async (name) => await this.#removeIfGone(name));

    await this.#driver.put(layout.catalogComplete, Buffer.from(this.#now().toISOString()));
    this.#complete = true;
    return { added: missing.length, removed: removed.filter(Boolean).length };
  }

  async #page({ limit, last = "" }: PageRequest): Promise<NamePage> {
    const names: string[] = [];
    const startAfter = layout.catalogEntry(startOf(last));
    for await (const page of listPages(this.#driver, layout.catalogEntries, { startAfter, limit })) {
      for (const { key } of page.objects) {
        const name = catalogEntryName(key);
        if (name === undefined) continue;
        if (names.length === limit) return { names, more: true };
        names.push(name);
      }
      if (names.length === limit) return { names, more: page.next !== undefined };
    }
    return { names, more: false };
  }

  async #put(name: RepositoryName): Promise<void> {
    await this.#driver.put(layout.catalogEntry(name), new Uint8Array());
  }

  /** The order of the requests is what makes it safe beside a push; see above. */
  async #removeIfGone(name: RepositoryName): Promise<boolean> {
    const key = layout.catalogEntry(name);
    const entry = await this.#driver.head(key);
    if (entry === undefined || this.#now().getTime() - entry.lastModified.getTime() < 2 * limits.cataloguedMs) {
      return false;
    }
    if (await isRepository(this.#driver, name)) return false;
    await this.#driver.delete(key);
    if (!(await isRepository(this.#driver, name))) return true;
    await this.#put(name);
    return false;
  }
}
