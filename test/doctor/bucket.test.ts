/** A bucket that no stack made: what is missing is found, and what is advised mends it. */
import {
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutPublicAccessBlockCommand,
  type BucketLifecycleConfiguration,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { examineBucket } from "../../shared/doctor/bucket.ts";
import { s3Client, sharedCephRgw, type S3Access } from "../support/s3-servers.ts";

const before = { ...process.env };
let access: S3Access;
let bucket: string;
beforeAll(async () => {
  const server = await sharedCephRgw();
  [access, bucket] = [server, await server.freshBucket()];
  process.env["AWS_ACCESS_KEY_ID"] = access.accessKeyId;
  process.env["AWS_SECRET_ACCESS_KEY"] = access.secretAccessKey;
});
afterAll(() => {
  process.env = before;
});

const look = async (name = bucket) =>
  await examineBucket({ bucket: name, region: access.region, endpoint: access.endpoint });

describe("a bucket on Ceph RGW", () => {
  it("is told what it lacks, with the command for it, until it has it", async () => {
    const lacking = await look();
    expect(lacking.map(({ level }) => level)).toEqual(["fail", "fail", "fail", "fail"]);
    const [versioning, uploads, versions, access_] = lacking.map(({ advice = "" }) => advice);
    expect(versioning).toBe(
      `aws s3api put-bucket-versioning --bucket ${bucket} --versioning-configuration Status=Enabled`,
    );
    expect(uploads).toBe(versions);
    const client = s3Client(access);
    await client.send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } }),
    );
    expect((await look()).map(({ level }) => level)).toEqual(["pass", "fail", "fail", "fail"]);
    const rules = JSON.parse(/'(.*)'/.exec(uploads ?? "")?.[1] ?? "") as BucketLifecycleConfiguration;
    await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration: rules }));
    expect((await look()).map(({ level }) => level)).toEqual(["pass", "pass", "pass", "fail"]);
    const flags = /--public-access-block-configuration (.*)$/.exec(access_ ?? "")?.[1] ?? "";
    const block: Record<string, boolean> = Object.fromEntries(
      flags.split(",").map((flag) => [flag.replace(/=.*/, ""), flag.endsWith("=true")]),
    );
    await client.send(new PutPublicAccessBlockCommand({ Bucket: bucket, PublicAccessBlockConfiguration: block }));
    expect((await look()).map(({ level }) => level)).toEqual(["pass", "pass", "pass", "pass"]);
    client.destroy();
  });

  it("that cannot be asked is no bucket that lacks something", async () => {
    const seen = await look("no-such-bucket");
    expect(new Set(seen.map(({ level }) => level))).toEqual(new Set(["note"]));
    expect(seen[0]?.text).toMatch(/NoSuchBucket/);
  });
});
