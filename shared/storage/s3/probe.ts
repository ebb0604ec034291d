/**
 * Asks a store what it keeps of what Amazon S3 promises, with one small object that is gone afterwards: six requests, or
 * seven. Any number of processes may ask at once. What no single client can see is not asked: whether conditions hold when
 * many come at one moment (docs/s3-stores.md).
 */
import { createHash, randomUUID } from "node:crypto";
import { S3ServiceException } from "@aws-sdk/client-s3";
import type { PutCondition } from "../driver.ts";
import { S3Bucket } from "./bucket.ts";
import { attemptsOf, codeOf, faultOf } from "./faults.ts";
import { despiteFolders } from "./folders.ts";
import { AMAZON_S3, type S3Settings, type StorePromises } from "./settings.ts";

/** Below this lies nothing but what is being asked with. */
export const PROBES = ".lading/probes/";

/** What a store says of itself. */
export interface StoreProbe {
  readonly promises: StorePromises;
  /** What is weaker than on Amazon S3, each the rest of a sentence that begins with "the store". */
  readonly weaker: readonly string[];
}

const BYTES = Buffer.from("What does this store promise?\n");
const OTHER_SHA256 = createHash("sha256").update("something else").digest("base64");
const OTHER_ETAG = `"${"0".repeat(32)}"`;
/** How stores say no: to the condition, to the sum, or since they know no such thing. */
const REFUSALS = new Set([400, 404, 409, 412, 501]);
/** How often it is asked anew where an answer was lost, so that a refusal may mean our own write. */
const TRIES = 3;

/** The answer to a request was lost, and what came of the next try says nothing. */
class LostAnswerError extends Error {
  override readonly name = "LostAnswerError";
}

/**
 * Asks. Credentials that may not write have nothing to lose: for them Amazon's promises are assumed. Throws what
 * S3Bucket throws where the store cannot be reached, or has no such bucket. Where there are two, it is asked in the one for
 * what does not stay.
 */
export async function probePromises(settings: S3Settings): Promise<StoreProbe> {
  const bucket = new S3Bucket({ ...settings, bucket: settings.temporaryBucket ?? settings.bucket });
  try {
    for (let tries = 1; ; tries++) {
      try {
        return await askWith(bucket, `${PROBES}${randomUUID()}`);
      } catch (error) {
        if (!(error instanceof LostAnswerError) || tries === TRIES) throw error;
      }
    }
  } finally {
    bucket.close();
  }
}

async function askWith(bucket: S3Bucket, key: string): Promise<StoreProbe> {
  const weaker: string[] = [];
  let etag: string;
  try {
    ({ etag } = await despiteFolders(async () => await bucket.put(key, BYTES)));
  } catch (error) {
    if (codeOf(error) !== "AccessDenied") throw faultOf("PutObject", key, error);
    const unknown = "may not be written to with these credentials: what it promises is taken to be what Amazon S3 does";
    return { promises: AMAZON_S3, weaker: [unknown] };
  }
  let promises: StorePromises;
  try {
    promises = await askConditions(bucket, key, etag);
    if (!promises.conditionalWrites) {
      weaker.push(
        "does not decide conditional writes (If-None-Match, If-Match): the object is looked at first, and where two clients " +
          "write to one upload session at one moment, one of them learns only at its end that its bytes are lost",
      );
    }
    if (await isWritten(bucket, key, undefined, OTHER_SHA256)) {
      weaker.push(
        "takes bytes that do not have the SHA-256 they are sent with: what is damaged on the way to it is found by whoever " +
          "pulls it",
      );
    }
  } finally {
    await bucket.delete(key).catch(() => weaker.push(`keeps ${key}, which could not be deleted`));
  }
  return { promises, weaker };
}

async function askConditions(bucket: S3Bucket, key: string, first: string): Promise<StorePromises> {
  const none: StorePromises = { ...AMAZON_S3, conditionalWrites: false };
  if (await isWritten(bucket, key, { ifNoneMatch: "*" })) return none;
  for (const etags of ["quoted", "bare"] as const) {
    const worded = (etag: string): string => (etags === "quoted" ? etag : etag.replaceAll('"', ""));
    if (!(await isWritten(bucket, key, { ifMatch: worded(first) }))) continue;
    const minds = !(await isWritten(bucket, key, { ifMatch: worded(OTHER_ETAG) }));
    return { conditionalWrites: minds, etags };
  }
  return none;
}

/** Whether the store writes the object so, or refuses. */
async function isWritten(bucket: S3Bucket, key: string, condition?: PutCondition, sha256?: string): Promise<boolean> {
  try {
    await bucket.put(key, BYTES, condition, sha256);
    return true;
  } catch (error) {
    const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
    if (!REFUSALS.has(status)) throw faultOf("PutObject", key, error);
    if (attemptsOf(error) > 1) throw new LostAnswerError(`S3 PutObject ${key}: an answer was lost`, { cause: error });
    return false;
  }
}
