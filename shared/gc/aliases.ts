import type { Digest } from "../oci/digest.ts";

/** A link under another digest than that of the blob to which it leads. */
export interface AliasLink {
  readonly key: string;
  readonly repository: string;
  /** The row of that blob. */
  readonly target: number;
  readonly digest: Digest;
  /** Seconds since 1970. */
  readonly modified: number;
}

/** What older registries left of content that was pushed by its sha512: bytes by its sha256, and links by both. */
export class Aliases {
  readonly links: AliasLink[];
  readonly #targets = new Map<Digest, Set<number>>();
  readonly #linked = new Map<string, number>();

  /** `links` is added to. */
  constructor(links: AliasLink[]) {
    this.links = links;
    for (const link of links) this.#enter(link);
  }

  add(link: AliasLink): void {
    this.links.push(link);
    this.#enter(link);
  }

  /** Rows of the blobs to which links under a digest lead, in whichever repository. */
  targetsOf(digest: Digest): Iterable<number> {
    return this.#targets.get(digest) ?? [];
  }

  /** When a repository's link under a digest was written; undefined where it has none that is an alias. */
  linkedAt(repository: string, digest: Digest): number | undefined {
    return this.#linked.get(`${repository}@${digest}`);
  }

  #enter({ repository, digest, target, modified }: AliasLink): void {
    this.#linked.set(`${repository}@${digest}`, modified);
    const targets = this.#targets.get(digest);
    if (targets === undefined) this.#targets.set(digest, new Set([target]));
    else targets.add(target);
  }
}
