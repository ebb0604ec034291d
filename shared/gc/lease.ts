import { randomUUID } from "node:crypto";
import * as z from "zod";
import { layout } from "../registry/layout.ts";
import { PreconditionFailedError, type StorageDriver } from "../storage/driver.ts";
import { jsonOf } from "../storage/json.ts";

const LEASE_BYTES = 1024 * 1024;
/** Times further ahead than that were written while a clock was wrong. Nobody takes a lease for so long. */
const AHEAD_MS = 60 * 60 * 1000;

const LAST_OUTCOMES = ["done", "partly", "failed"] as const;

const leaseBody = z.object({
  holder: z.string(),
  until: z.number(),
  run: z.string().optional(),
  last: z
    .object({ begun: z.number(), ended: z.number(), outcome: z.enum(LAST_OUTCOMES), options: z.string() })
    .optional()
    .catch(undefined),
  cuts: z.array(z.string()).catch([]),
});

/** The last run that is at its end, be it that it could not begin. Times by the store's clock, in milliseconds. */
export interface LastRun {
  readonly begun: number;
  readonly ended: number;
  /** "partly": it is at its end, but for things that the store does not delete, or let copy, and will not soon. */
  readonly outcome: (typeof LAST_OUTCOMES)[number];
  /** Tells with which options it was made. */
  readonly options: string;
}

/** What a lease says besides who has it. */
export interface LeaseContent {
  /** The run that is not at its end. */
  readonly run?: string | undefined;
  readonly last?: LastRun | undefined;
  /** Where the listing of repositories may be cut; see `Marking.cuts`. */
  readonly cuts: readonly string[];
}

/**
 * Who collects now. A matter of economy: two collectors at once do no harm, they only do the work twice. It is also where
 * the next step finds its run.
 */
export class Lease {
  readonly #driver: StorageDriver;
  readonly #holder = randomUUID();
  #etag: string | undefined;
  #asOf = new Date(0);
  #until = 0;
  #lastBefore: LastRun | undefined;
  content: LeaseContent = { cuts: [] };

  constructor(driver: StorageDriver) {
    this.#driver = driver;
  }

  /** When it was looked at. */
  get asOf(): Date {
    return this.#asOf;
  }

  /** When it ends, by the store's clock. */
  get until(): Date {
    return new Date(this.#until);
  }

  /** Reads it; gives until when another has it, undefined where nobody has. */
  async look(): Promise<Date | undefined> {
    const { asOf, object } = await this.#driver.look(layout.gcLease, LEASE_BYTES);
    this.#asOf = asOf;
    this.#etag = object?.etag;
    const body = leaseBody.safeParse(object === undefined ? undefined : jsonOf(object.bytes));
    if (!body.success) return undefined;
    const { run, last, cuts, until, holder } = body.data;
    const isPossible = (time: number): boolean => time <= asOf.getTime() + AHEAD_MS;
    this.content = { run, last: last !== undefined && isPossible(last.begun) ? last : undefined, cuts };
    const isTaken = until > asOf.getTime() && isPossible(until) && holder !== this.#holder;
    return isTaken ? new Date(until) : undefined;
  }

  /**
   * Takes it for a while, as it was when it was looked at; false where another was faster. `unlessToldOtherwise`: what it says
   * of the last run where its holder is killed.
   */
  async take(ms: number, unlessToldOtherwise: LastRun): Promise<boolean> {
    this.#lastBefore = this.content.last;
    this.content = { ...this.content, last: unlessToldOtherwise };
    return await this.#write(ms);
  }

  /** What was said of the last run when it was taken. */
  get lastBefore(): LastRun | undefined {
    return this.#lastBefore;
  }

  /** Makes it last longer where it soon ends; false where another has it now. */
  async keep(ms: number, elapsedMs: number): Promise<boolean> {
    if (this.#until - this.#asOf.getTime() - elapsedMs > ms / 2) return true;
    return await this.#write(ms + elapsedMs);
  }

  /** Gives it back, with what the next one is to know. */
  async release(content: LeaseContent): Promise<void> {
    this.content = content;
    await this.#write(-this.#asOf.getTime()); // free by any clock
  }

  /** `ms` counts from when it was taken. */
  async #write(ms: number): Promise<boolean> {
    this.#until = this.#asOf.getTime() + ms;
    const body = { holder: this.#holder, until: this.#until, ...this.content };
    try {
      const condition = this.#etag === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: this.#etag };
      const { etag } = await this.#driver.put(layout.gcLease, Buffer.from(JSON.stringify(body)), condition);
      this.#etag = etag;
      return true;
    } catch (error) {
      if (error instanceof PreconditionFailedError) return false;
      throw error;
    }
  }
}
