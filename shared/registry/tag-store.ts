import type { Digest } from "../oci/digest.ts";
import { tagFrom, type RepositoryName, type Tag } from "../oci/reference.ts";
import { listChildren, listKeys, type StorageDriver } from "../storage/driver.ts";
import { mapLimit } from "./concurrency.ts";
import { layout } from "./layout.ts";
import { readLink, writeLink } from "./link.ts";
import type { RecentMap } from "./recent-map.ts";
import { firstPage, type NamePage, type PageRequest } from "./page.ts";

/** The tags of one repository. */
export class TagStore {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;
  readonly #concurrency: number;
  readonly #seen: RecentMap<Digest>;

  /** `concurrency`: tags that are read at a time where all have to be. `seen`: shared by all repositories. */
  constructor(driver: StorageDriver, name: RepositoryName, concurrency: number, seen: RecentMap<Digest>) {
    this.#driver = driver;
    this.#name = name;
    this.#concurrency = concurrency;
    this.#seen = seen;
  }

  /** The manifest that a tag names, or undefined. */
  async resolve(tag: Tag): Promise<Digest | undefined> {
    const digest = await readLink(this.#driver, layout.tagLink(this.#name, tag));
    if (digest !== undefined) this.#seen.set(`${this.#name}:${tag}`, digest);
    return digest;
  }

  /** What the tag named when this process last resolved it: a guess, for asking ahead. */
  lastSeen(tag: Tag): Digest | undefined {
    return this.#seen.get(`${this.#name}:${tag}`);
  }

  /**
   * Makes a tag name a manifest, which must be stored. The link that is read is written before the one that records history:
   * a push that dies in between leaves a tag that works, never a listed tag that leads nowhere.
   */
  async set(tag: Tag, digest: Digest): Promise<void> {
    await writeLink(this.#driver, layout.tagLink(this.#name, tag), digest);
    await writeLink(this.#driver, layout.tagHistoryLink(this.#name, tag, digest), digest);
  }

  /**
   * Removes a tag and its history. False if there was none. The link that is read goes last: a delete that dies in between
   * leaves a tag that works, and that the retry finds by what it names.
   */
  async delete(tag: Tag): Promise<boolean> {
    const link = layout.tagLink(this.#name, tag);
    const history: string[] = [];
    for await (const { key } of listKeys(this.#driver, layout.tag(this.#name, tag))) {
      if (key !== link) history.push(key);
    }
    const existed = (await this.#driver.head(link)) !== undefined;
    await this.#driver.deleteMany(history);
    await this.#driver.delete(link);
    return existed || history.length > 0;
  }

  /** Tags in lexical order. The store's own order is of no use: it has `a-b/` before `a/`. */
  async list(page: PageRequest): Promise<NamePage> {
    return firstPage(await this.#all(), page);
  }

  /** The tags that name this manifest: a read of every tag. */
  async naming(digest: Digest): Promise<Tag[]> {
    const tags = (await this.#all()).map(tagFrom).filter((tag) => tag !== undefined);
    const named = await mapLimit(tags, this.#concurrency, async (tag) => await this.resolve(tag));
    return tags.filter((_, index) => named[index] === digest);
  }

  async #all(): Promise<string[]> {
    return await listChildren(this.#driver, layout.tags(this.#name));
  }
}
