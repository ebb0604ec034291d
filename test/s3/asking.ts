/** How the probes ask a server: short calls of the SDK, and what came of them in a few words. */
import { createHash } from "node:crypto";
import {
  type _Object,
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandInput,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
} from "@aws-sdk/client-s3";

/** An empty bucket, and somebody who asks about it. */
export interface Asked {
  readonly client: S3Client;
  readonly bucket: string;
}

/** A multipart upload that is not complete. */
export interface Begun {
  readonly Key: string;
  readonly UploadId: string;
  readonly parts: readonly { readonly PartNumber: number; readonly ETag: string }[];
}

export const PART = 5 * 1024 * 1024;

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("base64");
export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** `200`, or the status and the code of a failure. */
export async function outcome(
  work: Promise<{ readonly $metadata: { readonly httpStatusCode?: number } }>,
): Promise<string> {
  try {
    return String((await work).$metadata.httpStatusCode);
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error;
    const status = String(error.$metadata.httpStatusCode);
    // Of an answer without a body the SDK knows the status only.
    return /^(Unknown|UnknownError|\d+)$/.test(error.name) ? status : `${status} ${error.name}`;
  }
}

/** The outcome of what writes "new" to `k` if it succeeds; it says so where the object tells another story. */
export async function written(asked: Asked, work: Parameters<typeof outcome>[0]): Promise<string> {
  const answer = await outcome(work);
  const now = await content(asked, "k");
  const took = now === "new";
  return took === answer.startsWith("2") ? answer : `${answer}, though it ${took ? "wrote" : "did not write"}`;
}

/** Writes an object; gives its ETag. */
export async function put(asked: Asked, Key: string, Body: string | Uint8Array = "old"): Promise<string> {
  return (await putting(asked, { Key, Body })).ETag ?? "";
}

export async function putting({ client, bucket }: Asked, input: Omit<PutObjectCommandInput, "Bucket">) {
  return await client.send(new PutObjectCommand({ Bucket: bucket, Body: "new", ...input }));
}

export async function get({ client, bucket }: Asked, Key: string, input: Partial<GetObjectCommandInput> = {}) {
  return await client.send(new GetObjectCommand({ Bucket: bucket, Key, ...input }));
}

/** What an object holds, or undefined where there is none. */
export async function content(asked: Asked, key: string): Promise<string | undefined> {
  try {
    return await (await get(asked, key)).Body?.transformToString();
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined;
    throw error;
  }
}

export async function begin({ client, bucket }: Asked, Key: string): Promise<Begun> {
  const { UploadId = "" } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
  return { Key, UploadId, parts: [] };
}

/** An upload with these parts. */
export async function begun(asked: Asked, key: string, ...bodies: readonly (string | Uint8Array)[]): Promise<Begun> {
  const upload = await begin(asked, key);
  const parts: { PartNumber: number; ETag: string }[] = [];
  for (const Body of bodies) {
    const PartNumber = parts.length + 1;
    const { ETag = "" } = await part(asked, upload, { PartNumber, Body });
    parts.push({ PartNumber, ETag });
  }
  return { ...upload, parts };
}

export async function part(
  { client, bucket }: Asked,
  { Key, UploadId }: Begun,
  input: { PartNumber?: number; Body?: string | Uint8Array; ChecksumSHA256?: string } = {},
) {
  return await client.send(
    new UploadPartCommand({ Bucket: bucket, Key, UploadId, PartNumber: 1, Body: "new", ...input }),
  );
}

export async function complete(
  { client, bucket }: Asked,
  { Key, UploadId, parts }: Begun,
  input: Partial<CompleteMultipartUploadCommandInput> = {},
) {
  const MultipartUpload = { Parts: [...parts] };
  return await client.send(
    new CompleteMultipartUploadCommand({ Bucket: bucket, Key, UploadId, MultipartUpload, ...input }),
  );
}

export async function list(
  { client, bucket }: Asked,
  input: Omit<ListObjectsV2CommandInput, "Bucket"> = {},
): Promise<ListObjectsV2CommandOutput> {
  return await client.send(new ListObjectsV2Command({ Bucket: bucket, ...input }));
}

/** Keys, then common prefixes, in the order in which they came. */
export function names({ Contents = [], CommonPrefixes = [] }: ListObjectsV2CommandOutput): string {
  const keys = Contents.map(({ Key }: _Object) => Key);
  const prefixes = CommonPrefixes.map(({ Prefix }) => Prefix);
  return [...keys, ...prefixes].join(" ") || "nothing";
}

/**
 * Rounds of requests that compete, until in one of them not exactly one was told that it won. A server that looks first
 * and writes then loses every third round or so.
 */
export async function races(round: (number: number) => Promise<readonly string[]>): Promise<string> {
  for (const number of range(50)) {
    const won = (await round(number)).filter((answer) => answer.startsWith("2")).length;
    if (won !== 1) return won > 1 ? "no: several win" : "no: nobody wins";
  }
  return "yes";
}
