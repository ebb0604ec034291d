/**
 * The marks of garbage collection: one object for each digest, or for each manifest of a repository, that says what a
 * collection thinks of it. docs/garbage-collection.md is the protocol; the names of its steps are the names here.
 */
import { randomUUID } from "node:crypto";
import * as z from "zod";
import {
  ObjectTooLargeError,
  PreconditionFailedError,
  type PutCondition,
  type StorageDriver,
} from "../storage/driver.ts";
import { jsonOf } from "../storage/json.ts";
import type { GcTimes } from "./gc-times.ts";

const STATES = ["condemned", "deleting", "swept", "cleared"] as const;

/** What a collection thinks: no mark means the same as `cleared`, but for how long it has been so. */
export type MarkState = (typeof STATES)[number];

const PERMIT_ID = /^[A-Za-z0-9-]{1,100}\/[A-Za-z0-9-]{1,100}$/;

const markBody = z.object({ state: z.enum(STATES), nonce: z.string(), permit: z.string().regex(PERMIT_ID).optional() });

/** How often clearing is begun anew, where others are always faster. */
const ROUNDS = 8;

/** Far more than a mark has. */
const MARK_BYTES = 4096;

const SIZES = Object.fromEntries(
  STATES.map((state) => [state, JSON.stringify({ state, nonce: randomUUID() }).length]),
) as Record<MarkState, number>;

/** A mark as it was read. */
export interface Mark {
  readonly state: MarkState;
  /** Of `deleting`: the id of the permit with which it is being done. */
  readonly permit: string | undefined;
  readonly etag: string;
  /** When it came to be in this state. */
  readonly since: Date;
}

/** A mark, or that there is none, and when that was so. */
export interface MarkLook {
  readonly asOf: Date;
  readonly mark?: Mark;
}

/** A mark as it was written. */
export interface WrittenMark {
  readonly etag: string;
  readonly asOf: Date;
}

/** Who clears: somebody who is told that something is there, or who writes it. */
export type Clearing = "promise" | "commit";

/**
 * What came of clearing. `asOf` is when the mark was read last: work that rests on it must end within T. `hadMark` says
 * that there was one, in whatever state: what was read of link and bytes at the same time may be from before a sweep.
 */
export type Cleared =
  | { readonly outcome: "clear"; readonly asOf: Date; readonly hadMark: boolean }
  /** It is being deleted, others are always faster, or, for a promise, it was deleted. Nobody may be told that it is there. */
  | { readonly outcome: "busy" | "swept" };

/** The marks of a store. */
export class Marks {
  readonly #driver: StorageDriver;
  readonly #times: GcTimes;

  constructor(driver: StorageDriver, times: GcTimes) {
    this.#driver = driver;
    this.#times = times;
  }

  /**
   * The state of a mark as a listing tells it, by its size: nonces are of one length, and names of states are not. Undefined
   * where the mark has to be read: it is `deleting`, and names its permit, or it cannot be understood.
   */
  static stateOfSize(bytes: number): Exclude<MarkState, "deleting"> | undefined {
    return (["condemned", "swept", "cleared"] as const).find((state) => bytes === SIZES[state]);
  }

  /** A mark that cannot be understood is one that is being deleted: nothing is promised, and it may be taken over in time. */
  async read(key: string): Promise<MarkLook> {
    const { asOf, object } = await this.#look(key);
    if (object === undefined) return { asOf };
    const body = markBody.safeParse(jsonOf(object.bytes));
    const { state, permit } = body.success ? body.data : { state: "deleting" as const, permit: undefined };
    return { asOf, mark: { state, permit, etag: object.etag, since: object.lastModified } };
  }

  /**
   * Writes a mark where none is, or over the one that was read: throws PreconditionFailedError where another was faster.
   * `deleting` has the id of its permit, which was opened before.
   */
  async write(
    key: string,
    state: MarkState,
    over: { readonly etag: string } | undefined,
    permit?: string,
  ): Promise<WrittenMark> {
    const condition: PutCondition = over === undefined ? { ifNoneMatch: "*" } : { ifMatch: over.etag };
    const body = { state, nonce: randomUUID(), ...(permit === undefined ? {} : { permit }) };
    return await this.#driver.put(key, Buffer.from(JSON.stringify(body)), condition);
  }

  /** Has it been in its state for longer than D? Then a mark that is `deleting` may be taken over. */
  isOverdue({ since }: Mark, asOf: Date): boolean {
    return asOf.getTime() - since.getTime() > this.#times.takeoverMs;
  }

  /** Says that somebody wants what is marked. `first` is the mark as it was read already, together with other things. */
  async clear(key: string, who: Clearing, first?: MarkLook): Promise<Cleared> {
    for (let round = 1; round <= ROUNDS; round++) {
      const { asOf, mark } = round === 1 && first !== undefined ? first : await this.read(key);
      const hadMark = mark !== undefined;
      if (!hadMark || mark.state === "cleared") return { outcome: "clear", asOf, hadMark };
      if (mark.state === "deleting" && !this.isOverdue(mark, asOf)) return { outcome: "busy" };
      if (mark.state === "swept" && who === "promise") return { outcome: "swept" };
      if (mark.permit !== undefined) await this.#driver.fenced.revoke(mark.permit);
      try {
        await this.write(key, "cleared", mark);
        return { outcome: "clear", asOf, hadMark };
      } catch (error) {
        if (!(error instanceof PreconditionFailedError)) throw error;
      }
    }
    return { outcome: "busy" };
  }

  async #look(key: string): ReturnType<StorageDriver["look"]> {
    try {
      return await this.#driver.look(key, MARK_BYTES);
    } catch (error) {
      if (!(error instanceof ObjectTooLargeError)) throw error;
      const info = await this.#driver.head(key);
      if (info === undefined) return await this.#driver.look(key, MARK_BYTES);
      return { asOf: info.asOf, object: { ...info, bytes: new Uint8Array() } };
    }
  }
}
