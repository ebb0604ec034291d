import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import {
  OverloadedError,
  type ByteRange,
  type ObjectInfo,
  type StorageDriver,
  type StoredObject,
} from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { readLink, writeLink } from "./link.ts";
import type { Promises } from "./promises.ts";

/**
 * One repository's view of the blobs, which are stored once for all repositories. Nothing is shown without the repository's
 * link: the link is membership, and membership is what a repository's readers are allowed to see.
 *
 * Link and bytes are asked for at once, since nearly always both are there. A push writes the bytes before the link, so a
 * link whose bytes were not there a moment ago is looked at again before anybody is told that the blob is missing.
 */
export class BlobStore {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;

  readonly #promises: Promises;

  constructor(driver: StorageDriver, name: RepositoryName, promises: Promises) {
    this.#driver = driver;
    this.#name = name;
    this.#promises = promises;
  }

  /**
   * The same as `head`, for who may go on to push what names the blob: it stays for the grace period, whatever is
   * collected. Writes where that must be said.
   */
  async promise(digest: Digest): Promise<ObjectInfo | undefined> {
    return (await this.#promises.blob(this.#name, digest))?.info;
  }

  /** Size and age of a blob of this repository, or undefined. */
  async head(digest: Digest): Promise<ObjectInfo | undefined> {
    return (await this.#find(digest))?.info;
  }

  /** Whether clients can be sent to the store for a blob. */
  get canPresign(): boolean {
    return this.#driver.presigner !== undefined;
  }

  /**
   * A URL at which the store itself answers to this method with a blob of this repository, or undefined. Anybody can use it
   * for a while, so it is made only where the blob is there; with `isPromised`, as `promise` says it. Throws where
   * `canPresign` is false.
   */
  async presign(digest: Digest, method: "GET" | "HEAD", isPromised: boolean): Promise<string | undefined> {
    const { presigner } = this.#driver;
    if (presigner === undefined) throw new Error(`${this.#driver.name}: the store signs no URLs`);
    const found = await (isPromised ? this.#promises.blob(this.#name, digest) : this.#find(digest));
    return found === undefined ? undefined : await presigner.presign(layout.blob(found.stored), method);
  }

  /** The bytes of a blob of this repository, or a range of them, or undefined. */
  async get(digest: Digest, range?: ByteRange): Promise<StoredObject | undefined> {
    const opening = this.#driver.get(layout.blob(digest), range);
    opening.catch(() => undefined); // awaited below, unless the link's failure is told instead
    let stored: Digest | undefined;
    try {
      stored = await this.#resolve(digest);
    } catch (error) {
      await opening.then(close, () => undefined);
      throw error;
    }
    const object = await opening;
    if (stored === digest && object !== undefined) return object;
    await close(object);
    return stored === undefined ? undefined : await this.#driver.get(layout.blob(stored), range);
  }

  /**
   * Makes a stored blob part of this repository. Its bytes must be durable before: content before names; and they were
   * written after its mark was `cleared`. Where that took long, a collection may have begun since that has not ended: then
   * mark and bytes are looked at again. Throws OverloadedError where the bytes are gone.
   */
  async link(digest: Digest, cleared: Date | undefined): Promise<void> {
    let since = cleared;
    await this.#promises.inTime(async () => {
      const began = since ?? (await this.#clearAgain(digest));
      since = undefined;
      const { asOf: end } = await writeLink(this.#driver, layout.layerLink(this.#name, digest), digest);
      return { since: began, end };
    });
  }

  /**
   * Makes a blob of another repository part of this one without its bytes. False where `from` does not have it. Without
   * `from`, any stored blob will do: only for a client that may pull everywhere. A promise, as `promise` makes them.
   */
  async mount(digest: Digest, from: BlobStore | undefined): Promise<boolean> {
    const source = from === undefined ? undefined : from.#name;
    const promised = await this.#promises.mounted(source, digest, async (stored) => {
      // An alias leads distribution to the link of what it names: that one first.
      if (stored !== digest) await writeLink(this.#driver, layout.layerLink(this.#name, stored), stored);
      return await writeLink(this.#driver, layout.layerLink(this.#name, digest), stored);
    });
    return promised !== undefined;
  }

  /** Takes a blob out of this repository; the bytes stay until garbage collection. False if it was not there. */
  async unlink(digest: Digest): Promise<boolean> {
    const key = layout.layerLink(this.#name, digest);
    if ((await this.#driver.head(key)) === undefined) return false;
    await this.#driver.delete(key);
    return true;
  }

  async #clearAgain(digest: Digest): Promise<Date> {
    const cleared = await this.#promises.clear(layout.blobMark(digest));
    if ((await this.#driver.head(layout.blob(digest))) !== undefined) return cleared;
    throw new OverloadedError("the bytes were collected before they were linked; push them again", 1);
  }

  /** The bytes of a blob of this repository: under which digest they lie, and their size and age. */
  async #find(digest: Digest): Promise<{ stored: Digest; info: ObjectInfo } | undefined> {
    const bytes = layout.blob(digest);
    const [stored, first] = await Promise.all([this.#resolve(digest), this.#driver.head(bytes)]);
    if (stored === undefined) return undefined;
    const info = stored === digest && first !== undefined ? first : await this.#driver.head(layout.blob(stored));
    return info === undefined ? undefined : { stored, info };
  }

  /**
   * The digest under which the bytes lie. It differs from the one asked for where older versions of distribution stored
   * content that was pushed as sha512 under its sha256.
   */
  async #resolve(digest: Digest): Promise<Digest | undefined> {
    return await readLink(this.#driver, layout.layerLink(this.#name, digest));
  }
}

async function close(object: StoredObject | undefined): Promise<void> {
  if (object !== undefined && !(object.body instanceof Uint8Array)) await object.body.cancel();
}
