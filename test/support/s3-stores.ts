/** Buckets as stores for the suites. */
import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { AMAZON_S3, type S3Settings, type StorePromises } from "../../shared/storage/s3/settings.ts";
import { s3Client, sharedCephRgw, sharedVersitygw, type S3Access, type S3Server } from "./s3-servers.ts";
import type { StoreFactory } from "./stores.ts";

const MIB = 1024 * 1024;

/** How a driver reaches a bucket of a test server, with parts small enough for tests to have several. */
export function s3Settings(access: S3Access, bucket: string, more: Partial<S3Settings> = {}): S3Settings {
  const { endpoint, region, accessKeyId, secretAccessKey } = access;
  return {
    bucket,
    region,
    endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    root: "",
    partBytes: 5 * MIB,
    copy: { thresholdBytes: 8 * MIB, partBytes: 5 * MIB, concurrency: 4 },
    accelerate: false,
    dualStack: false,
    fips: false,
    verifyTls: true,
    presignSeconds: 60,
    ...more,
  };
}

/** What Ceph RGW keeps (docs/s3-stores.md). */
export const CEPH_RGW: StorePromises = { ...AMAZON_S3, etags: "bare" };

/** Stores in buckets of the versitygw of this process, below a root. */
export const versitygwStore = (root = ""): StoreFactory => s3Store(sharedVersitygw, { root });

/** Stores in two buckets each, of which the second has the keys that do not stay. */
export const versitygwPairStore = (isTemporary: (key: string) => boolean, root = ""): StoreFactory =>
  s3Store(sharedVersitygw, { root, isTemporary });

/** Stores in buckets of the Ceph RGW of this process, below a root. */
export const rgwStore = (root = ""): StoreFactory => s3Store(sharedCephRgw, { root, promises: CEPH_RGW });

/** A bucket of its own for each store, or two. */
export function s3Store(
  server: () => Promise<S3Server>,
  {
    root = "",
    promises = AMAZON_S3,
    isTemporary,
  }: { root?: string; promises?: StorePromises; isTemporary?: (key: string) => boolean } = {},
): StoreFactory {
  return async () => {
    const access = await server();
    const bucket = await access.freshBucket();
    const buckets = isTemporary === undefined ? [bucket] : [bucket, await access.freshBucket()];
    const [, temporaryBucket] = buckets;
    const settings = s3Settings(access, bucket, {
      root,
      ...(temporaryBucket === undefined ? {} : { temporaryBucket }),
    });
    const drivers: S3Driver[] = [];
    const driver = (): S3Driver => {
      const made = new S3Driver(
        settings,
        new MemoryBudget(64 * MIB, 5000),
        promises,
        undefined,
        undefined,
        isTemporary,
      );
      drivers.push(made);
      return made;
    };
    const client = s3Client(access);
    const begun = async (): Promise<{ Bucket: string; Key: string; UploadId: string }[]> => {
      const lists = buckets.map(async (Bucket) => {
        const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
        return Uploads.map(({ Key = "", UploadId = "" }) => ({ Bucket, Key, UploadId }));
      });
      return (await Promise.all(lists)).flat();
    };
    return {
      driver: driver(),
      peer: driver,
      residue: async () => (await begun()).map(({ Key }) => `upload of ${Key}`),
      folder: undefined,
      close: async () => {
        for (const upload of await begun()) await client.send(new AbortMultipartUploadCommand(upload));
        for (const each of drivers) each.close();
        client.destroy();
      },
    };
  };
}
