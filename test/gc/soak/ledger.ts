/** What was acknowledged, and who is changing what: two clients never do what nobody could say the outcome of. */
import type { Artifact } from "./stock.ts";

/** A manifest of a repository. */
export interface Entry {
  readonly repository: string;
  readonly artifact: Artifact;
}

/** Names of what can be held: a manifest, a tag, or a blob of a repository. */
export const held = {
  manifest: (repository: string, digest: string) => `${repository} manifest ${digest}`,
  tag: (repository: string, tag: string) => `${repository} tag ${tag}`,
  blob: (repository: string, digest: string) => `${repository} blob ${digest}`,
};

export class Ledger {
  /** Manifests that were answered with 201 and not deleted since. */
  readonly #entries = new Map<string, Entry>();
  /** What tags name. */
  readonly #tags = new Map<string, { readonly repository: string; readonly tag: string; readonly digest: string }>();
  /** How many share it; -1: somebody has it alone. */
  readonly #holds = new Map<string, number>();
  readonly #untagged: boolean;

  /** `untagged`: manifests that no tag names may be collected. */
  constructor(untagged: boolean) {
    this.#untagged = untagged;
  }

  /** Does work while nobody changes what is in `shared`, and nobody uses what is in `own`; false where that cannot be now. */
  async holding(shared: readonly string[], own: readonly string[], work: () => Promise<void>): Promise<boolean> {
    const only = new Set(own);
    const others = new Set(shared.filter((name) => !only.has(name)));
    if ([...others].some((name) => (this.#holds.get(name) ?? 0) < 0)) return false;
    if ([...only].some((name) => (this.#holds.get(name) ?? 0) !== 0)) return false;
    for (const name of others) this.#holds.set(name, (this.#holds.get(name) ?? 0) + 1);
    for (const name of only) this.#holds.set(name, -1);
    try {
      await work();
    } finally {
      for (const name of others) this.#holds.set(name, (this.#holds.get(name) ?? 0) - 1);
      for (const name of only) this.#holds.delete(name);
    }
    return true;
  }

  pushed(repository: string, artifact: Artifact, tag?: string): void {
    this.#entries.set(held.manifest(repository, artifact.digest), { repository, artifact });
    if (tag !== undefined) this.#tags.set(held.tag(repository, tag), { repository, tag, digest: artifact.digest });
  }

  deleted(repository: string, digest: string): void {
    this.#entries.delete(held.manifest(repository, digest));
    for (const tag of this.tagsOf(repository, digest)) this.#tags.delete(held.tag(repository, tag));
  }

  untagged(repository: string, tag: string): void {
    this.#tags.delete(held.tag(repository, tag));
  }

  tagsOf(repository: string, digest: string): string[] {
    return this.tags.filter((tag) => tag.repository === repository && tag.digest === digest).map(({ tag }) => tag);
  }

  get tags(): { readonly repository: string; readonly tag: string; readonly digest: string }[] {
    return [...this.#tags.values()];
  }

  get entries(): Entry[] {
    return [...this.#entries.values()];
  }

  isNeededBy(repository: string, digest: string): boolean {
    return this.entries.some((entry) => {
      if (entry.repository !== repository) return false;
      const { children, blobs } = entry.artifact;
      return [...children, ...blobs].some((needed) => needed.digest === digest);
    });
  }

  isRequired(repository: string, digest: string): boolean {
    return this.required().some((entry) => entry.repository === repository && entry.artifact.digest === digest);
  }

  /** Manifests that must be there: all; or those with a tag, what they name, and what refers to them. */
  required(): Entry[] {
    if (!this.#untagged) return this.entries;
    const found = new Set<Entry>();
    const add = (entry: Entry | undefined): void => {
      if (entry === undefined || found.has(entry)) return;
      found.add(entry);
      const { repository, artifact } = entry;
      for (const { digest } of artifact.children) add(this.#entries.get(held.manifest(repository, digest)));
      for (const other of this.#entries.values()) {
        if (other.repository === repository && other.artifact.subject === artifact.digest) add(other);
      }
    };
    for (const { repository, digest } of this.#tags.values()) add(this.#entries.get(held.manifest(repository, digest)));
    return [...found];
  }
}
