/**
 * One bucket through the SDK: a method for each S3 operation that is used, with keys below the root. What every write
 * carries (checksum, encryption, ACL, class) is said here once, and so is what an error means.
 *
 * Throttling and passing faults are retried by the SDK with growing pauses, within a deadline for the whole call; what is
 * left of them then is an OverloadedError. Any other error is thrown as what it is: only the store's own word for "no such
 * key" is absence.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
 */
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  NoSuchKey,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
  UploadPartCopyCommand,
  type GetObjectCommandOutput,
  type ListObjectsV2CommandOutput,
  type ObjectCannedACL,
  type StorageClass,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { ObjectInfo, PutCondition, Written } from "../driver.ts";
import { failuresOf, infoOf, type Found } from "./answers.ts";
import { answeredAt, createClient, type S3Call } from "./client.ts";
import { attemptsOf, codeOf, conflictOf, ExpiredError, faultOf } from "./faults.ts";
import { despiteFolders } from "./folders.ts";
import { PATIENCE, type Patience } from "./retries.ts";
import { SentOnceError, signFor } from "./sent-once.ts";
import type { S3Settings } from "./settings.ts";
import { ASYNC_HASH_BYTES, sha256Of } from "./sums.ts";

const OCTETS = "application/octet-stream";

/** What tidies up after a failure gets no longer, since the failure is still to be told. */
const TIDY_MS = 2_000;

/** A multipart upload that was begun. */
export interface Upload {
  readonly key: string;
  readonly id: string;
  /** Its parts come with their SHA-256. Unknown of one that was listed. */
  readonly withSums?: boolean;
}

/** A part that is stored. */
export interface StoredPart {
  readonly number: number;
  readonly etag: string;
  readonly sha256: string | undefined;
}

/** Where a copy comes from: another object, perhaps of another bucket. */
export interface Source {
  readonly bucket: S3Bucket;
  readonly key: string;
}

/** A key as the store knows it. */
export interface ObjectName {
  readonly Bucket: string;
  readonly Key: string;
}

