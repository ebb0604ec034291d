/** What clients were told, and what must hold because of it: "What always holds" of docs/garbage-collection.md. */
import type { Digest } from "../../../shared/oci/digest.ts";
import { referencesOf } from "../../../shared/oci/references.ts";
import type { RepositoryName, Tag } from "../../../shared/oci/reference.ts";
import type { GcTimes } from "../../../shared/registry/gc-times.ts";
import { layout } from "../../../shared/registry/layout.ts";
import { blobKeyOf, repositoryKeyOf } from "../../../shared/registry/stored-key.ts";
import type { TestManifest } from "../../support/manifests.ts";
import { Violation, type Process } from "./schedule.ts";
import type { Call, Store } from "./store.ts";

/** A manifest of a repository. */
export interface Image {
  readonly name: string;
  readonly repository: RepositoryName;
  readonly manifest: TestManifest;
  readonly blobs: readonly Digest[];
  readonly children: readonly Image[];
  readonly subject: Image | undefined;
}

interface Acknowledged {
  readonly image: Image;
  readonly tag: Tag | undefined;
  readonly at: number;
}

/** What collections of a scenario take besides what nothing refers to. */
export type Takes = "blobs" | "untagged" | "tags";

/** A request to push a manifest, from when it is sent. */
export interface Sent {
  readonly at: number;
  /** All that it names was promised, within GRACE. */
  readonly isInTime: boolean;
  readonly epoch: number;
}

export class Ledger {
  readonly counts = { promised: 0, acknowledged: 0, refused: 0, broken: 0 };
  readonly #store: Store;
  readonly #times: GcTimes;
  readonly #takes: Takes;
  /** By client, repository and digest: when it was promised. */
  readonly #promised = new Map<string, number>();
  /** Of a manifest, its signature under a tag that is named after it. */
  readonly #signatures = new Map<Image, { readonly image: Image; readonly tag: Tag }>();
  #acknowledged: Acknowledged[] = [];
  /** Counts what users began and ended to delete: what overlaps with that is theirs to mend. */
  #epoch = 0;
  #deletes = 0;

  constructor(store: Store, times: GcTimes, takes: Takes) {
    this.#store = store;
    this.#times = times;
    this.#takes = takes;
  }

  /** From when a request is sent: a promise that it makes does not hold over a delete. */
  get epoch(): number {
    return this.#deletes > 0 ? -1 : this.#epoch;
  }

  promise(client: string, repository: string, digest: Digest, epoch: number): void {
    if (epoch !== this.epoch || epoch < 0) return;
    this.counts.promised++;
    this.#promised.set(`${client} ${repository}@${digest}`, this.#store.time);
  }

