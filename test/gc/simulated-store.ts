/**
 * A bucket of any size that takes no room: what it holds is worked out when it is asked for, and only what is written to it
 * is kept. Pages have S3's size, and requests are counted.
 *
 * Of `blobs` blobs every fifth is a manifest, with its real digest, which names the four after it; one in ten of those leaves the last one out,
 * which so is garbage. A repository has 20 manifests, each tagged, and links to all that follows them.
 */
import { createHash } from "node:crypto";
import { OCI_MANIFEST } from "../../shared/oci/media-type.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import {
  ObjectTooLargeError,
  type DraftStore,
  type FencedDelete,
  type FencedDeletes,
  type ListedObject,
  type ListOptions,
  type ListPage,
  type Look,
  type ObjectInfo,
  type PutCondition,
  type StorageDriver,
  type StoredObject,
  type Written,
} from "../../shared/storage/driver.ts";

const PAGE = 1000;
const ROOT = "docker/registry/v2/";
const BLOBS = `${ROOT}blobs/`;
const REPOSITORIES = `${ROOT}repositories/`;
const MANIFEST_EVERY = 5;
const MANIFESTS_PER_REPOSITORY = 20;
const GARBAGE_EVERY = 10;
const LAYER_BYTES = 5_000_000_000;
const SPREAD = 2 ** 32;
const DIGEST_BYTES = 32;

/** See above. */
export class SimulatedStore implements StorageDriver {
  readonly name = "simulated";
  readonly drafts: DraftStore;
  readonly fenced: FencedDeletes;
  readonly requests = { list: 0, get: 0, put: 0, delete: 0 };
  readonly manifests: number;
  readonly repositories: number;
  /** Blobs that no manifest names. */
  readonly garbage: number;
  /** The store's clock, in milliseconds. */
  time = Date.parse("2026-01-01T00:00:00Z");
  readonly #blobs: number;
  readonly #born = new Date(this.time);
  readonly #deleted = new Set<string>();
  readonly #written = new MemoryDriver({ now: () => new Date(this.time) });
  #repository: { number: number; keys: readonly string[] } | undefined;
  /** The digests of the manifests one after the other, as bytes, and their numbers in the order of the digests. */
  readonly #digests: Buffer;
  readonly #sorted: Uint32Array;

