/** What answers of a store say. */
import type { DeleteObjectsCommandOutput, GetObjectCommandOutput } from "@aws-sdk/client-s3";
import type { ObjectInfo } from "../driver.ts";
import { answeredAt } from "./client.ts";

/** An answer about one object. */
export type Found = Pick<
  GetObjectCommandOutput,
  "ContentRange" | "ContentLength" | "ETag" | "LastModified" | "$metadata"
>;

/** What an answer says of the whole object, whichever range of it was asked for. */
export function infoOf(answer: Found): ObjectInfo {
  const size = Number(/\/(\d+)$/.exec(answer.ContentRange ?? "")?.[1] ?? answer.ContentLength ?? 0);
  const lastModified = answer.LastModified ?? new Date(0);
  return { size, etag: answer.ETag ?? "", lastModified, asOf: answeredAt(answer) };
}

/** The keys that DeleteObjects did not delete, and the store's own errors. */
export function failuresOf(
  { Errors = [] }: DeleteObjectsCommandOutput,
  root: string,
): { key: string; reason: Error }[] {
  return Errors.filter(({ Code }) => Code !== "NoSuchKey").map(({ Key = "", Code = "", Message }) => ({
    key: Key.slice(root.length),
    reason: Object.assign(new Error(Message), { name: Code }),
  }));
}
