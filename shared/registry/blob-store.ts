import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import type { ByteRange, ObjectInfo, StorageDriver, StoredObject } from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { readLink, writeLink } from "./link.ts";

/**
 * One repository's view of the blobs, which are stored once for all repositories. Every read looks at the repository's link
 * first: the link is membership, and membership is what a repository's readers are allowed to see.
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
    const stored = await this.#resolve(digest);
    return stored === undefined ? undefined : await this.#driver.head(layout.blob(stored));
  }

  /** The bytes of a blob of this repository, or a range of them, or undefined. */
  async get(digest: Digest, range?: ByteRange): Promise<StoredObject | undefined> {
    const stored = await this.#resolve(digest);
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
    const source = from === undefined ? await this.#driver.head(layout.blob(digest)) : await from.head(digest);
    if (source === undefined) return false;
    const stored = from === undefined ? digest : await from.#resolve(digest);
    if (stored === undefined) return false;
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

  /**
   * The digest under which the bytes lie. It differs from the one asked for where older versions of distribution stored
   * content that was pushed as sha512 under its sha256.
   */
  async #resolve(digest: Digest): Promise<Digest | undefined> {
    return await readLink(this.#driver, layout.layerLink(this.#name, digest));
  }
}
