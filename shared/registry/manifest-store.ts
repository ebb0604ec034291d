import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf, CANONICAL_ALGORITHM, hexOf, type Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { digestOf } from "../oci/hasher.ts";
import { limits } from "../oci/limits.ts";
import { parseManifest, readStoredManifest, storedMediaType, type Manifest } from "../oci/manifest.ts";
import { tagFrom, type Reference, type RepositoryName, type Tag } from "../oci/reference.ts";
import { ObjectTooLargeError, type StorageDriver, type Written } from "../storage/driver.ts";
import type { CatalogIndex } from "./catalog-index.ts";
import { allEnded, mapLimit } from "../storage/concurrency.ts";
import { layout } from "./layout.ts";
import type { Clearance, InTime, Promised, Promises } from "./promises.ts";
import { readLink, writeLink } from "./link.ts";
import type { ReferrerIndex } from "./referrer-index.ts";
import type { TagStore } from "./tag-store.ts";

/** Which manifests a registry takes. */
export interface ManifestPolicy {
  /** Take manifests whose blobs or children are missing. Without it a manifest is complete when it is accepted. */
  readonly allowSparse: boolean;
  /** Take indexes whose children are missing. */
  readonly allowSparseIndexes: boolean;
  /** May a layer say that it can be fetched from this URL? */
  readonly urlAllowed: (url: string) => boolean;
}

/** A manifest as it is served. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** What came of a push. */
export interface PushedManifest {
  readonly digest: Digest;
  readonly subject: Digest | undefined;
}

/** What a store of manifests works with. */
interface ManifestStoreParts {
  readonly tags: TagStore;
  readonly referrers: ReferrerIndex;
  readonly catalog: CatalogIndex | undefined;
  readonly promises: Promises;
  /** Do collections of this storage delete tags? */
  readonly tagsExpire: boolean;
}

/** The manifests of one repository. Their bytes are kept and given back exactly as they came. */
export class ManifestStore {
  readonly #driver: StorageDriver;
  readonly #name: RepositoryName;
  readonly #tags: TagStore;
  readonly #referrers: ReferrerIndex;
  readonly #catalog: CatalogIndex | undefined;
  readonly #promises: Promises;
  readonly #tagsExpire: boolean;
  readonly #policy: ManifestPolicy;

  constructor(driver: StorageDriver, name: RepositoryName, parts: ManifestStoreParts, policy: ManifestPolicy) {
    this.#driver = driver;
    this.#name = name;
    this.#tags = parts.tags;
    this.#referrers = parts.referrers;
    this.#catalog = parts.catalog;
    this.#promises = parts.promises;
    this.#tagsExpire = parts.tagsExpire;
    this.#policy = policy;
  }

