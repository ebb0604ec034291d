/** What a person may say of the deployment: typed, with defaults that work, and read from CDK's context. */
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import { nearest } from "../shared/config/keys.ts";
import * as read from "./readers.ts";
import { ruleProblems, rules } from "./rules.ts";

/** Where clients come in: API Gateway's own name, or one name for everything at CloudFront. */
export type FrontDoorKind = "api-gateway" | "cloudfront";

/** Where layers come from: S3, by signed URLs, or the upload function, through CloudFront. */
export type DownloadsKind = "s3" | "cloudfront";

/** A bucket that is there already, and that CloudFormation leaves as it is. */
export interface ExistingBucket {
  readonly name: string;
  /** Absent: that of the stack. */
  readonly region?: string;
}

/** A name of one's own, with the certificate that proves it. */
export interface CustomDomain {
  readonly name: string;
  /** In the region of the stack; for CloudFront in us-east-1. */
  readonly certificateArn: string;
}

/** The deployment. `parseSettings` makes one, with defaults. */
export interface Settings {
  /** Tells registries of one account and region apart: part of the stack's name and of the parameters' paths. */
  readonly name: string;
  readonly frontDoor: FrontDoorKind;
  readonly downloads: DownloadsKind;
  readonly domain?: CustomDomain;
  /** Of a web ACL for CloudFront, in us-east-1. */
  readonly webAclArn?: string;
  /** Absent: a bucket is made. */
  readonly bucket?: ExistingBucket;
  /** Path in the bucket below which everything lies, without slashes at its ends. Absent: the bucket itself. */
  readonly root?: string;
  /** Key that encrypts the buckets, or with an existing bucket what is written to it. Absent: S3's own keys. */
  readonly kmsKeyArn?: string;
  /** Whether everybody may pull. */
  readonly anonymousPull: boolean;
  readonly deletes: boolean;
  readonly readOnly: boolean;
  /** When the collector is called, to begin a run or go on with one: an expression of EventBridge Scheduler, and its time zone. */
  readonly gcSchedule: string;
  readonly gcTimeZone: string;
  /** How long the collector leaves alone what nobody refers to, such as `24h`. */
  readonly gcGrace: string;
  /** Which tags and untagged manifests the collector takes, which tags nobody can move: lists of rules, as JSON. */
  readonly retention?: string;
  readonly immutableTags?: string;
  /** Whether it is kept, by the day, what was pulled. */
  readonly recordPulls: boolean;
  /** How many days what was deleted or overwritten can be brought back. */
  readonly undoDays: number;
  readonly alarms: boolean;
  /** Who is written to when an alarm goes off, and when it ends. */
  readonly alarmEmail?: string;
  /** Requests per second, and at once, that the API lets through. */
  readonly throttleRate: number;
  readonly throttleBurst: number;
  /** How many days logs are kept. */
  readonly logDays: RetentionDays;
  /** What becomes of images, users and logs when the stack is deleted. */
  readonly removal: "retain" | "destroy";
}

/** Calls through four hours of a night, each of which goes on with what the last one left; most find nothing to do. */
const NIGHTLY = "cron(0/15 3-6 * * ? *)";

/** Settings that cannot be, one sentence each. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

const READERS = {
  name: read.name,
  frontDoor: read.oneOf("api-gateway", "cloudfront"),
  downloads: read.oneOf("s3", "cloudfront"),
  domainName: read.domainName,
  certificateArn: read.certificateArn,
  webAclArn: read.webAclArn,
  bucketName: read.bucketName,
  bucketRegion: read.region,
  bucketPrefix: read.keyPrefix,
  kmsKeyArn: read.kmsKeyArn,
  anonymousPull: read.flag,
  deletes: read.flag,
  readOnly: read.flag,
  gcSchedule: read.schedule,
  gcTimeZone: read.timeZone,
  gcGrace: read.grace,
  retention: rules,
  immutableTags: rules,
  recordPulls: read.flag,
  undoDays: read.integer(1, 3650),
  alarms: read.flag,
  alarmEmail: read.email,
  throttleRate: read.integer(1, 10_000),
  throttleBurst: read.integer(1, 5_000),
  logDays: read.retention,
  removalPolicy: read.oneOf("retain", "destroy"),
} as const;

/** The keys of the context that are read here. */
export const SETTING_KEYS: readonly string[] = Object.keys(READERS);

type Key = keyof typeof READERS;
type Values = { -readonly [K in Key]?: ReturnType<(typeof READERS)[K]> & {} };

