/**
 * How another registry is recognised that writes to the same storage now. It knows no marks, so what it promises its clients
 * is not known to us, and nothing may be collected while it does. Neither costs a request:
 *
 * - A young upload session whose id is no UUID of version 8: the others make versions 4 and 7.
 * - A young revision that relies on a link which was old when it was pushed: a push of ours writes such links again.
 *
 * What it pushed anew as a whole is not recognised, and need not be: all of that is young.
 */
import type { Digest } from "../oci/digest.ts";
import type { BlobTable } from "./blob-table.ts";
import { MarkingFault } from "./faults.ts";
import type { RepositoryTable } from "./repository-table.ts";
import type { GcTimes } from "../registry/gc-times.ts";

const ADVICE =
  "It knows nothing of this collection: stop it and wait until all it wrote is older than the horizon, or force the run";
const OURS = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A revision that was pushed after the horizon, and where. */
export interface YoungRevision {
  readonly table: RepositoryTable;
  readonly repository: number;
  /** Seconds since 1970. */
  readonly revised: number;
}

/** The revisions that were written after the horizon, by the row of their manifest. */
export function youngRevisions(
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

/** Throws MarkingFault where a session that is not ours was written to after the horizon. */
export function refuseForeignSessions(tables: readonly RepositoryTable[], horizon: number): void {
  for (const { few } of tables) {
    const foreign = few.sessions.find(({ id, newest }) => newest >= horizon && !OURS.test(id));
    if (foreign === undefined) continue;
    throw new MarkingFault(
      `another registry writes to this storage: the upload ${foreign.id} to ${foreign.repository} is young and none of Lading's. ${ADVICE}`,
    );
  }
}

/** Throws MarkingFault where a young push of a manifest relied on an old link to one of these blobs and left it as it was. */
export function refuseForeignPush(
  revisions: readonly YoungRevision[],
  digest: Digest,
  blobRows: readonly number[],
  blobs: BlobTable,
  { freshMs, promiseMs }: GcTimes,
): void {
  for (const { table, repository, revised } of revisions) {
    const oldest = revised - (freshMs + 2 * promiseMs) / 1000;
    for (const row of blobRows) {
      const linked = table.linkedAt(repository, row);
      if (linked === undefined || linked >= oldest) continue;
      throw new MarkingFault(
        `another registry, or an older Lading, writes to this storage: it pushed ${table.names.at(repository)}@${digest} ` +
          `relying on its old link to ${blobs.digests.at(row)}. ${ADVICE}`,
      );
    }
  }
}
