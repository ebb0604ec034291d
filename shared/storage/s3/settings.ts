import type { Patience } from "./retries.ts";

/** Which bucket, how it is reached, and how objects are written to it. */
export interface S3Settings {
  readonly bucket: string;
  /** Another bucket of the same store and region, for what does not stay. Absent: the same bucket. */
  readonly temporaryBucket?: string;
  readonly region: string;
  /** Address of an S3-compatible store, with its scheme. Absent: Amazon S3 in the region. */
  readonly endpoint?: string;
  readonly forcePathStyle: boolean;
  /** Absent: the SDK's own chain (environment, profile, role of the function or machine). */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** Empty, or the path below which all keys lie, ending in a slash. */
  readonly root: string;
  /** Server-side encryption of everything that is written; with `keyId` by that KMS key. */
  readonly encryption?: { readonly keyId?: string };
  readonly storageClass?: string | undefined;
  /** A canned ACL for everything that is written. Absent: the bucket's own rules. */
  readonly acl?: string;
  /** Size of an upload's parts in bytes: at least 5 MiB. A larger one is taken where 10,000 parts would not do. */
  readonly partBytes: number;
  readonly copy: {
    /** Objects above this are copied in parts. */
    readonly thresholdBytes: number;
    readonly partBytes: number;
    /** Parts that are copied at a time. */
    readonly concurrency: number;
  };
  readonly accelerate: boolean;
  readonly dualStack: boolean;
  readonly fips: boolean;
  /** Whether the store's certificate must be good. */
  readonly verifyTls: boolean;
  /** Added to the SDK's own User-Agent. */
  readonly userAgent?: string;
  /** How long a presigned URL is good, in seconds. */
  readonly presignSeconds: number;
  /** Where it differs from the usual. */
  readonly patience?: Partial<Patience>;
}

/** What a store keeps of what Amazon S3 promises. */
export interface StorePromises {
  /** PutObject with If-None-Match and If-Match is decided by the store. Else it is looked up first: two writers may meet. */
  readonly conditionalWrites: boolean;
  /** How If-Match wants an ETag. */
  readonly etags: "quoted" | "bare";
}

/** Amazon S3's own. */
export const AMAZON_S3: StorePromises = { conditionalWrites: true, etags: "quoted" };
