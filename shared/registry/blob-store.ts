import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { ByteRange, ObjectInfo, StorageDriver, StoredObject } from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { readLink, writeLink } from "./link.ts";

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

  constructor(driver: StorageDriver, name: RepositoryName) {
    this.#driver = driver;
    this.#name = name;
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
   * for a while, so it is made only where the blob is there. Throws where `canPresign` is false.
   */
  async presign(digest: Digest, method: "GET" | "HEAD"): Promise<string | undefined> {
    const { presigner } = this.#driver;
    if (presigner === undefined) throw new Error(`${this.#driver.name}: the store signs no URLs`);
    const found = await this.#find(digest);
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

  /** Makes a stored blob part of this repository. Its bytes must be durable before: content before names. */
  async link(digest: Digest): Promise<void> {
    await writeLink(this.#driver, layout.layerLink(this.#name, digest), digest);
  }

  /**
   * Makes a blob of another repository part of this one without its bytes. False where `from` does not have it. Without
   * `from`, any stored blob will do: only for a client that may pull everywhere.
   */
  async mount(digest: Digest, from: BlobStore | undefined): Promise<boolean> {
    const stored = from === undefined ? await this.#stored(digest) : (await from.#find(digest))?.stored;
    if (stored === undefined) return false;
    // An alias leads distribution to the link of what it names: that one first.
    if (stored !== digest) await writeLink(this.#driver, layout.layerLink(this.#name, stored), stored);
    await writeLink(this.#driver, layout.layerLink(this.#name, digest), stored);
    return true;
  }

  /** Takes a blob out of this repository; the bytes stay until garbage collection. False if it was not there. */
  async unlink(digest: Digest): Promise<boolean> {
    const key = layout.layerLink(this.#name, digest);
    if ((await this.#driver.head(key)) === undefined) return false;
    await this.#driver.delete(key);
    return true;
  }

  /** The digest itself, if its bytes are stored, for whichever repository. */
  async #stored(digest: Digest): Promise<Digest | undefined> {
    return (await this.#driver.head(layout.blob(digest))) === undefined ? undefined : digest;
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