/**
 * Reads CDK's context: what was given with `-c`, and cdk.json. Keys of CDK itself hold a colon or begin with `@`; another
 * key that is not known is refused. Throws SettingsError with all that is wrong.
 */
export function parseSettings(context: Readonly<Record<string, unknown>>): Settings {
  const problems: string[] = [];
  const values: Values = {};
  for (const [key, value] of Object.entries(context)) {
    if (key.startsWith("@") || key.includes(":")) continue;
    if (!isKey(key)) {
      const near = nearest(key, SETTING_KEYS);
      problems.push(`${key} is not a setting${near === undefined ? "" : `; did you mean ${near}?`}`);
      continue;
    }
    const text = typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
    if (text === "") continue;
    try {
      Object.assign(values, { [key]: READERS[key](text) });
    } catch (error) {
      if (!(error instanceof read.ExpectedError)) throw error;
      problems.push(`${key} must be ${error.expected}, not "${text}"`);
    }
  }
  problems.push(...ruleProblems(values));
  problems.push(...contradictions(values, (key) => ![undefined, null, ""].includes(context[key] as string)));
  if (problems.length > 0) throw new SettingsError(problems);
  return withDefaults(values);
}

function isKey(key: string): key is Key {
  return Object.hasOwn(READERS, key);
}

/** What each may be, and both may not. `given` says whether there is a value, be it one that cannot be read. */
function contradictions(values: Values, given: (key: Key) => boolean): string[] {
  const { certificateArn } = values;
  const atCloudFront = values.frontDoor === "cloudfront";
  const problems: [boolean, string][] = [
    [given("domainName") && !given("certificateArn"), "domainName needs certificateArn: the certificate for that name"],
    [given("certificateArn") && !given("domainName"), "certificateArn needs domainName: the name it is for"],
    [
      atCloudFront && certificateArn !== undefined && read.regionOf(certificateArn) !== "us-east-1",
      "certificateArn must be of a certificate in us-east-1, which is where CloudFront takes it from",
    ],
    [given("webAclArn") && !atCloudFront, "webAclArn needs frontDoor=cloudfront: an HTTP API takes no web ACL"],
    [
      values.downloads === "cloudfront" && !atCloudFront,
      "downloads=cloudfront needs frontDoor=cloudfront: API Gateway carries no layer",
    ],
    [given("bucketRegion") && !given("bucketName"), "bucketRegion needs bucketName: the bucket that is there"],
    [
      given("bucketName") && given("undoDays"),
      "undoDays is for a bucket that the stack makes: the lifecycle rules of an existing one are its owner's",
    ],
    [given("alarmEmail") && values.alarms === false, "alarmEmail needs alarms: with alarms=false nobody is written to"],
  ];
  return problems.filter(([wrong]) => wrong).map(([, sentence]) => sentence);
}

function withDefaults({ domainName, certificateArn, bucketName, bucketRegion, ...values }: Values): Settings {
  const { bucketPrefix, removalPolicy, kmsKeyArn, webAclArn, alarmEmail, retention, immutableTags } = values;
  return {
    name: values.name ?? "registry",
    frontDoor: values.frontDoor ?? "api-gateway",
    downloads: values.downloads ?? "s3",
    ...(domainName === undefined || certificateArn === undefined
      ? {}
      : { domain: { name: domainName, certificateArn } }),
    ...(webAclArn === undefined ? {} : { webAclArn }),
    ...(bucketName === undefined
      ? {}
      : { bucket: { name: bucketName, ...(bucketRegion === undefined ? {} : { region: bucketRegion }) } }),
    ...(bucketPrefix === undefined ? {} : { root: bucketPrefix }),
    ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
    anonymousPull: values.anonymousPull ?? false,
    deletes: values.deletes ?? true,
    readOnly: values.readOnly ?? false,
    gcSchedule: values.gcSchedule ?? NIGHTLY,
    gcTimeZone: values.gcTimeZone ?? "Etc/UTC",
    gcGrace: values.gcGrace ?? "24h",
    ...(retention === undefined ? {} : { retention }),
    ...(immutableTags === undefined ? {} : { immutableTags }),
    recordPulls: values.recordPulls ?? false,
    undoDays: values.undoDays ?? 14,
    alarms: values.alarms ?? true,
    ...(alarmEmail === undefined ? {} : { alarmEmail }),
    throttleRate: values.throttleRate ?? 200,
    throttleBurst: values.throttleBurst ?? 400,
    logDays: values.logDays ?? RetentionDays.ONE_MONTH,
    removal: removalPolicy ?? "retain",
  };
}
