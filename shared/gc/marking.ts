import type { Digest } from "../oci/digest.ts";
import type { References } from "../oci/references.ts";
import { repositoryNameFrom, type RepositoryName, type Tag } from "../oci/reference.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { layout } from "../registry/layout.ts";
import { readLink } from "../registry/link.ts";
import { mapLimit } from "../storage/concurrency.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { Aliases, type AliasLink } from "./aliases.ts";
import { BlobTable } from "./blob-table.ts";
import { Bits, Uints } from "./columns.ts";
import type { Deadline } from "./deadline.ts";
import { MarkingFault } from "./faults.ts";
import { PushWatch, refuseForeignSessions } from "./foreign-writes.ts";
import { blobCuts, listOnce, listRanges, rangesCutAt, type KeyRange } from "./key-ranges.ts";
import { addUnstored } from "./links-without-bytes.ts";
import { readPromised, readReferences } from "./manifest-references.ts";
import type { ReferenceMemory } from "./reference-memory.ts";
import { RepositoryTable, type OddLink } from "./repository-table.ts";
import type { Retention } from "./retention.ts";
import type { Arrays, Snapshot } from "./snapshot.ts";
import { horizonSeconds } from "./times.ts";

/** Manifests and links that are read side by side. */
const READS = 24;
/** Between two looks at the time. */
const READ_BATCH = 480;

/** What has to be known before the marking begins. */
export interface MarkingOptions {
  /** The store's time before anything was listed. */
  readonly begun: Date;
  readonly times: GcTimes;
  /** Of which repositories tags are needed to say what stays, and whether of any. */
  readonly retention: Pick<Retention, "isActive" | "concerns">;
  /** Go on although another registry writes here? */
  readonly force: boolean;
  /** Names of repositories between which the listing may be cut: what `cuts` gave the last time. */
  readonly cuts: readonly string[];
  /** Called when a part is done, with its name. */
  readonly onPhase?: ((done: string) => void) | undefined;
}

/** Where the marking is. */
type MarkingStep = "list blobs" | "list repositories" | "read links" | "read manifests" | "read tags" | "done";

interface Meta {
  step: MarkingStep;
  ranges: KeyRange[];
  few: RepositoryTable["few"][];
  aliases: AliasLink[];
  odd: number;
  /** Revisions whose bytes came after the blobs were listed, and others that lie under another digest. */
  extraRevisions: { repository: string; digest: Digest }[];
  /** What each tag names, in the order of the tables; null where it is gone. */
  tagNames: (Digest | null)[];
  readManifests: number;
  rememberedManifests: number;
  /** Manifests that refer to a blob that is not stored, as sparse ones do. */
  incomplete: number;
}

/**
 * Step 2 of a run: what is stored, and what of it is live. Whatever goes wrong is thrown, and then nothing may be deleted;
 * a MarkingFault says that it is the stored content. Between two calls of `advance` it can be kept as a snapshot.
 */
export class Marking {
  blobs = new BlobTable();
  repositories: RepositoryTable[] = [];
  /** Of all rows, also of those that are not stored. */
  live = new Bits(0);
  /** Rows of manifests that need another: an index its child, a subject its referrer. In pairs. */
  readonly needing: Uints;
  readonly needed: Uints;
  readonly #driver: StorageDriver;
  readonly #memory: ReferenceMemory;
  readonly #options: MarkingOptions;
  readonly #meta: Meta;
  #blobRanges: BlobTable[] = [];
  #known = new Bits(0);
  readonly #aliases: Aliases;
  #pushes: PushWatch | undefined;