  /** The manifest that a tag or digest names, or undefined. */
  async get(reference: Reference): Promise<StoredManifest | undefined> {
    if (reference.kind === "tag") return await this.#getByTag(reference.tag);
    return served(reference.digest, await this.#bytes(reference.digest));
  }

  /**
   * Asks for the tag and, at once, for the manifest that it named last time: where it still does, which is nearly always,
   * the answer takes one round to the store instead of two. Every answer is read from the store; a wrong guess, or one
   * whose manifest was not there a moment ago, is read again in order.
   */
  async #getByTag(tag: Tag): Promise<StoredManifest | undefined> {
    const guess = this.#tags.lastSeen(tag);
    const [digest, guessed] = await Promise.all([
      this.#tags.resolve(tag),
      guess === undefined ? undefined : this.#bytes(guess),
    ]);
    if (digest === undefined) return undefined;
    return served(digest, guess === digest && guessed !== undefined ? guessed : await this.#bytes(digest));
  }

  /**
   * Takes a manifest under a tag, or under its digest with any number of tags.
   * Throws MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN (missing references), DIGEST_INVALID (the bytes are not the digest's),
   * TAG_INVALID (an immutable tag names another manifest; where that was pushed at the same time, the manifest stays
   * without the tag).
   *
   * Content before names: the bytes, then the revision that makes them a manifest of this repository, then the referrer
   * entry, then the tags. A push that dies in between leaves nothing that a client can see and not use. The catalog is told
   * beside the last two, after the revision; `CatalogIndex` says why. What the manifest needs is promised to it before
   * (docs/garbage-collection.md), and all of that again where it took too long until the revision was written, or until
   * the names were: a revision that waits for its tag is untagged, and may be collected.
   */
  async put(
    reference: Reference,
    tags: readonly Tag[],
    bytes: Uint8Array,
    contentType?: string,
  ): Promise<PushedManifest> {
    const algorithm = reference.kind === "digest" ? algorithmOf(reference.digest) : CANONICAL_ALGORITHM;
    const digest = digestOf(algorithm, bytes);
    if (reference.kind === "digest" && digest !== reference.digest) {
      throw new RegistryError("DIGEST_INVALID", "the manifest has another digest than the one it is pushed by", {
        expected: reference.digest,
        actual: digest,
      });
    }
    const manifest = parseManifest(bytes, contentType);
    this.#checkUrls(manifest);
    const wanted = [...new Set(reference.kind === "tag" ? [reference.tag, ...tags] : tags)];
    await mapLimit(wanted, limits.manifestChecks, async (tag) => await this.#tags.checkMovable(tag, digest));
    const marks = new Map<Tag, Clearance>();
    if (this.#tagsExpire)
      for (const tag of wanted) marks.set(tag, this.#promises.ahead(layout.tagMark(this.#name, tag)));
    const subject = manifest.subject?.digest;
    await this.#promises.inTime(async () => {
      const written = await this.#writeInTime(manifest, digest, bytes);
      const announcing = this.#announce(digest, subject, wanted, marks);
      await allEnded([this.#catalog?.add(this.#name) ?? Promise.resolve(), announcing]);
      return { since: written.since, end: (await announcing) ?? written.end };
    });
    return { digest, subject };
  }

  /** Writes bytes and revision, under all that is promised; gives the first answer on which that rests, and the last. */
  async #writeInTime(manifest: Manifest, digest: Digest, bytes: Uint8Array): Promise<InTime> {
    return await this.#promises.inTime(async () => {
      const since = await this.#promiseAll(manifest, digest);
      // Always: that they are there says nothing of who is about to delete them.
      await this.#driver.put(layout.blob(digest), bytes);
      const { asOf: end } = await writeLink(this.#driver, layout.revisionLink(this.#name, digest), digest);
      return { since, end };
    });
  }

  /** Gives the last answer; undefined where there is nothing to announce. */
  async #announce(
    digest: Digest,
    subject: Digest | undefined,
    tags: readonly Tag[],
    marks: ReadonlyMap<Tag, Clearance>,
  ): Promise<Date | undefined> {
    const entry = subject === undefined ? [] : [await this.#referrers.add(subject, digest)];
    const set = await mapLimit(tags, limits.manifestChecks, async (tag) => {
      return await this.#setTag(tag, digest, marks.get(tag));
    });
    const answers = [...entry, ...set].map(({ asOf }) => asOf.getTime());
    return answers.length === 0 ? undefined : new Date(Math.max(...answers));
  }

  /** Clears the mark of the tag first where tags are collected, and does both again where that took too long. */
  async #setTag(tag: Tag, digest: Digest, ahead: Clearance | undefined): Promise<Pick<Written, "asOf">> {
    if (ahead === undefined) return await this.#tags.set(tag, digest);
    let mark = ahead;
    const { end: asOf } = await this.#promises.inTime(async () => {
      const since = await mark.clear();
      const { asOf: end } = await this.#tags.set(tag, digest);
      mark = { clear: async () => await this.#promises.clear(layout.tagMark(this.#name, tag)) };
      return { since, end };
    });
    return { asOf };
  }

