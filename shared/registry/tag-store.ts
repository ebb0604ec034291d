import type { Digest } from "../oci/digest.ts";
import { tagFrom, type RepositoryName, type Tag } from "../oci/reference.ts";
import { listChildren, listKeys, type StorageDriver } from "../storage/driver.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { layout } from "./layout.ts";
import { readLink, writeLink } from "./link.ts";
import { listOrdered } from "./ordered-names.ts";
import type { NamePage, PageRequest } from "./page.ts";
import type { RecentMap } from "./recent-map.ts";

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
    const keys: string[] = [];
    for await (const { key } of listKeys(this.#driver, layout.tag(this.#name, tag))) keys.push(key);
    await this.#driver.deleteMany(keys.filter((key) => key !== link));
    await this.#driver.delete(link);
    return keys.length > 0;
  }

  /** Tags in lexical order. A page may hold fewer than it could, though more follow; see `listOrdered`. */
  async list(page: PageRequest): Promise<NamePage> {
    return await listOrdered(this.#driver, layout.tags(this.#name), page);
  }

  /** The tags that name this manifest: a read of every tag. */
  async naming(digest: Digest): Promise<Tag[]> {
    const names = await listChildren(this.#driver, layout.tags(this.#name));
    const tags = names.map(tagFrom).filter((tag) => tag !== undefined);
    const named = await mapLimit(tags, this.#concurrency, async (tag) => await this.resolve(tag));
    return tags.filter((_, index) => named[index] === digest);
  }
}