  constructor(blobs: number) {
    this.#blobs = blobs;
    this.manifests = blobs / MANIFEST_EVERY;
    this.#digests = Buffer.alloc(this.manifests * DIGEST_BYTES);
    for (let number = 0; number < this.manifests; number++) {
      const digest = createHash("sha256")
        .update(this.#manifest(number * MANIFEST_EVERY))
        .digest();
      digest.copy(this.#digests, number * DIGEST_BYTES);
    }
    this.#sorted = Uint32Array.from({ length: this.manifests }, (_, number) => number).sort((a, b) =>
      this.#digestOf(a).compare(this.#digestOf(b)),
    );
    this.repositories = this.manifests / MANIFESTS_PER_REPOSITORY;
    this.garbage = this.manifests / GARBAGE_EVERY;
    this.drafts = this.#written.drafts;
    this.fenced = {
      lifetimeMs: this.#written.fenced.lifetimeMs,
      isKept: async () => true,
      open: async () => undefined,
      delete: async (items: readonly FencedDelete[]) => {
        this.requests.delete += Math.ceil(items.length / PAGE);
        const late = items.filter(({ permit }) => this.time > permit.since.getTime() + this.fenced.lifetimeMs);
        for (const { key } of items) if (!late.some((item) => item.key === key)) await this.#remove(key);
        return late.map(({ key }) => key);
      },
      revoke: async () => undefined,
      revokeExpired: async () => undefined,
    };
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    this.requests.get++;
    const object = await this.#object(key);
    return object && { ...object.info, asOf: this.#now() };
  }

  async read(key: string, limit: number): Promise<Uint8Array | undefined> {
    return (await this.look(key, limit)).object?.bytes;
  }

  async look(key: string, limit: number): Promise<Look> {
    this.requests.get++;
    const object = await this.#object(key);
    const asOf = this.#now();
    if (object === undefined) return { asOf };
    if (object.info.size > limit) throw new ObjectTooLargeError(key, limit);
    return { asOf, object: { ...object.info, asOf, bytes: object.bytes() } };
  }

  async get(key: string): Promise<StoredObject | undefined> {
    this.requests.get++;
    const object = await this.#object(key);
    return object && { ...object.info, asOf: this.#now(), body: object.bytes() };
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<Written> {
    this.requests.put++;
    return await this.#written.put(key, bytes, condition);
  }

  async delete(key: string): Promise<void> {
    this.requests.delete++;
    await this.#remove(key);
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    this.requests.delete += Math.ceil(keys.length / PAGE);
    for (const key of keys) await this.#remove(key);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListPage> {
    this.requests.list++;
    const written = await this.#written.list(prefix, options);
    const generated = prefix === BLOBS ? this.#blobsAfter : prefix === REPOSITORIES ? this.#linksAfter : undefined;
    if (generated === undefined || options.delimiter !== undefined) return written;
    const limit = Math.min(options.limit ?? PAGE, PAGE);
    const found: ListedObject[] = [];
    for (const object of generated.call(this, options.startAfter ?? "")) {
      if (this.#deleted.has(object.key)) continue;
      found.push(object);
      if (found.length > limit) break;
    }
    const all = new Map([...found, ...written.objects].map((object) => [object.key, object]));
    const sorted = [...all.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    // Beyond the end of a page that is cut, the other source may have more.
    const ends = [found.length > limit ? found.at(-1)?.key : undefined, written.next].filter(
      (end) => end !== undefined,
    );
    const end = ends.sort()[0];
    const known = end === undefined ? sorted : sorted.filter(({ key }) => key <= end);
    const objects = known.slice(0, limit);
    const next = objects.length < all.size || written.next !== undefined ? objects.at(-1)?.key : undefined;
    return { objects, prefixes: [], asOf: this.#now(), ...(next === undefined ? {} : { next }) };
  }

  /** The digest of a blob: of manifests that of their bytes, of all else in the order of their numbers. */
  hexOf(blob: number): string {
    if (blob % MANIFEST_EVERY === 0) return this.#digestOf(blob / MANIFEST_EVERY).toString("hex");
    const first = Math.floor((blob * SPREAD) / this.#blobs)
      .toString(16)
      .padStart(8, "0");
    return first + createHash("sha256").update(`blob ${blob}`).digest("hex").slice(8);
  }

  isGarbage(blob: number): boolean {
    const manifest = Math.floor(blob / MANIFEST_EVERY);
    return blob % MANIFEST_EVERY === MANIFEST_EVERY - 1 && manifest % GARBAGE_EVERY === GARBAGE_EVERY - 1;
  }

  has(blob: number): boolean {
    return !this.#deleted.has(blobKey(this.hexOf(blob)));
  }

  #now(): Date {
    return new Date(this.time);
  }

  async #remove(key: string): Promise<void> {
    if (key.startsWith(BLOBS) || key.startsWith(REPOSITORIES)) this.#deleted.add(key);
    await this.#written.delete(key);
  }

  async #object(key: string): Promise<{ info: Omit<ObjectInfo, "asOf">; bytes: () => Uint8Array } | undefined> {
    const written = await this.#written.look(key, Infinity);
    const { object } = written;
    if (object !== undefined) return { info: object, bytes: () => object.bytes };
    const hex = /\/([0-9a-f]{64})\/(?:data|link)$/.exec(key)?.[1];
    if (hex === undefined || this.#deleted.has(key)) return undefined;
    const manifest = this.#sorted[this.#manifestsBefore(hex)];
    const isManifest = manifest !== undefined && this.#digestOf(manifest).toString("hex") === hex;
    const blob = isManifest ? manifest * MANIFEST_EVERY : this.#numberOf(hex);
    if (blob >= this.#blobs || this.hexOf(blob) !== hex) return undefined;
    if (!key.startsWith(BLOBS)) return { info: this.#listed(key, 71), bytes: () => Buffer.from(`sha256:${hex}`) };
    const bytes = isManifest ? this.#manifest(blob) : Buffer.alloc(0);
    return { info: this.#listed(key, isManifest ? bytes.length : LAYER_BYTES), bytes: () => bytes };
  }

  #digestOf(manifest: number): Buffer {
    return this.#digests.subarray(manifest * DIGEST_BYTES, (manifest + 1) * DIGEST_BYTES);
  }

  /** How many manifests have a smaller digest than this, or than all that begin with it. */
  #manifestsBefore(hex: string): number {
    const wanted = Buffer.from(hex.padEnd(2 * DIGEST_BYTES, "0"), "hex");
    let [low, high] = [0, this.manifests];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#digestOf(this.#sorted[middle] as number).compare(wanted) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Of a digest that is no manifest's. */
  #numberOf(hex: string): number {
    return Math.ceil((Number.parseInt(hex.slice(0, 8), 16) * this.#blobs) / SPREAD);
  }

  #manifest(blob: number): Buffer {
    const named = Array.from({ length: MANIFEST_EVERY - 1 }, (_, i) => blob + 1 + i).filter(
      (it) => !this.isGarbage(it),
    );
    const [config, ...layers] = named.map((it) => ({
      mediaType: "application/octet-stream",
      digest: `sha256:${this.hexOf(it)}`,
      size: 1,
    }));
    return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }));
  }

  *#blobsAfter(startAfter: string): Generator<ListedObject> {
    const hex = startAfter
      .slice(BLOBS.length)
      .replace(/^sha256\/[0-9a-f]{2}\/?/, "")
      .slice(0, 64);
    const folder = /^sha256\/([0-9a-f]{2})/.exec(startAfter.slice(BLOBS.length))?.[1] ?? "";
    const from = (hex === "" ? folder : hex).padEnd(8, "0");
    let layer = startAfter === "" ? 0 : Math.max(0, this.#numberOf(from) - 1);
    let manifest = startAfter === "" ? 0 : this.#manifestsBefore(from);
    while (layer < this.#blobs || manifest < this.manifests) {
      if (layer % MANIFEST_EVERY === 0 && layer < this.#blobs) {
        layer++;
        continue;
      }
      const layerHex = layer < this.#blobs ? this.hexOf(layer) : "~";
      const number = this.#sorted[manifest];
      const manifestHex = number === undefined ? "~" : this.#digestOf(number).toString("hex");
      const isLayer = layerHex < manifestHex;
      const key = blobKey(isLayer ? layerHex : manifestHex);
      if (isLayer) layer++;
      else manifest++;
      if (key > startAfter) yield this.#listed(key, isLayer ? LAYER_BYTES : 500);
    }
  }

  *#linksAfter(startAfter: string): Generator<ListedObject> {
    const name = /^org-(\d+)\/repo-(\d+)\//.exec(startAfter.slice(REPOSITORIES.length));
    for (let number = name === null ? 0 : Number(name[2]); number < this.repositories; number++) {
      for (const key of this.#keysOf(number)) if (key > startAfter) yield this.#listed(key, 71);
    }
  }

  /** All keys of a repository, in order. */
  #keysOf(number: number): readonly string[] {
    if (this.#repository?.number === number) return this.#repository.keys;
    const prefix = `${REPOSITORIES}${this.repositoryName(number)}/`;
    const manifests = Array.from(
      { length: MANIFESTS_PER_REPOSITORY },
      (_, i) => (number + i * this.repositories) * MANIFEST_EVERY,
    );
    const layers = manifests.flatMap((blob) => [1, 2, 3, 4].map((after) => this.hexOf(blob + after)));
    const hexes = manifests.map((blob) => this.hexOf(blob));
    const keys = [
      ...layers.map((hex) => `${prefix}_layers/sha256/${hex}/link`),
      ...[...hexes].sort().map((hex) => `${prefix}_manifests/revisions/sha256/${hex}/link`),
      ...hexes.flatMap((hex, i) => {
        const tag = `${prefix}_manifests/tags/v${String(i).padStart(2, "0")}`;
        return [`${tag}/current/link`, `${tag}/index/sha256/${hex}/link`];
      }),
    ];
    this.#repository = { number, keys };
    return keys;
  }

  repositoryName(number: number): string {
    const repository = String(number).padStart(6, "0");
    return `org-${repository.slice(0, 4)}/repo-${repository}`;
  }

  /** Keys in the bucket when nothing was written to it. */
  get keys(): number {
    return this.#blobs + this.repositories * MANIFESTS_PER_REPOSITORY * (4 + 1 + 2);
  }

  #listed(key: string, size: number): ListedObject {
    return { key, size, lastModified: this.#born, etag: '"0"' };
  }
}

function blobKey(hex: string): string {
  return `${BLOBS}sha256/${hex.slice(0, 2)}/${hex}/data`;
}