  /**
   * Removes a manifest and the tags that name it; its bytes stay until garbage collection. False if it was not there.
   * Names before content: the tags go first, so that at no time a tag leads nowhere. Throws DENIED where one is immutable.
   */
  async delete(digest: Digest): Promise<boolean> {
    const link = layout.revisionLink(this.#name, digest);
    if ((await this.#driver.head(link)) === undefined) return false;
    const bytes = await this.#bytes(digest);
    const tags = await this.#tags.naming(digest);
    for (const tag of tags) this.#tags.checkRemovable(tag);
    for (const tag of tags) await this.#tags.delete(tag);
    const subject = bytes === undefined ? undefined : readStoredManifest(bytes)?.subject?.digest;
    if (subject !== undefined) await this.#referrers.remove(subject, digest);
    await this.#driver.delete(link); // last: a retry finds by it what is left to do
    return true;
  }

  /**
   * The manifests of this repository that have `subject`, in order of their digests: those of our own index, and those that
   * clients listed under the fallback tag `<algorithm>-<hex>` while another registry served this storage. What the manifest
   * itself says decides; entries whose manifest is gone are left out.
   * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#enabling-the-referrers-api
   */
  async referrersOf(subject: Digest): Promise<Descriptor[]> {
    const [indexed, fallback] = await Promise.all([this.#referrers.list(subject), this.#fallbackReferrers(subject)]);
    const candidates = [...new Set([...indexed, ...fallback])].sort();
    const found = await mapLimit(candidates, limits.manifestChecks, async (digest) => {
      const bytes = await this.#bytes(digest);
      const manifest = bytes === undefined ? undefined : readStoredManifest(bytes);
      if (bytes === undefined || manifest?.subject?.digest !== subject) return undefined;
      const { mediaType, artifactType, annotations } = manifest;
      return {
        mediaType,
        digest,
        size: bytes.byteLength,
        ...(artifactType === undefined ? {} : { artifactType }),
        ...(annotations === undefined ? {} : { annotations }),
      };
    });
    return found.filter((descriptor) => descriptor !== undefined);
  }

  async #fallbackReferrers(subject: Digest): Promise<Digest[]> {
    // The tag schema cuts the encoded part to 64 characters, so that a tag always has room for it.
    const tag = tagFrom(`${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`);
    const index = tag === undefined ? undefined : await this.get({ kind: "tag", tag });
    const manifest = index === undefined ? undefined : readStoredManifest(index.bytes);
    return manifest?.manifests.map((child) => child.digest) ?? [];
  }

  /** The bytes of a manifest of this repository. Link and bytes are asked for at once: nearly always both are wanted. */
  async #bytes(digest: Digest): Promise<Uint8Array | undefined> {
    const [stored, bytes] = await Promise.all([
      readLink(this.#driver, layout.revisionLink(this.#name, digest)),
      this.#read(digest),
    ]);
    if (stored === undefined) return undefined;
    // Read again: an alias, or bytes that were written, and linked, between the two answers.
    return stored === digest && bytes !== undefined ? bytes : await this.#read(stored);
  }

  /** What is larger than a manifest may be is none: the digest of a layer was asked for. */
  async #read(digest: Digest): Promise<Uint8Array | undefined> {
    try {
      return await this.#driver.read(layout.blob(digest), limits.manifestBytes);
    } catch (error) {
      if (error instanceof ObjectTooLargeError) return undefined;
      throw error;
    }
  }

  #checkUrls({ urls }: Manifest): void {
    const refused = urls.find((url) => !this.#policy.urlAllowed(url));
    if (refused === undefined) return;
    throw new RegistryError("MANIFEST_INVALID", "a layer names a URL that this registry does not allow", {
      url: refused,
    });
  }

  /**
   * Has everything promised that a manifest needs, its own marks included; gives the first answer on which that rests.
   * All is asked at once. Untagged manifests may be collected, so the marks of children and of referrers count too: a run
   * that has just deleted this manifest may be about to delete its signatures.
   */
  async #promiseAll(manifest: Manifest, digest: Digest): Promise<Date> {
    const answers: Date[] = [];
    const clear = async (key: string, who: "commit" | "promise"): Promise<void> => {
      answers.push(await this.#promises.clear(key, who));
    };
    const clearReferrers = async (): Promise<void> => {
      await mapLimit(await this.#referrers.list(digest), limits.manifestChecks, async (referrer) => {
        await clear(layout.revisionMark(this.#name, referrer), "promise");
      });
    };
    await allEnded([
      this.#checkReferences(manifest, answers),
      clear(layout.blobMark(digest), "commit"),
      clear(layout.revisionMark(this.#name, digest), "commit"),
      clearReferrers(),
    ]);
    return new Date(Math.min(...answers.map((answer) => answer.getTime())));
  }

  async #checkReferences({ blobs, manifests }: Manifest, answers: Date[]): Promise<void> {
    const lacking = async (wanted: readonly Descriptor[], ask: (digest: Digest) => Promise<Promised | undefined>) => {
      // A manifest may name one thing many times, and each asks the store.
      const digests = [...new Set(wanted.map(({ digest }) => digest))];
      const sizes = new Map<Digest, number>();
      await mapLimit(digests, limits.manifestChecks, async (digest) => {
        const promised = await ask(digest);
        if (promised === undefined) return;
        answers.push(promised.since);
        sizes.set(digest, promised.info.size);
      });
      const liar = wanted.find(({ digest, size }) => (sizes.get(digest) ?? size) !== size);
      if (liar !== undefined) {
        throw new RegistryError(
          "MANIFEST_INVALID",
          `the manifest says that ${liar.digest} has ${liar.size} bytes; it has not`,
        );
      }
      return wanted.filter(({ digest }) => !sizes.has(digest));
    };
    const missing = [
      ...(await lacking(blobs, async (digest) => await this.#promises.blob(this.#name, digest))).filter(
        () => !this.#policy.allowSparse,
      ),
      ...(await lacking(manifests, async (digest) => await this.#promises.manifest(this.#name, digest))).filter(
        () => !this.#policy.allowSparseIndexes,
      ),
    ];
    if (missing.length === 0) return;
    throw new RegistryError(
      "MANIFEST_BLOB_UNKNOWN",
      `this repository lacks ${missing.length} of the manifest's references; push them first`,
      missing.slice(0, 20).map(({ digest, mediaType }) => ({ digest, mediaType })),
    );
  }
}

function served(digest: Digest, bytes: Uint8Array | undefined): StoredManifest | undefined {
  return bytes === undefined ? undefined : { digest, mediaType: storedMediaType(bytes), bytes };
}
