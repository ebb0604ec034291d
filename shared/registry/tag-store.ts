import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { tagFrom, type RepositoryName, type Tag } from "../oci/reference.ts";
import {
  listChildren,
  listKeys,
  OverloadedError,
  PreconditionFailedError,
  type StorageDriver,
  type Written,
} from "../storage/driver.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { layout } from "./layout.ts";
import { linkBytes, lookAtObject, readLink, writeLink } from "./link.ts";
import { listOrdered } from "./ordered-names.ts";
import type { NamePage, PageRequest } from "./page.ts";
import type { RecentMap } from "./recent-map.ts";

/** How often a tag that is written under a condition is tried, where others are always faster. */
const ROUNDS = 8;

/** Is this tag of a repository one that never names anything else? */
export type IsImmutable = (name: RepositoryName, tag: Tag) => boolean;

/** What the tag stores of all repositories have in common. */
export interface TagStoreParts {
  /** Tags that are read at a time where all have to be. */
  readonly concurrency: number;
  readonly seen: RecentMap<Digest>;
  /** Needs a store that decides conditional writes. */
  readonly isImmutable: IsImmutable;
}

/** The tags of one repository. */
export class TagStore {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;
  readonly #concurrency: number;
  readonly #seen: RecentMap<Digest>;
  readonly #isImmutable: (tag: Tag) => boolean;

  constructor(driver: StorageDriver, name: RepositoryName, { concurrency, seen, isImmutable }: TagStoreParts) {
    this.#driver = driver;
    this.#name = name;
    this.#concurrency = concurrency;
    this.#seen = seen;
    this.#isImmutable = (tag) => isImmutable(name, tag);
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
   * Refuses a push early that could only fail: throws TAG_INVALID where an immutable tag names another manifest. No request
   * for other tags. Who pushes at the same time is told by `set`.
   */
  async checkMovable(tag: Tag, digest: Digest): Promise<void> {
    if (!this.#isImmutable(tag)) return;
    const named = await this.resolve(tag);
    if (named !== undefined && named !== digest) throw this.#immovable(tag, named);
  }

  /** Refuses what would take an immutable tag away: throws DENIED. */
  checkRemovable(tag: Tag): void {
    if (!this.#isImmutable(tag)) return;
    throw new RegistryError("DENIED", `the tag ${tag} of ${this.#name} cannot be deleted: the tag is immutable`, {
      tag,
    });
  }

  /**
   * Makes a tag name a manifest, which must be stored. The link that is read is written before the one that records history:
   * a push that dies in between leaves a tag that works, never a listed tag that leads nowhere. Throws TAG_INVALID where the
   * tag is immutable and names another: that is decided by the store, so of two pushes at once one wins.
   */
  async set(tag: Tag, digest: Digest): Promise<Written> {
    const link = layout.tagLink(this.#name, tag);
    if (this.#isImmutable(tag)) await this.#setOnce(tag, link, digest);
    else await writeLink(this.#driver, link, digest);
    return await writeLink(this.#driver, layout.tagHistoryLink(this.#name, tag, digest), digest);
  }

  /** Written again where it names the same: a tag that is pushed is as young as the push. */
  async #setOnce(tag: Tag, link: string, digest: Digest): Promise<void> {
    for (let round = 1; round <= ROUNDS; round++) {
      const found = round === 1 ? undefined : await lookAtObject(this.#driver, link);
      // One that leads nowhere is as if it were absent.
      if (found?.digest !== undefined && found.digest !== digest) throw this.#immovable(tag, found.digest);
      try {
        const condition = found === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: found.etag };
        await this.#driver.put(link, linkBytes(digest), condition);
        return;
      } catch (error) {
        if (!(error instanceof PreconditionFailedError)) throw error;
      }
    }
    throw new OverloadedError("too many want the same tag", 5);
  }

  /** In the words of ECR, which clients know: kaniko can be told to pass over them. */
  #immovable(tag: Tag, named: Digest): RegistryError {
    const message = `The image tag '${tag}' already exists in the '${this.#name}' repository and cannot be overwritten because the tag is immutable.`;
    return new RegistryError("TAG_INVALID", message, { tag, digest: named });
  }

  /**
   * Removes a tag and its history. False if there was none. The link that is read goes last: a delete that dies in between
   * leaves a tag that works, and that the retry finds by what it names. Throws DENIED where it is immutable.
   */
  async delete(tag: Tag): Promise<boolean> {
    this.checkRemovable(tag);
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