  constructor(driver: StorageDriver, memory: ReferenceMemory, options: MarkingOptions, snapshot?: Snapshot) {
    this.#driver = driver;
    this.#memory = memory;
    this.#options = options;
    this.#meta = (snapshot?.meta as Meta | undefined) ?? {
      step: "list blobs",
      ranges: [],
      few: [],
      aliases: [],
      odd: 0,
      extraRevisions: [],
      tagNames: [],
      readManifests: 0,
      rememberedManifests: 0,
      incomplete: 0,
    };
    this.#aliases = new Aliases(this.#meta.aliases);
    const arrays = snapshot?.arrays ?? {};
    this.needing = new Uints(arrays["needing"] as Uint32Array<ArrayBuffer> | undefined);
    this.needed = new Uints(arrays["needed"] as Uint32Array<ArrayBuffer> | undefined);
    if (snapshot === undefined) return;
    const under = (prefix: string): Arrays =>
      Object.fromEntries(
        Object.entries(arrays)
          .filter(([name]) => name.startsWith(`${prefix}/`))
          .map(([name, array]) => [name.slice(prefix.length + 1), array]),
      );
    if (this.#meta.step === "list blobs") {
      this.#blobRanges = this.#meta.ranges.map((_, index) => new BlobTable(under(`range-${index}`)));
    } else {
      this.blobs = new BlobTable(under("blobs"));
      this.live = new Bits(0, arrays["live"] as Uint8Array<ArrayBuffer>);
      this.#known = new Bits(0, arrays["known"] as Uint8Array<ArrayBuffer>);
    }
    this.repositories = this.#meta.few.map((few, index) => new RepositoryTable(under(`repositories-${index}`), few));
  }

  /** All there is to know, for a later process. What was read of manifests has to be remembered before. */
  snapshot(): Snapshot {
    this.#meta.few = this.repositories.map(({ few }) => few);
    const arrays: Record<string, Arrays[string]> = { needing: this.needing.view(), needed: this.needed.view() };
    const put = (prefix: string, of: Arrays): void => {
      for (const [name, array] of Object.entries(of)) arrays[`${prefix}/${name}`] = array;
    };
    if (this.#meta.step === "list blobs")
      this.#blobRanges.forEach((table, index) => put(`range-${index}`, table.arrays));
    else {
      put("blobs", this.blobs.arrays);
      arrays["live"] = this.live.view();
      arrays["known"] = this.#known.view();
    }
    this.repositories.forEach((table, index) => put(`repositories-${index}`, table.arrays));
    return { meta: this.#meta, arrays };
  }

  get isDone(): boolean {
    return this.#meta.step === "done";
  }

  /** What came of it, in numbers. */
  get counts(): Pick<Meta, "readManifests" | "rememberedManifests" | "incomplete"> & { live: number } {
    const { readManifests, rememberedManifests, incomplete } = this.#meta;
    return { readManifests, rememberedManifests, incomplete, live: this.live.count(this.blobs.length) };
  }

  get aliases(): readonly AliasLink[] {
    return this.#aliases.links;
  }

  /** Revisions that are none of the tables': nothing may be decided about them. */
  get extraRevisions(): Meta["extraRevisions"] {
    return this.#meta.extraRevisions;
  }

  /** What the tags of a table name, in their order; undefined where a tag is gone. */
  tagNames(table: number): readonly (Digest | undefined)[] {
    const start = this.repositories.slice(0, table).reduce((sum, { tags }) => sum + tags.length, 0);
    const end = start + (this.repositories[table]?.tags.length ?? 0);
    return this.#meta.tagNames.slice(start, end).map((digest) => digest ?? undefined);
  }

  /** The repositories that have a manifest. */
  *repositoriesWithManifests(): Generator<RepositoryName> {
    for (const table of this.repositories) {
      for (let repository = 0; repository < table.names.length; repository++) {
        const [start, end] = table.revisionRows(repository);
        const name = start === end ? undefined : repositoryNameFrom(table.names.at(repository));
        if (name !== undefined) yield name;
      }
    }
  }

  /** Goes on until all is known or time is over. */
  async advance(deadline: Deadline): Promise<void> {
    const meta = this.#meta;
    do {
      const { step } = meta;
      switch (step) {
        case "list blobs":
          if (!(await this.#listBlobs(deadline))) return;
          meta.step = "list repositories";
          break;
        case "list repositories":
          if (!(await this.#listRepositories(deadline))) return;
          meta.step = "read links";
          break;
        case "read links":
          if (!(await this.#readOddLinks(deadline))) return;
          meta.step = "read manifests";
          break;
        case "read manifests":
          if (!(await this.#readManifests(deadline))) return;
          meta.step = "read tags";
          break;
        case "read tags":
          if (!(await this.#readTags(deadline))) return;
          meta.step = "done";
          break;
        case "done":
          return;
      }
      this.#options.onPhase?.(step);
    } while (!deadline.isOver);
  }

  async #listBlobs(deadline: Deadline): Promise<boolean> {
    const meta = this.#meta;
    if (meta.ranges.length === 0) {
      const table = new BlobTable();
      const whole: KeyRange = { after: undefined, end: undefined, done: false };
      const first = await listOnce(this.#driver, layout.blobs, whole, (objects) => table.take(objects));
      const cuts = first.done ? [] : blobCuts(first.after ?? "");
      meta.ranges = rangesCutAt(cuts).map((range, index) =>
        index === 0 ? { ...range, ...first, end: range.end } : range,
      );
      this.#blobRanges = meta.ranges.map((_, index) => (index === 0 ? table : new BlobTable()));
    }
    meta.ranges = await listRanges(this.#driver, layout.blobs, meta.ranges, deadline, (range, objects) =>
      this.#blobRanges[range]?.take(objects),
    );
    if (meta.ranges.some(({ done }) => !done)) return false;
    this.blobs = BlobTable.joined(this.#blobRanges);
    this.#blobRanges = [];
    this.live = new Bits(this.blobs.length);
    this.#known = new Bits(this.blobs.length);
    meta.ranges = [];
    return true;
  }

  async #listRepositories(deadline: Deadline): Promise<boolean> {
    const meta = this.#meta;
    if (meta.ranges.length === 0) {
      meta.ranges = rangesCutAt(this.#options.cuts.map((name) => `${layout.repositories}${name}/`).sort());
      this.repositories = meta.ranges.map(() => new RepositoryTable());
    }
    const { retention } = this.#options;
    meta.ranges = await listRanges(this.#driver, layout.repositories, meta.ranges, deadline, (range, objects) =>
      this.repositories[range]?.take(objects, this.blobs, (name) => retention.concerns(name)),
    );
    if (meta.ranges.some(({ done }) => !done)) return false;
    if (this.blobs.length > 0 && this.repositories.every(({ few }) => few.keys === 0)) {
      throw new MarkingFault(
        `${this.blobs.length} blobs are stored and not one key of a repository: part of the storage is missing`,
      );
    }
    if (!this.#options.force) refuseForeignSessions(this.repositories, this.#horizon(), this.#options.times);
    addUnstored(
      this.blobs,
      this.repositories.map(({ linksWithoutBytes }) => linksWithoutBytes),
    );
    this.live = new Bits(this.blobs.rows);
    meta.ranges = [];
    return true;
  }

  async #readOddLinks(deadline: Deadline): Promise<boolean> {
    const meta = this.#meta;
    const odd = this.repositories.flatMap(({ few }) => few.odd);
    // What is stored under another digest has to be known before manifests are read that may refer to it.
    const links = odd.filter(({ kind }) => kind !== "revision");
    const all = [...links, ...odd.filter(({ kind }) => kind === "revision")];
    while (meta.odd < all.length) {
      const end = meta.odd + READ_BATCH;
      const batch = all.slice(meta.odd, meta.odd < links.length ? Math.min(end, links.length) : end);
      await mapLimit(batch, READS, async (odd) => await this.#readOddLink(odd));
      meta.odd += batch.length;
      if (deadline.isOver) break;
    }
    return meta.odd >= all.length;
  }

  async #readOddLink({ key, kind, repository, digest, modified }: OddLink): Promise<void> {
    if (kind === "foreign-link" && digest !== undefined) {
      this.#keep(digest);
      return;
    }
    const target = await readLink(this.#driver, key);
    if (target === undefined) {
      if ((await this.#driver.head(key)) === undefined) return;
      throw new MarkingFault(`the link ${key} is malformed; "lading verify" says more`);
    }
    if (kind === "revision") {
      await this.#takeExtraRevision(repository, target, key);
      if (digest !== undefined) this.#meta.extraRevisions.push({ repository, digest });
      return;
    }
    const row = this.blobs.find(target);
    if (row === undefined) {
      // Not stored: what else leads there stays with it.
      this.#keep(target);
      return;
    }
    this.blobs.touch(row, modified);
    // By an algorithm that we cannot read in manifests: whoever refers to it, it stays.
    if (digest === undefined) this.live.add(row);
    else this.#aliases.add({ key, repository, target: row, digest, modified });
  }

  /** A revision that is not in the tables: newer than the list of blobs, or stored under another digest. */
  async #takeExtraRevision(repository: string, digest: Digest, link: string): Promise<void> {
    this.#meta.extraRevisions.push({ repository, digest });
    this.#keep(digest);
    if (this.blobs.find(digest) !== undefined) return; // read with those of the tables
    const references = await readReferences(this.#driver, digest);
    if (references === undefined) {
      if ((await this.#driver.head(link)) === undefined) return;
      throw new MarkingFault(
        `${repository} has the manifest ${digest}, but its bytes are missing; "lading verify" says more`,
      );
    }
    this.#meta.readManifests++;
    for (const referenced of [...references.blobs, ...references.manifests]) this.#keep(referenced);
  }

  async #readManifests(deadline: Deadline): Promise<boolean> {
    const meta = this.#meta;
    const wanted = new Bits(this.blobs.length);
    for (const { revisions } of this.repositories) for (const row of revisions.view()) wanted.add(row);
    for (const { digest } of meta.extraRevisions) {
      const row = this.blobs.find(digest);
      if (row !== undefined) wanted.add(row);
    }
    const { times, force } = this.#options;
    const known = { repositories: this.repositories, blobs: this.blobs, aliases: this.#aliases };
    this.#pushes = force ? undefined : new PushWatch({ ...known, times, horizon: this.#horizon() });
    const refuse = async (): Promise<void> => {
      await this.#pushes?.refuse(
        async (digest) => await readPromised(this.#driver, digest),
        async (repository, blob) => {
          const name = repositoryNameFrom(repository);
          const info = name && (await this.#driver.head(layout.layerLink(name, blob)));
          return info && Math.floor(info.lastModified.getTime() / 1000);
        },
      );
    };

    await this.#memory.read(({ digest, references }) => {
      const row = this.blobs.find(digest);
      if (row === undefined || !wanted.has(row)) return false;
      if (!this.#known.has(row)) {
        this.#mark(row, references);
        meta.rememberedManifests++;
      }
      return true;
    });
    await refuse();

    let batch: number[] = [];
    const read = async (): Promise<void> => {
      const found = await mapLimit(batch, READS, async (row) => {
        const digest = this.blobs.digests.at(row);
        const references = await readReferences(this.#driver, digest);
        if (references === undefined) throw new MarkingFault(`the bytes of manifest ${digest} are missing`);
        return { row, digest, references };
      });
      for (const { row, digest, references } of found) {
        this.#mark(row, references);
        await this.#memory.add({ digest, references });
      }
      await refuse();
      meta.readManifests += batch.length;
      batch = [];
    };
    for (let row = 0; row < this.blobs.length; row++) {
      if (!wanted.has(row) || this.#known.has(row)) continue;
      batch.push(row);
      if (batch.length < READ_BATCH) continue;
      await read();
      if (deadline.isOver) break;
    }
    if (!deadline.isOver || batch.length > 0) await read();
    await this.#memory.flush();
    for (let row = 0; row < this.blobs.length; row++) if (wanted.has(row) && !this.#known.has(row)) return false;
    return true;
  }

  /** A manifest of some repository is live, and so is all that it refers to. */
  #mark(row: number, { blobs, manifests, subject }: References): void {
    this.#known.add(row);
    this.live.add(row);
    let complete = true;
    for (const blob of blobs) if (this.#keep(blob).length === 0) complete = false;
    for (const manifest of manifests) {
      for (const child of this.#keep(manifest)) if (this.#options.retention.isActive) this.#need(row, child);
    }
    if (!complete) this.#meta.incomplete++;
    const subjectRow = subject === undefined ? undefined : this.blobs.find(subject);
    if (subjectRow !== undefined && this.#options.retention.isActive) this.#need(subjectRow, row);
    this.#pushes?.look(row, blobs);
  }

  #need(needing: number, needed: number): void {
    this.needing.push(needing);
    this.needed.push(needed);
  }

  async #readTags(deadline: Deadline): Promise<boolean> {
    const { tagNames } = this.#meta;
    const all = this.repositories.flatMap((table) =>
      Array.from({ length: table.tags.length }, (_, i) => [table, i] as const),
    );
    while (tagNames.length < all.length) {
      const batch = all.slice(tagNames.length, tagNames.length + READ_BATCH);
      const names = await mapLimit(batch, READS, async ([table, i]) => {
        const repository = table.names.at(table.tagged.at(i));
        const key = layout.tagLink(repository as RepositoryName, table.tags.at(i) as Tag);
        const digest = await readLink(this.#driver, key);
        if (digest === undefined && (await this.#driver.head(key)) !== undefined) {
          throw new MarkingFault(`the tag ${key} is malformed; "lading verify" says more`);
        }
        return digest ?? null;
      });
      tagNames.push(...names);
      if (deadline.isOver) break;
    }
    return tagNames.length >= all.length;
  }

  /** Keeps what a digest names, or the links to what is not stored; gives the rows of what is stored. */
  #keep(digest: Digest): number[] {
    const rows = this.#rowsOf(digest);
    for (const row of rows) this.live.add(row);
    const unstored = this.blobs.findUnstored(digest);
    if (unstored !== undefined) this.live.add(unstored);
    return rows;
  }

  /** What is stored under a digest may be another repository's, while this one has an alias: so what that leads to, too. */
  #rowsOf(digest: Digest): number[] {
    const stored = this.blobs.find(digest);
    return [...(stored === undefined ? [] : [stored]), ...this.#aliases.targetsOf(digest)];
  }

  #horizon(): number {
    return horizonSeconds(this.#options.begun, this.#options.times);
  }
}
