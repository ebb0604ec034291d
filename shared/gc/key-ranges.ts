/** A listing in ranges of keys, side by side, that can be left off and taken up again. */
import { allEnded } from "../storage/concurrency.ts";
import { layout } from "../registry/layout.ts";
import type { ListedObject, StorageDriver } from "../storage/driver.ts";
import type { Deadline } from "./deadline.ts";

/** Ranges listed side by side, and how many pages make one worth it. */
const RANGES = 16;
const RANGE_PAGES = 8;

/** Keys after `after` up to `end`, both included in neither sense: no key is one of them. Plain JSON. */
export interface KeyRange {
  readonly after: string | undefined;
  readonly end: string | undefined;
  readonly done: boolean;
}

/** Ranges that cover everything, cut at these keys, which are in order. */
export function rangesCutAt(cuts: readonly string[]): KeyRange[] {
  return [undefined, ...cuts].map((after, index) => ({ after, end: cuts[index], done: false }));
}

/**
 * Lists on from where the ranges are, until all are done or time is over; `take` gets each page with the number of its
 * range. Gives the ranges as they are then. A page that fails ends it all.
 */
export async function listRanges(
  driver: StorageDriver,
  prefix: string,
  ranges: readonly KeyRange[],
  deadline: Deadline,
  take: (range: number, objects: readonly ListedObject[]) => void,
): Promise<KeyRange[]> {
  const state = [...ranges];
  let failed = false;
  await allEnded(
    state.map(async (_, index) => {
      for (let range = state[index]; range !== undefined && !range.done; range = state[index]) {
        if (failed) return;
        try {
          state[index] = await listOnce(driver, prefix, range, (objects) => take(index, objects));
        } catch (error) {
          failed = true;
          throw error;
        }
        if (deadline.isOver) return;
      }
    }),
  );
  return state;
}

/** One page of a range. */
export async function listOnce(
  driver: StorageDriver,
  prefix: string,
  { after, end }: KeyRange,
  take: (objects: readonly ListedObject[]) => void,
): Promise<KeyRange> {
  const { objects, next } = await driver.list(prefix, after === undefined ? {} : { startAfter: after });
  const within = end === undefined ? objects : objects.filter(({ key }) => key < end);
  take(within);
  const done = next === undefined || within.length < objects.length || (end !== undefined && next >= end);
  return { after: next ?? after, end, done };
}

/** In how many ranges so many pages are listed: each costs a page more. */
export function rangeCount(pages: number): number {
  return Math.max(1, Math.min(RANGES, Math.floor(pages / RANGE_PAGES)));
}

/** Cuts a listing of blobs, of which the first page ends at a key, into ranges of many pages: digests are spread evenly. */
export function blobCuts(last: string): string[] {
  const hex = /^sha256\/[0-9a-f]{2}\/([0-9a-f]{8})/.exec(last.slice(layout.blobs.length))?.[1];
  if (hex === undefined) return [];
  const pages = 2 ** 32 / Math.max(1, Number.parseInt(hex, 16));
  const count = rangeCount(pages);
  const cuts = Array.from({ length: count - 1 }, (_, i) => Math.floor(((i + 1) * 256) / count));
  // Without the slash: what comes after is everything in the folder.
  return cuts
    .map((first) => `${layout.blobs}sha256/${first.toString(16).padStart(2, "0")}`)
    .filter((cut) => cut > last);
}