/** The first and the last byte of a range. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** A bucket, by S3's operations. Throws OverloadedError, StorageFullError, or an error that names operation and key. */
export class S3Bucket {
  readonly settings: S3Settings;
  readonly #client: ReturnType<typeof createClient>;
  readonly #patience: Patience;
  readonly #written: {
    readonly ContentType: string;
    readonly ACL?: ObjectCannedACL;
    readonly StorageClass?: StorageClass;
    readonly ServerSideEncryption?: "AES256" | "aws:kms";
    readonly SSEKMSKeyId?: string;
  };

  /** `onCall` is told of every request, without bodies and credentials; a given `client` is told already. */
  constructor(settings: S3Settings, onCall?: (call: S3Call) => void, client = createClient(settings, onCall)) {
    this.settings = settings;
    const { encryption, acl, storageClass } = settings;
    this.#client = client;
    this.#patience = { ...PATIENCE, ...settings.patience };
    this.#written = {
      ContentType: OCTETS,
      ...(acl === undefined ? {} : { ACL: acl as ObjectCannedACL }),
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
      ...(encryption === undefined
        ? {}
        : {
            ServerSideEncryption: encryption.keyId === undefined ? "AES256" : "aws:kms",
            ...(encryption.keyId === undefined ? {} : { SSEKMSKeyId: encryption.keyId }),
          }),
    };
  }

  /** Another bucket, reached in the same way. Objects there have no storage class: those are for what stays. */
  beside(bucket: string): S3Bucket {
    return new S3Bucket({ ...this.settings, bucket, storageClass: undefined }, undefined, this.#client);
  }

  /** An object or a range of it; its stream must be read or destroyed. Undefined where there is none. */
  async get(key: string, range?: Range): Promise<GetObjectCommandOutput | undefined> {
    return (await this.look(key, range)).object;
  }

  /** The same, and when it was so. */
  async look(key: string, range?: Range): Promise<{ asOf: Date; object?: GetObjectCommandOutput }> {
    const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end}`;
    // The deadline is that of the answer's beginning: how long its body takes is for the client to say.
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), this.#patience.callMs);
    try {
      const command = new GetObjectCommand({ ...this.#at(key), Range });
      const object = await this.#client.send(command, { abortSignal: limit.signal });
      return { asOf: answeredAt(object), object };
    } catch (error) {
      if (error instanceof NoSuchKey) return { asOf: answeredAt(error) };
      throw faultOf("GetObject", key, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Size and age of an object; undefined where there is none. HEAD answers 404 for a missing bucket too, with no word in
   * which they differ: so it is a GET of the first byte, and HEAD only where that byte is missing.
   */
  async head(key: string): Promise<ObjectInfo | undefined> {
    let found: Found | undefined;
    try {
      const object = await this.get(key, { start: 0, end: 0 });
      (object?.Body as Readable | undefined)?.resume();
      found = object;
    } catch (error) {
      if (codeOf((error as Error).cause) !== "InvalidRange") throw error;
      found = await this.#headEmpty(key);
    }
    if (found === undefined) return undefined;
    return infoOf(found);
  }

  /** An object that was there a moment ago, and so was the bucket: here 404 can only mean that the object is gone. */
  async #headEmpty(key: string): Promise<Found | undefined> {
    try {
      return await this.#client.send(new HeadObjectCommand(this.#at(key)), this.#call());
    } catch (error) {
      if (codeOf(error) === "NotFound") return undefined;
      throw faultOf("HeadObject", key, error);
    }
  }

  /**
   * Throws S3's own error where the condition does not hold: the caller knows what it means. `sha256`, in base64, is what
   * the store is told of the bytes; unless given, what is true.
   */
  async put(
    key: string,
    bytes: Uint8Array,
    condition?: PutCondition,
    sha256?: string,
  ): Promise<Written & { attempts: number }> {
    const sum = sha256 ?? (await sha256Of(bytes));
    const command = new PutObjectCommand({
      ...this.#at(key),
      ...this.#written,
      Body: bytes,
      ContentLength: bytes.byteLength,
      ChecksumSHA256: sum,
      ...(condition === undefined
        ? {}
        : "ifMatch" in condition
          ? { IfMatch: condition.ifMatch }
          : { IfNoneMatch: condition.ifNoneMatch }),
    });
    if (condition !== undefined) {
      // Before the SDK's retries: those would draw on what it keeps for a store that is in trouble.
      command.middlewareStack.add(
        (next) => async (args) => {
          return await next(args).catch((error: unknown) => {
            throw conflictOf(error);
          });
        },
        { step: "deserialize", priority: "high", name: "conflicts" },
      );
    }
    const limit = bytes.byteLength > ASYNC_HASH_BYTES ? this.#bulk() : this.#call();
    const answer = await this.#client.send(command, limit);
    return { etag: answer.ETag ?? "", asOf: answeredAt(answer), attempts: answer.$metadata.attempts ?? 1 };
  }

  /** Removes an object, which may be gone: some stores say so where another deletes it at the same moment. */
  async delete(key: string): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand(this.#at(key)), this.#call());
    } catch (error) {
      if (codeOf(error) !== "NoSuchKey") throw faultOf("DeleteObject", key, error);
    }
  }

  /** At most 1,000 keys. Gives those that could not be deleted, with the reason. */
  async deleteMany(keys: readonly string[]): Promise<{ key: string; reason: Error }[]> {
    const { root, bucket } = this.settings;
    const answer = await this.#run("DeleteObjects", keys[0] ?? "", async () => {
      const Delete = { Quiet: true, Objects: keys.map((key) => ({ Key: `${root}${key}` })) };
      return await this.#client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete }), this.#call());
    });
    return failuresOf(answer, root);
  }

  /**
   * The same in one request that is good for so long from `signedAt` on, by the store's clock, and is sent once. Throws
   * ExpiredError where the store refuses it as too late; what else it throws says nothing of what was deleted.
   */
  async deleteManySigned(
    keys: readonly string[],
    signedAt: Date,
    seconds: number,
  ): Promise<{ key: string; reason: Error }[]> {
    const { root, bucket } = this.settings;
    const Delete = { Quiet: true, Objects: keys.map((key) => ({ Key: `${root}${key}` })) };
    const command = new DeleteObjectsCommand({ Bucket: bucket, Delete });
    signFor(this.#client, command, signedAt, seconds);
    try {
      const answer = await this.#client.send(command, this.#call());
      return failuresOf(answer, root);
    } catch (error) {
      const cause = error instanceof SentOnceError ? error.cause : error;
      if (cause instanceof S3ServiceException && cause.$metadata.httpStatusCode === 403) {
        // Their clock tells whole seconds here, and some tell one that was a moment ago.
        const end = signedAt.getTime() + seconds * 1000 - 2000;
        if (answeredAt(cause).getTime() >= end) throw new ExpiredError(cause);
      }
      throw faultOf("DeleteObjects", keys[0] ?? "", cause);
    }
  }

  /** One page; keys and prefixes in it still begin with the root. */
  async list(
    prefix: string,
    options: { startAfter?: string; delimiter?: string; limit: number },
  ): Promise<ListObjectsV2CommandOutput> {
    const { root, bucket } = this.settings;
    return await this.#run("ListObjectsV2", prefix, async () => {
      const command = new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: `${root}${prefix}`,
        Delimiter: options.delimiter,
        StartAfter: options.startAfter === undefined ? undefined : `${root}${options.startAfter}`,
        MaxKeys: options.limit,
      });
      return await this.#client.send(command, this.#call());
    });
  }

  /**
   * Begins an upload. Its parts come `withSums`, which the store keeps; or not, where they are copied: what a store says of
   * a copied part is not always what it takes in the list of parts.
   */
  async createUpload(key: string, { withSums }: { withSums: boolean }): Promise<Upload> {
    const { UploadId } = await this.#run("CreateMultipartUpload", key, async () => {
      const command = new CreateMultipartUploadCommand({
        ...this.#at(key),
        ...this.#written,
        ...(withSums ? { ChecksumAlgorithm: "SHA256" } : {}),
      });
      return await this.#client.send(command, this.#call());
    });
    if (UploadId === undefined) throw new Error(`S3 CreateMultipartUpload ${key}: the store gave no upload id`);
    return { key, id: UploadId, withSums };
  }

  /** The store verifies the bytes by their SHA-256: the part's, or that of the signed request. */
  async putPart({ key, id, withSums }: Upload, number: number, bytes: Uint8Array): Promise<StoredPart> {
    const sum = withSums === true ? await sha256Of(bytes) : undefined;
    const command = new UploadPartCommand({
      ...this.#at(key),
      UploadId: id,
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.byteLength,
      ChecksumSHA256: sum,
    });
    const { ETag } = await this.#run("UploadPart", key, async () => {
      return await this.#client.send(command, this.#bulk());
    });
    return { number, etag: ETag ?? "", sha256: sum };
  }

  /** A part that the store copies from another object, for an upload without sums. Where that is gone, NoSuchKey is the error's cause. */
  async copyPart({ key, id }: Upload, number: number, source: Source, range?: Range): Promise<StoredPart> {
    const { CopyPartResult } = await this.#run("UploadPartCopy", key, async () => {
      const command = new UploadPartCopyCommand({
        ...this.#at(key),
        UploadId: id,
        PartNumber: number,
        CopySource: sourceOf(source),
        CopySourceRange: range === undefined ? undefined : `bytes=${range.start}-${range.end}`,
      });
      return await this.#client.send(command, this.#bulk());
    });
    return { number, etag: CopyPartResult?.ETag ?? "", sha256: undefined };
  }

  /** Makes the parts an object. Done already is done: a retry after a lost answer finds the upload gone. */
  async completeUpload({ key, id }: Upload, parts: readonly StoredPart[]): Promise<void> {
    const Parts = parts.map(({ number, etag, sha256 }) => ({
      PartNumber: number,
      ETag: etag,
      ...(sha256 === undefined ? {} : { ChecksumSHA256: sha256 }),
    }));
    try {
      const command = new CompleteMultipartUploadCommand({
        ...this.#at(key),
        UploadId: id,
        MultipartUpload: { Parts },
      });
      await this.#client.send(command, this.#bulk());
    } catch (error) {
      if (codeOf(error) === "NoSuchUpload" && attemptsOf(error) > 1) return;
      throw faultOf("CompleteMultipartUpload", key, error);
    }
  }

  /** Removes an upload that is not completed; it may be gone. */
  async abortUpload({ key, id }: Pick<Upload, "key" | "id">, limits = this.#call()): Promise<void> {
    try {
      await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: id }), limits);
    } catch (error) {
      if (codeOf(error) !== "NoSuchUpload") throw faultOf("AbortMultipartUpload", key, error);
    }
  }

  /** Tries to remove an upload that failed, for a moment: what stays is removed with what processes leave behind. */
  async giveUp(upload: Upload): Promise<void> {
    await this.abortUpload(upload, deadline(Math.min(TIDY_MS, this.#patience.callMs))).catch(() => undefined);
  }

  /**
   * Uploads below a prefix that were begun before a time and not completed; they may be aborted as they come. A page goes on
   * after the last one's key, whatever other uploads that key has: not every store knows the mark again that it gave for one.
   */
  async *uploadsBefore(time: Date, prefix: string): AsyncGenerator<Pick<Upload, "key" | "id">> {
    const { root, bucket } = this.settings;
    const below = `${root}${prefix}`;
    let after: string | undefined;
    do {
      const KeyMarker = after;
      const page = await this.#run("ListMultipartUploads", prefix, async () => {
        const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: below, KeyMarker });
        return await this.#client.send(command, this.#call());
      });
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key?.startsWith(below) === true && UploadId !== undefined && Initiated !== undefined && Initiated < time)
          yield { key: Key.slice(root.length), id: UploadId };
      }
      after = page.IsTruncated === true ? page.NextKeyMarker : undefined;
    } while (after !== undefined);
  }

  /** A copy that the store makes in one step: at most 5 GB. Where the source is gone, NoSuchKey is the error's cause. */
  async copy(source: Source, key: string): Promise<void> {
    await this.#run("CopyObject", key, async () => {
      const command = new CopyObjectCommand({
        ...this.#at(key),
        ...this.#written,
        CopySource: sourceOf(source),
        MetadataDirective: "REPLACE",
      });
      await despiteFolders(async () => await this.#client.send(command, this.#bulk()));
    });
  }

  /** A URL for this method only, good for a while. No request. */
  async presign(key: string, method: "GET" | "HEAD"): Promise<string> {
    const input = { ...this.#at(key), ResponseContentType: OCTETS };
    const command = method === "GET" ? new GetObjectCommand(input) : new HeadObjectCommand(input);
    return await getSignedUrl(this.#client, command, { expiresIn: this.settings.presignSeconds });
  }

  /** Frees the connections. */
  close(): void {
    this.#client.destroy();
  }

  #call(): { abortSignal: AbortSignal } {
    return deadline(this.#patience.callMs);
  }

  #bulk(): { abortSignal: AbortSignal } {
    return deadline(this.#patience.bulkMs);
  }

  #at(key: string): ObjectName {
    return { Bucket: this.settings.bucket, Key: `${this.settings.root}${key}` };
  }

  /** Any other operation on a key: `work` is given the client, names as the store has them, and the limits of a call. */
  async call<T>(
    operation: string,
    key: string,
    work: (client: S3Client, at: ObjectName, limits: { readonly abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    return await this.#run(operation, key, async () => await work(this.#client, this.#at(key), this.#call()));
  }

  async #run<T>(operation: string, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw faultOf(operation, key, error);
    }
  }
}

/** As a copy's request names it. */
function sourceOf({ bucket: { settings }, key }: Source): string {
  return `${settings.bucket}/${settings.root}${key}`.split("/").map(encodeURIComponent).join("/");
}

function deadline(ms: number): { abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(ms) };
}
