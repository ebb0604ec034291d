/** The buckets: one for the registry, which may be there already, and one for uploads in flight. */
import { Duration, RemovalPolicy, Validations } from "aws-cdk-lib";
import { Key, type IKey } from "aws-cdk-lib/aws-kms";
import { BlockPublicAccess, Bucket, BucketEncryption, type BucketProps, type IBucket } from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

/** Days after which what is left of an upload is removed. Longer than any upload takes, and than its address holds. */
const UPLOAD_DAYS = 7;

/** Where things are kept. */
export interface Storage {
  readonly bucket: IBucket;
  /** Absent where it would be in another region than `bucket`: uploads are then kept beside the images. */
  readonly uploads?: IBucket;
  readonly key?: IKey;
}

/** Makes the buckets; of one that is there already nothing is changed. */
export function createStorage(scope: Construct, settings: Settings): Storage {
  const { kmsKeyArn, bucket: existing, undoDays } = settings;
  const key = kmsKeyArn === undefined ? undefined : Key.fromKeyArn(scope, "Key", kmsKeyArn);
  const common = privately(settings, key);
  const bucket =
    existing === undefined
      ? makeBucket(scope, "Storage", {
          ...common,
          versioned: true,
          lifecycleRules: [
            { abortIncompleteMultipartUploadAfter: Duration.days(UPLOAD_DAYS) },
            { noncurrentVersionExpiration: Duration.days(undoDays) },
            { expiredObjectDeleteMarker: true },
          ],
        })
      : Bucket.fromBucketAttributes(scope, "Storage", {
          bucketName: existing.name,
          ...(existing.region === undefined ? {} : { region: existing.region }),
        });
  const uploads =
    existing?.region === undefined
      ? makeBucket(scope, "Uploads", {
          ...common,
          lifecycleRules: [
            {
              expiration: Duration.days(UPLOAD_DAYS),
              abortIncompleteMultipartUploadAfter: Duration.days(UPLOAD_DAYS),
            },
          ],
        })
      : undefined;
  return { bucket, ...(uploads === undefined ? {} : { uploads }), ...(key === undefined ? {} : { key }) };
}

/** A bucket of the stack's own. */
export function makeBucket(scope: Construct, id: string, props: BucketProps): IBucket {
  const bucket = new Bucket(scope, id, props);
  Validations.of(bucket).acknowledge({
    id: "AwsSolutions-S1",
    reason: "The functions log each request; a log of the bucket's would be a second one, kept in one more bucket.",
  });
  // What CDK's own types say of an optional property, `exactOptionalPropertyTypes` does not take.
  return bucket as IBucket;
}

/** What every bucket has that the stack makes. */
export function privately({ removal }: Settings, key?: IKey): BucketProps {
  return {
    ...(key === undefined
      ? { encryption: BucketEncryption.S3_MANAGED }
      : { encryption: BucketEncryption.KMS, encryptionKey: key, bucketKeyEnabled: true }),
    blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    ...(removal === "retain"
      ? { removalPolicy: RemovalPolicy.RETAIN }
      : { removalPolicy: RemovalPolicy.DESTROY, autoDeleteObjects: true }),
  };
}