  sends(client: string, { repository, blobs, children }: Image): Sent {
    const needed = [...blobs, ...children.map(({ manifest }) => manifest.digest)];
    const promised = needed.map((digest) => this.#promised.get(`${client} ${repository}@${digest}`) ?? -Infinity);
    const isInTime = promised.every((at) => this.#store.time - at <= this.#times.graceMs);
    return { at: this.#store.time, isInTime, epoch: this.epoch };
  }

  /** 1: acknowledged, it is complete. */
  acknowledge(client: string, image: Image, tag: Tag | undefined, { epoch }: Sent): void {
    this.counts.acknowledged++;
    if (epoch !== this.epoch || epoch < 0) return;
    // What refers to it may have been taken together with it, before it was pushed again.
    const isLost = (one: Image): boolean => one.subject === image && this.#lacks(one) !== undefined;
    this.#acknowledged = this.#acknowledged.filter((one) => {
      return (one.image !== image || one.tag !== tag) && !isLost(one.image);
    });
    this.#acknowledged.push({ image, tag, at: this.#store.time });
    const signature = this.#signatures.get(image);
    if (signature !== undefined) {
      const signed = { ...signature, at: this.#store.time };
      if (this.#names(signed) && this.#lacks(signed.image) === undefined) this.#acknowledged.push(signed);
    }
    this.promise(client, image.repository, image.manifest.digest, epoch);
    this.check();
  }

  /** A manifest is signed, as cosign does it: whoever is answered that the manifest is taken relies on a signature that is there. */
  signs(subject: Image, image: Image): Tag {
    const tag = `${subject.manifest.digest.replace(":", "-")}.sig` as Tag;
    this.#signatures.set(subject, { image, tag });
    return tag;
  }

  /** 2: who was promised all and comes in time is not told that something is missing. */
  refuse(client: string, { name }: Image, { at, isInTime, epoch }: Sent): void {
    this.counts.refused++;
    const wasQuick = this.#store.time - at <= this.#times.promiseMs;
    if (isInTime && wasQuick && epoch >= 0 && epoch === this.epoch) {
      throw new Violation(
        `2: ${client} was promised all that ${name} names, came in time, and is told that it is missing`,
      );
    }
  }

  /** A user deletes something of a repository: nobody can rely on that any more, from here to the end of the request. */
  async deletes(images: readonly Image[], work: () => Promise<unknown>): Promise<void> {
    const forget = (): void => {
      this.#epoch++;
      this.#promised.clear();
      const names = (image: Image): boolean => images.includes(image) || image.children.some(names);
      this.#acknowledged = this.#acknowledged.filter(({ image }) => !names(image));
    };
    this.#deletes++;
    forget();
    await work();
    forget();
    this.#deletes--;
  }

  /** After each call: a tag that somebody moved or took away was theirs. */
  after(process: Process, { key }: Call): void {
    if (process.kind !== "run" && key.includes("/_manifests/tags/")) {
      this.#acknowledged = this.#acknowledged.flatMap((one) => {
        if (this.#names(one)) return [one];
        return this.#takes === "blobs" ? [{ ...one, tag: undefined }] : [];
      });
    }
    this.check();
  }

  /** 1: whatever is relied on is complete. */
  check(): void {
    for (const one of this.#acknowledged) {
      const { image, tag, at } = one;
      const isYoung = this.#store.time - at <= this.#times.graceMs;
      if (this.#takes === "tags" && !isYoung) continue;
      if (!this.#names(one)) throw new Violation(`1: the tag ${tag} of ${image.name} was acknowledged, and is gone`);
      if (!isYoung && !this.#isKept(image)) continue;
      const lacks = this.#lacks(image);
      if (lacks !== undefined) throw new Violation(`1: ${image.name} was acknowledged, and lacks ${lacks}`);
    }
  }

  /** All that was acknowledged and is relied on now. */
  get reliedOn(): readonly Image[] {
    const tags = [...this.#signatures.values()].map(({ tag }) => tag);
    return this.#acknowledged
      .filter((one) => one.tag === undefined || !tags.includes(one.tag) || this.#names(one))
      .map(({ image }) => image)
      .filter((image) => this.#isKept(image));
  }

  #names({ image, tag }: Acknowledged): boolean {
    if (tag === undefined) return true;
    return this.#store.text(layout.tagLink(image.repository, tag)) === image.manifest.digest;
  }

  /** Does it stay however old it is? Where untagged manifests are collected, only what a tag leads to. */
  #isKept(image: Image): boolean {
    if (this.#takes === "blobs") return true;
    const tagged = this.#acknowledged.some((one) => one.image === image && one.tag !== undefined);
    return tagged || (image.subject !== undefined && this.#isKept(image.subject));
  }

  #lacks({ repository, manifest, blobs, children, subject }: Image): string | undefined {
    const needed = [layout.revisionLink(repository, manifest.digest), layout.blob(manifest.digest)];
    for (const blob of blobs) needed.push(layout.blob(blob), layout.layerLink(repository, blob));
    if (subject !== undefined) {
      needed.push(layout.referrerLink(repository, subject.manifest.digest, manifest.digest));
    }
    const missing = needed.find((key) => !this.#store.objects.has(key));
    return missing ?? children.map((child) => this.#lacks(child)).find((lacking) => lacking !== undefined);
  }

  /** Is there a manifest that cannot be read? Each run ends with that reason until somebody has looked at it. */
  get isBroken(): boolean {
    return this.#revisions().some(({ digest }) => !this.#store.objects.has(layout.blob(digest)));
  }

  /** 3: garbage that is left, as keys. Marks aside. */
  garbage(): string[] {
    const revisions = this.#revisions();
    const keys = [...this.#store.objects.keys()].map((key) => ({ key, ...repositoryKeyOf(key) }));
    const tagged = new Set(
      keys.flatMap((one) => (one.kind === "tag" ? [`${one.repository}@${this.#store.text(one.key)}`] : [])),
    );
    const isNeeded = ({ repository, digest }: Revision, seen: readonly Digest[] = []): boolean => {
      if (tagged.has(`${repository}@${digest}`)) return true;
      if (seen.includes(digest)) return false;
      const subject = this.#references(digest)?.subject;
      return revisions.some((other) => {
        const parents = this.#references(other.digest)?.manifests.includes(digest) === true;
        const isParent = parents || other.digest === subject;
        return isParent && other.repository === repository && isNeeded(other, [...seen, digest]);
      });
    };
    const untagged = this.#takes === "blobs" ? [] : revisions.filter((revision) => !isNeeded(revision));
    const live = new Set<string>();
    for (const { digest } of revisions) {
      const { blobs = [], manifests = [] } = this.#references(digest) ?? {};
      for (const each of [digest, ...blobs, ...manifests]) live.add(each);
    }
    const left = untagged.map(({ repository, digest }) => layout.revisionLink(repository as RepositoryName, digest));
    for (const one of keys) {
      const { key, kind } = one;
      const blob = key.startsWith(layout.blobs) ? blobKeyOf(key) : kind === "layer" ? one.digest : undefined;
      const isDead = kind === "referrer" && !revisions.some(({ digest }) => digest === one.referrer);
      if ((blob !== undefined && !live.has(blob)) || kind === "upload" || isDead) left.push(key);
    }
    return left;
  }

  #references(digest: Digest): ReturnType<typeof referencesOf> {
    const bytes = this.#store.bytes(layout.blob(digest));
    return bytes === undefined ? undefined : referencesOf(bytes);
  }

  #revisions(): Revision[] {
    return [...this.#store.objects.keys()].flatMap((key) => {
      const found = repositoryKeyOf(key);
      return found.kind === "revision" ? [found] : [];
    });
  }
}

interface Revision {
  readonly repository: string;
  readonly digest: Digest;
}
