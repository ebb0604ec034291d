/** What a run did, in numbers. */
import { layout } from "../registry/layout.ts";
import { observed } from "../storage/observed.ts";
import type { StorageDriver } from "../storage/driver.ts";

/** Requests to the store, by what they cost. */
export interface Requests {
  list: number;
  /** Also looks at an object. */
  get: number;
  /** Also copies and parts. */
  put: number;
  /** Which cost nothing. Keys that go in one request count once. */
  delete: number;
}

/** Things of a plan. */
export interface Amount {
  readonly blobs: number;
  /** Of the blobs. */
  readonly bytes: number;
  readonly manifests: number;
  readonly tags: number;
}

/**
 * What is counted as a run goes on. What is optional older runs have not counted.
 *
 * Of a step that was killed, or that another took the place of, only what it deleted is counted: that of which the last key
 * was gone when the run ended. What it condemned is among `lost`, and its time, requests, refusals and uploads nowhere.
 */
export interface Counts {
  /** Blobs that are stored, and those of them that something needs. Manifests are blobs too. */
  blobs: number;
  marked: number;
  repositories: number;
  manifestsRead: number;
  /** Whose references were known from earlier runs. */
  manifestsRemembered: number;
  /** That refer to blobs which are not stored. */
  incomplete: number;
  /** Blobs that nothing needs and that are older than the horizon. */
  eligible: number;
  eligibleBytes: number;
  /** Manifests of repositories that may go, and entries of referrers that are gone. */
  eligibleManifests: number;
  eligibleTags: number;
  /** Of the eligible, what was not condemned when the run began: it condemns that. */
  fresh?: Amount;
  /** From when on all of it may be deleted, if nobody wants it: by the store's clock, ISO 8601. Absent in a dry run. */
  freshFrom?: string;
  /** Of the eligible, what is condemned, but not for long enough to be deleted by this run. */
  waiting?: Amount;
  /** From when on all of that may be deleted. Absent where there is none. */
  waitingFrom?: string;
  /** Blobs that nothing needs and that are younger than the horizon. */
  young?: Pick<Amount, "blobs" | "bytes">;
  condemned: number;
  deleted: number;
  deletedBytes: number;
  /** Of `deleted`, what had no bytes, but links. */
  deletedLinks?: number;
  deletedManifests: number;
  deletedTags: number;
  /** Wanted again by somebody in between, or being deleted by another run. */
  lost: number;
  /** Deletes that came too late for their permit; a later run does them. */
  refused: number;
  /** Abandoned uploads that were deleted, or in a dry run would be. */
  uploads: number;
  uploadBytes: number;
  seconds: number;
  requests: Requests;
}

/** A run at its end. */
export interface Summary extends Counts {
  readonly run: string;
  /** By the store's clock, ISO 8601. */
  readonly begun: string;
  readonly outcome: "done" | "failed";
  /** Why it ended before its end: a sentence. */
  readonly reason?: string;
  readonly dryRun: boolean;
  /** Can what it deleted be brought back? */
  readonly undoable: boolean;
  /** Were copies set aside, which a later run removes? Older records do not say. */
  readonly setAside?: boolean;
  /** Why not: a clause. */
  readonly cannotUndo?: string;
  /** What the requests cost by Amazon's list prices (us-east-1, standard storage). */
  readonly dollars: number;
}

/** Amazon's list prices, in dollars a request. https://aws.amazon.com/s3/pricing/ */
const PRICES = { list: 5e-6, get: 4e-7, put: 5e-6, delete: 0 } as const;

/** What requests cost by list prices, in dollars. */
export function dollarsOf(requests: Requests): number {
  return (Object.keys(PRICES) as (keyof Requests)[]).reduce((sum, kind) => sum + requests[kind] * PRICES[kind], 0);
}

/** How many requests there were, of all kinds. */
export function allRequests({ list, get, put, delete: deletes }: Requests): number {
  return list + get + put + deletes;
}

/** How many things it deleted that can be brought back, if they are kept: links that led nowhere are not. */
export function undoableCount({ deleted, deletedLinks = 0, deletedManifests, deletedTags }: Counts): number {
  return deleted - deletedLinks + deletedManifests + deletedTags;
}

/** Nothing yet. */
export function noCounts(): Counts {
  return {
    ...{ blobs: 0, marked: 0, repositories: 0, manifestsRead: 0, manifestsRemembered: 0, incomplete: 0 },
    ...{ eligible: 0, eligibleBytes: 0, eligibleManifests: 0, eligibleTags: 0, condemned: 0 },
    ...{
      deleted: 0,
      deletedBytes: 0,
      deletedManifests: 0,
      deletedTags: 0,
      lost: 0,
      refused: 0,
      uploads: 0,
      uploadBytes: 0,
      seconds: 0,
    },
    requests: { list: 0, get: 0, put: 0, delete: 0 },
  };
}

const KINDS: Readonly<Record<string, keyof Requests>> = {
  ...{
    list: "list",
    head: "get",
    read: "get",
    get: "get",
    put: "put",
    copy: "put",
    write: "put",
    append: "put",
    publish: "put",
  },
  ...{ delete: "delete", deleteMany: "delete" },
};

/** A driver whose calls are counted. */
export function counted(driver: StorageDriver, counts: Counts): StorageDriver {
  return observed(driver, ({ operation }) => {
    const kind = KINDS[operation];
    if (kind !== undefined) counts.requests[kind]++;
  });
}

/** One line for a log. */
export function lineOf(summary: Summary): string {
  const { run, outcome, reason, dryRun, marked, eligible, deleted, deletedBytes, requests, seconds, dollars } = summary;
  return (
    `garbage collection ${run}${dryRun ? " (dry run)" : ""} ${outcome}${reason === undefined ? "" : `: ${reason}`}; ` +
    `${marked} blobs in use, ${eligible} eligible, ${summary.condemned} condemned, ${deleted} deleted (${deletedBytes} bytes), ` +
    `${summary.deletedTags} tags, ${summary.deletedManifests} manifests, ${summary.uploads} uploads; ` +
    `${allRequests(requests)} requests, ${seconds.toFixed(1)} s, $${dollars.toFixed(4)}`
  );
}

/** Keeps a summary. */
export async function writeSummary(driver: StorageDriver, summary: Summary): Promise<void> {
  await driver.put(summaryOf(summary.run), Buffer.from(JSON.stringify(summary)));
}

/** What is kept of a run; undefined where it is not at its end, or forgotten. */
export async function readSummary(driver: StorageDriver, run: string): Promise<Summary | undefined> {
  const bytes = await driver.read(summaryOf(run), 1024 * 1024);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as Summary);
}

function summaryOf(run: string): string {
  return `${layout.gcRun(run)}summary`;
}
