/**
 * How another registry is recognised that writes to the same storage now. It knows no marks, so what it promises its clients
 * is not known to us, and nothing may be collected while it does. Neither costs a request, but what is suspected:
 *
 * - A young upload session whose id is no UUID of version 8: the others make versions 4 and 7.
 * - A young revision that relies on a link which was old when it was pushed: a push of ours writes such links again.
 *
 * What it pushed anew as a whole is not recognised, and need not be: all of that is young.
 */
import type { Digest } from "../oci/digest.ts";
import type { GcTimes } from "../registry/gc-times.ts";
import { mapLimit } from "../storage/concurrency.ts";
import type { Aliases } from "./aliases.ts";
import type { BlobTable } from "./blob-table.ts";
import { MarkingFault } from "./faults.ts";
import type { RepositoryTable } from "./repository-table.ts";
import { spanOf } from "./times.ts";

/** Manifests that are read side by side. */
const READS = 24;
const OURS = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** What is to be done about it. */
function advice({ horizonMs }: GcTimes): string {
  return (
    `It knows nothing of this collection: stop it and wait until all it wrote is older than ${spanOf(horizonMs)}, or force the ` +
    "run (--force; with --dry-run it is without danger)"
  );
}

/** Throws MarkingFault where a session that is not ours was written to after the horizon, in seconds since 1970. */
export function refuseForeignSessions(tables: readonly RepositoryTable[], horizon: number, times: GcTimes): void {
  for (const { few } of tables) {
    const foreign = few.sessions.find(({ id, newest }) => newest >= horizon && !OURS.test(id));
    if (foreign === undefined) continue;
    throw new MarkingFault(
      `another registry writes to this storage: the upload ${foreign.id} to ${foreign.repository} is young and none of Lading's. ${advice(times)}`,
    );
  }
}

/** What is known of repositories. */
interface Known {
  readonly repositories: readonly RepositoryTable[];
  readonly blobs: BlobTable;
  readonly aliases: Aliases;
  readonly times: GcTimes;
  /** In seconds since 1970. */
  readonly horizon: number;
}

/** A revision that was pushed after the horizon, and where. */
interface YoungRevision {
  readonly table: RepositoryTable;
  readonly repository: number;
  /** Seconds since 1970. */
  readonly revised: number;
}

/** An old link on which a young push relied, and which it left as it was. */
interface StaleLink {
  readonly repository: string;
  readonly blob: Digest;
  /** A push of ours would have left none that is older, in seconds since 1970. */
  readonly oldest: number;
}

/** Looks at young pushes while manifests are read: each by its manifest's row. */
export class PushWatch {
  readonly #known: Known;
  readonly #young: ReadonlyMap<number, readonly YoungRevision[]>;
  #suspects: number[] = [];

  constructor(known: Known) {
    this.#known = known;
    this.#young = youngRevisions(known.repositories, known.horizon);
  }

  /** Remembers a manifest of which a young push may have relied on an old link to one of these blobs. */
  look(manifest: number, blobs: readonly Digest[]): void {
    if (this.#staleLinks(manifest, blobs).next().done !== true) this.#suspects.push(manifest);
  }

  /**
   * Throws MarkingFault where a push of one of these did so. Manifests refer to more than is promised to a push:
   * `readPromised` gives the blobs that were. Links are listed before revisions, so a push of ours may have come between
   * the two: `linkedNow` looks at a link as it is, and gives when it was written, in seconds since 1970.
   */
  async refuse(
    readPromised: (manifest: Digest) => Promise<readonly Digest[]>,
    linkedNow: (repository: string, blob: Digest) => Promise<number | undefined>,
  ): Promise<void> {
    const suspects = this.#suspects;
    this.#suspects = [];
    await mapLimit(suspects, READS, async (row) => {
      const manifest = this.#known.blobs.digestOf(row);
      for (const { repository, blob, oldest } of this.#staleLinks(row, await readPromised(manifest))) {
        if (((await linkedNow(repository, blob)) ?? 0) >= oldest) continue;
        throw new MarkingFault(
          `another registry, or an older Lading, writes to this storage: it pushed ${repository}@${manifest} ` +
            `relying on its old link to ${blob}. ${advice(this.#known.times)}`,
        );
      }
    });
  }

  /** Those that were old when they were listed. */
  *#staleLinks(manifest: number, blobs: readonly Digest[]): Generator<StaleLink> {
    const { freshMs, promiseMs } = this.#known.times;
    for (const { table, repository, revised } of this.#young.get(manifest) ?? []) {
      const oldest = revised - (freshMs + 2 * promiseMs) / 1000;
      for (const blob of blobs) {
        if ((this.#linkedAt(table, repository, blob) ?? oldest) < oldest)
          yield { repository: table.names.at(repository), blob, oldest };
      }
    }
  }

  /** By the digest that a manifest names: that link is written again, and of an alias not the one to which it leads. */
  #linkedAt(table: RepositoryTable, repository: number, blob: Digest): number | undefined {
    const { blobs, aliases } = this.#known;
    const row = blobs.find(blob);
    const linked = row === undefined ? undefined : table.linkedAt(repository, row);
    return linked ?? aliases.linkedAt(table.names.at(repository), blob);
  }
}

/** The revisions that were written after the horizon, by the row of their manifest. */
function youngRevisions(
  tables: readonly RepositoryTable[],
  horizon: number,
): ReadonlyMap<number, readonly YoungRevision[]> {
  const young = new Map<number, YoungRevision[]>();
  for (const table of tables) {
    for (let repository = 0; repository < table.names.length; repository++) {
      const [start, end] = table.revisionRows(repository);
      for (let i = start; i < end; i++) {
        const revised = table.revised.at(i);
        if (revised < horizon) continue;
        const row = table.revisions.at(i);
        const others = young.get(row);
        if (others === undefined) young.set(row, [{ table, repository, revised }]);
        else others.push({ table, repository, revised });
      }
    }
  }
  return young;
}
