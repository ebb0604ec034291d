/** A registry in memory with a clock that the test sets, and a collector for it. */
import { Collector, type CollectorOptions } from "../../shared/gc/collector.ts";
import { keepAll } from "../../shared/gc/retention.ts";
import type { Summary } from "../../shared/gc/summary.ts";
import type { Digest } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { repositoryNameFrom, type RepositoryName, type Tag } from "../../shared/oci/reference.ts";
import { gcTimes } from "../../shared/registry/gc-times.ts";
import { layout } from "../../shared/registry/layout.ts";
import { writeLink } from "../../shared/registry/link.ts";
import { listKeys, type StorageDriver } from "../../shared/storage/driver.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { observed } from "../../shared/storage/observed.ts";

export const TIMES = gcTimes();
const SETTLE_AND_MORE = TIMES.settleMs + 60_000;

/** A store with a clock; another one has its own. */
export class World {
  time = Date.parse("2026-01-01T00:00:00Z");
  readonly driver: StorageDriver;

  /** Over a store of its own, or over one with another clock. */
  constructor(driver?: StorageDriver) {
    this.driver = driver ?? new MemoryDriver({ now: () => new Date(this.time) });
  }

  /** Lets time pass until what there is now is older than the horizon. */
  age(): void {
    this.time += TIMES.horizonMs + 60_000;
  }

  /** Bytes and link, as a push leaves them. */
  async blob(repository: string, content: string): Promise<Digest> {
    const bytes = Buffer.from(content);
    const digest = digestOf("sha256", bytes);
    await this.driver.put(layout.blob(digest), bytes);
    await writeLink(this.driver, layout.layerLink(nameOf(repository), digest), digest);
    return digest;
  }

  /** A manifest as a push leaves it, its blobs aside. */
  async manifest(repository: string, json: object, tag?: string): Promise<Digest> {
    return await this.manifestBytes(repository, Buffer.from(JSON.stringify(json)), tag);
  }

  async manifestBytes(repository: string, bytes: Uint8Array, tag?: string): Promise<Digest> {
    const name = nameOf(repository);
    const digest = digestOf("sha256", bytes);
    await this.driver.put(layout.blob(digest), bytes);
    await writeLink(this.driver, layout.revisionLink(name, digest), digest);
    if (tag !== undefined) {
      await writeLink(this.driver, layout.tagLink(name, tag as Tag), digest);
      await writeLink(this.driver, layout.tagHistoryLink(name, tag as Tag, digest), digest);
    }
    return digest;
  }

  /** An image of these layers, with all that it needs. */
  async image(
    repository: string,
    layers: readonly string[],
    { tag, ...more }: { tag?: string; [key: string]: unknown } = {},
  ) {
    const blobs = [];
    for (const content of ["{}", ...layers]) blobs.push(await this.blob(repository, content));
    const [config, ...rest] = blobs.map((digest) => ({ mediaType: "application/octet-stream", digest, size: 2 }));
    const digest = await this.manifest(
      repository,
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: rest, ...more },
      tag,
    );
    return { digest, blobs };
  }

  async index(repository: string, children: readonly Digest[], tag?: string): Promise<Digest> {
    const manifests = children.map((digest) => ({ mediaType: OCI_MANIFEST, digest, size: 2 }));
    return await this.manifest(repository, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, tag);
  }

  async referrer(repository: string, subject: Digest, name: string): Promise<Digest> {
    const { digest } = await this.image(repository, [name], {
      subject: { mediaType: OCI_MANIFEST, digest: subject, size: 2 },
    });
    await writeLink(this.driver, layout.referrerLink(nameOf(repository), subject, digest), digest);
    return digest;
  }

  async deleteManifest(repository: string, digest: Digest): Promise<void> {
    await this.driver.delete(layout.revisionLink(nameOf(repository), digest));
  }

  collector(options: Partial<CollectorOptions> = {}, driver: StorageDriver = this.driver): Collector {
    return new Collector(driver, { ...DEFAULTS, ...options });
  }

  async collect(options: Partial<CollectorOptions> = {}, driver?: StorageDriver): Promise<Summary> {
    const summary = await this.collector(options, driver).run();
    this.time += SETTLE_AND_MORE;
    return summary;
  }

  /** As many runs as it takes until garbage is gone. */
  async collectTwice(options: Partial<CollectorOptions> = {}): Promise<readonly [Summary, Summary]> {
    return [await this.collect(options), await this.collect(options)];
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.driver.head(layout.blob(digest))) !== undefined;
  }

  async hasRevision(repository: string, digest: Digest): Promise<boolean> {
    return (await this.driver.head(layout.revisionLink(nameOf(repository), digest))) !== undefined;
  }

  /** The states of the marks that there are. */
  async marks(): Promise<string[]> {
    const states: string[] = [];
    for (const prefix of [layout.blobMarks, layout.revisionMarks]) {
      for await (const { key } of listKeys(this.driver, prefix)) {
        const bytes = await this.driver.read(key, 1000);
        states.push((JSON.parse(Buffer.from(bytes ?? []).toString()) as { state: string }).state);
      }
    }
    return states;
  }

  /** Keys that are not the collector's own. */
  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of listKeys(this.driver, "")) if (!key.includes("/_gc/")) keys.push(key);
    return keys.sort();
  }
}

/** The same store, which keeps nothing of what it deletes. */
export function withoutTrash(driver: StorageDriver): StorageDriver {
  const whole = observed(driver, () => undefined);
  const { trash, ...fenced } = whole.fenced;
  if (trash === undefined) throw new Error(`${driver.name} keeps nothing anyway`);
  return { ...whole, fenced };
}

export const DEFAULTS: CollectorOptions = {
  times: TIMES,
  retention: keepAll,
  dryRun: false,
  force: false,
  setAside: false,
  trashMs: 7 * 24 * 60 * 60 * 1000,
  uploadAgeMs: 7 * 24 * 60 * 60 * 1000,
};

export function nameOf(text: string): RepositoryName {
  const name = repositoryNameFrom(text);
  if (name === undefined) throw new Error(`${text} is no name`);
  return name;
}
