/** Storages as several registries are given them at once, and a look into them past all of these. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { DeleteObjectCommand, GetObjectCommand, paginateListObjectsV2, PutObjectCommand } from "@aws-sdk/client-s3";
import type { LadingOptions } from "./lading.ts";
import { s3Client, sharedVersitygw } from "./s3-servers.ts";
import { scratchFolder } from "./scratch.ts";

export interface Storage {
  /** Where it is, for `startLading` and `startPeer`. */
  readonly location: StorageLocation;
  /** All keys, relative to the root, in order. */
  keys(prefix?: string): Promise<string[]>;
  /** Throws where there is no such key. */
  read(key: string): Promise<Buffer>;
  write(key: string, bytes: string | Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  /** Frees what it holds; a folder is removed. */
  close(): Promise<void>;
}

/** A folder, or a bucket with or without a root in it; and how blobs come out of it. */
export type StorageLocation = Pick<LadingOptions, "root" | "bucket" | "streams">;

export interface StorageKind {
  readonly name: string;
  readonly on: "folder" | "bucket";
  /** A new one, empty. */
  readonly make: () => Promise<Storage>;
}

export const FOLDER: StorageKind = { name: "folder", on: "folder", make: folderStorage };
export const BUCKET: StorageKind = { name: "bucket", on: "bucket", make: async () => await bucketStorage() };

export const STORAGES: readonly StorageKind[] = [
  FOLDER,
  BUCKET,
  {
    name: "bucket with rootdirectory, streamed",
    on: "bucket",
    make: async () => await bucketStorage({ root: "/images/of-all", streams: true }),
  },
];

async function folderStorage(): Promise<Storage> {
  const root = await scratchFolder("storage");
  return {
    location: { root },
    keys: async (prefix = "") => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
      return files
        .map((file) => path.relative(root, file))
        .filter((key) => key.startsWith(prefix))
        .sort();
    },
    read: async (key) => await readFile(path.join(root, key)),
    write: async (key, bytes) => {
      await mkdir(path.dirname(path.join(root, key)), { recursive: true });
      await writeFile(path.join(root, key), bytes);
    },
    remove: async (key) => await rm(path.join(root, key)),
    close: async () => await rm(root, { recursive: true, force: true }),
  };
}

/** In a bucket of its own on the versitygw of this process. */
async function bucketStorage(how: Pick<StorageLocation, "root" | "streams"> = {}): Promise<Storage> {
  const access = await sharedVersitygw();
  const Bucket = await access.freshBucket();
  const client = s3Client(access);
  const before = how.root === undefined ? "" : `${how.root.slice(1)}/`;
  return {
    location: { bucket: { access, name: Bucket }, ...how },
    keys: async (prefix = "") => {
      const keys: string[] = [];
      for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket, Prefix: before + prefix })) {
        for (const { Key = "" } of Contents) keys.push(Key.slice(before.length));
      }
      return keys.sort();
    },
    read: async (key) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: before + key }));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
    write: async (key, bytes) => {
      await client.send(new PutObjectCommand({ Bucket, Key: before + key, Body: bytes }));
    },
    remove: async (key) => {
      await client.send(new DeleteObjectCommand({ Bucket, Key: before + key }));
    },
    close: async () => client.destroy(),
  };
}
