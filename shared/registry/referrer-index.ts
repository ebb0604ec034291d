import { digestFrom, type Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/reference.ts";
import { listKeys, type StorageDriver, type Written } from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { writeLink } from "./link.ts";

/** Which manifests of a repository name a subject. An entry is a hint: its reader looks at the manifest itself. */
export class ReferrerIndex {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;

  constructor(driver: StorageDriver, name: RepositoryName) {
    this.#driver = driver;
    this.#name = name;
  }

  async add(subject: Digest, referrer: Digest): Promise<Written> {
    return await writeLink(this.#driver, layout.referrerLink(this.#name, subject, referrer), referrer);
  }

  async remove(subject: Digest, referrer: Digest): Promise<void> {
    await this.#driver.delete(layout.referrerLink(this.#name, subject, referrer));
  }

  /** The manifests that were pushed with this subject, in order of their digests. Some may be gone by now. */
  async list(subject: Digest): Promise<Digest[]> {
    const prefix = layout.referrers(this.#name, subject);
    const referrers: Digest[] = [];
    for await (const { key } of listKeys(this.#driver, prefix)) {
      const [algorithm, hex, file] = key.slice(prefix.length).split("/");
      const digest = file === "link" ? digestFrom(`${algorithm}:${hex}`) : undefined;
      if (digest !== undefined) referrers.push(digest);
    }
    return referrers.sort();
  }
}
