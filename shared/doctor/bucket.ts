/** Whether a bucket that no stack of ours made has what undoing, tidying up and privacy need. */
import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetPublicAccessBlockCommand,
  S3Client,
  type LifecycleRule,
} from "@aws-sdk/client-s3";
import { fail, note, pass } from "./findings.ts";
import type { Finding } from "./visit.ts";

/** Which bucket. Credentials are those that the AWS command line would use. */
export interface BucketOptions {
  readonly bucket: string;
  /** Absent: that of the environment. */
  readonly region?: string;
  /** Of a store other than Amazon's. */
  readonly endpoint?: string;
}

/** Asks for its versioning, lifecycle and public access block; each finding has the command that sets what is missing. */
export async function examineBucket({ bucket, region, endpoint }: BucketOptions): Promise<readonly Finding[]> {
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  });
  try {
    return [
      await told("versioning", async () => await versioning(client, bucket)),
      ...(await lifecycle(client, bucket)),
      await told("the public access block", async () => await publicAccess(client, bucket)),
    ];
  } finally {
    client.destroy();
  }
}

async function versioning(client: S3Client, Bucket: string): Promise<Finding> {
  const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }));
  return Status === "Enabled"
    ? pass("versioning is on: what is deleted can be brought back")
    : fail(
        "versioning is off: what a collection deletes cannot be brought back",
        `aws s3api put-bucket-versioning --bucket ${Bucket} --versioning-configuration Status=Enabled`,
      );
}

const RULES = {
  Rules: [
    {
      ID: "lading",
      Status: "Enabled",
      Filter: { Prefix: "" },
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
      NoncurrentVersionExpiration: { NoncurrentDays: 14 },
      Expiration: { ExpiredObjectDeleteMarker: true },
    },
  ],
};

async function lifecycle(client: S3Client, Bucket: string): Promise<Finding[]> {
  let rules: readonly LifecycleRule[];
  try {
    rules = (await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket }))).Rules ?? [];
  } catch (error) {
    if ((error as Error).name !== "NoSuchLifecycleConfiguration") return [unknown("the lifecycle rules", error)];
    rules = [];
  }
  const enabled = rules.filter(({ Status }) => Status === "Enabled");
  // The command replaces all rules there are.
  const command =
    `aws s3api put-bucket-lifecycle-configuration --bucket ${Bucket} --lifecycle-configuration '${JSON.stringify(RULES)}'` +
    (rules.length === 0 ? "" : " (this replaces the rules that are there: add them)");
  return [
    enabled.some((rule) => rule.AbortIncompleteMultipartUpload !== undefined)
      ? pass("incomplete multipart uploads end")
      : fail(
          "no lifecycle rule ends incomplete multipart uploads: they are paid for, and no listing shows them",
          command,
        ),
    enabled.some((rule) => rule.NoncurrentVersionExpiration !== undefined)
      ? pass("versions that were replaced or deleted end")
      : fail("no lifecycle rule ends noncurrent versions: what was deleted is paid for without end", command),
  ];
}

async function publicAccess(client: S3Client, Bucket: string): Promise<Finding> {
  const { PublicAccessBlockConfiguration: block } = await client
    .send(new GetPublicAccessBlockCommand({ Bucket }))
    .catch((error: unknown) => {
      if ((error as Error).name === "NoSuchPublicAccessBlockConfiguration")
        return { PublicAccessBlockConfiguration: undefined };
      throw error;
    });
  const on = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"] as const;
  const off = on.filter((name) => block?.[name] !== true);
  return off.length === 0
    ? pass("public access is blocked")
    : fail(
        `public access is not blocked (${off.join(", ")})`,
        `aws s3api put-public-access-block --bucket ${Bucket} --public-access-block-configuration ${on.map((name) => `${name}=true`).join(",")}`,
      );
}

async function told(what: string, look: () => Promise<Finding>): Promise<Finding> {
  return await look().catch((error: unknown) => unknown(what, error));
}

/** Some stores know no such thing, and some credentials may not ask. */
function unknown(what: string, error: unknown): Finding {
  const { name, message } = error as Error;
  return note(
    `${what} cannot be seen: ${name} ${message}`,
    "ask as somebody who may, or see it in the store's console",
  );
}
