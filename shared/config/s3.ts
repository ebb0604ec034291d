import * as z from "zod";
import type { S3Settings } from "../storage/s3/settings.ts";
import type { Report } from "./report.ts";
import { choice, count, flag, map, named, parsed, refused, setting, text } from "./values.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** S3's own: a part of an upload has at least this many bytes, and one request copies at most that many. */
const leastPart = 5 * MIB;
const mostCopied = 5 * GIB;
/** A part is held in memory until it is stored. */
const mostPart = GIB;

/** Words of the SDK for Go, from "off" to what writes down every body. */
const logLevels = [
  "off",
  "debug",
  "debugwithsigning",
  "debugwithhttpbody",
  "debugwithrequestretries",
  "debugwithrequesterrors",
  "debugwitheventstreambody",
] as const;

/** Those whose objects are there at once, in small letters; `none` is for stores that know no classes. */
const storageClasses = [
  "none",
  "standard",
  "reduced_redundancy",
  "standard_ia",
  "onezone_ia",
  "intelligent_tiering",
  "outposts",
  "glacier_ir",
  "express_onezone",
] as const;

/** `storage.s3`, which distribution also knows as `storage.s3aws`. */
export const s3 = named(
  map({
    accesskey: setting(text("a text")),
    secretkey: setting(text("a text")),
    sessiontoken: setting(text("a text")),
    region: setting(parsed("the name of a region, such as eu-central-1", (input) => matching(/^[\w-]+$/, input))),
    regionendpoint: setting(
      parsed("an address such as https://s3.example.com:9000, without user, path or query", endpointOf),
    ),
    bucket: setting(parsed("the name of a bucket", (input) => matching(/^[\w.-]{3,255}$/, input))),
    // Ours.
    uploadsbucket: setting(parsed("the name of a bucket", (input) => matching(/^[\w.-]{3,255}$/, input))),
    rootdirectory: setting(text("the path in the bucket below which everything lies")),
    forcepathstyle: setting(flag()),
    encrypt: setting(flag()),
    keyid: setting(text("the id or ARN of a KMS key")),
    chunksize: setting(count(leastPart, mostPart)),
    multipartcopychunksize: setting(count(leastPart, mostCopied)),
    multipartcopythresholdsize: setting(count(0, mostCopied)),
    multipartcopymaxconcurrency: setting(count(1)),
    storageclass: setting(choice(...storageClasses)),
    objectacl: setting(
      choice(
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
      ),
    ),
    secure: setting(flag()),
    skipverify: setting(flag()),
    accelerate: setting(flag()),
    usedualstack: setting(flag()),
    usefipsendpoint: setting(flag()),
    v4auth: refused("requests are signed with version 4 only; remove v4auth", (value) => value !== false),
    useragent: setting(text("a text")),
    // `off` without quotes is false to some readers of YAML.
    loglevel: z.preprocess((input) => (input === false ? "off" : input), setting(choice(...logLevels))),
  }),
);

/**
 * Ours, so that eight layers at once stay below 400 MB; distribution takes 10 MiB. 10,000 of it are 58 GiB, and a larger
 * blob gets larger parts.
 */
const defaultPart = 6 * MIB;
/** Distribution's. */
const defaultCopy = 32 * MIB;
const defaultCopies = 100;
/** How long a client may take to begin a download that it was sent to. Distribution's. */
const presignSeconds = 20 * 60;
/** What a store at an address of its own is told where no region is named; most take any. */
const anyRegion = "us-east-1";

/** What `storage.s3` asks for, under the name that the file has it by. */
export function readS3(
  input: NonNullable<z.infer<typeof s3>>,
  name: "s3" | "s3aws",
  report: Report,
): { settings: S3Settings; logRequests: boolean } {
  const at = (key: string): string[] => ["storage", name, key];
  const endpoint = input.regionendpoint;
  if (input.uploadsbucket && input.uploadsbucket === input.bucket) {
    report.problem(at("uploadsbucket"), "is the bucket itself; name another, or leave it out");
  }
  if (!input.bucket) report.problem(at("bucket"), "is not set: it names the bucket");
  if (!input.region && !endpoint) {
    report.problem(at("region"), "is not set: it names the region of the bucket, such as eu-central-1");
  }
  for (const [one, other] of [
    ["accesskey", "secretkey"],
    ["secretkey", "accesskey"],
  ] as const) {
    if (input[one] && !input[other]) report.problem(at(other), `is not set, and ${one} is of no use without it`);
  }
  if (input.sessiontoken && !input.accesskey) {
    report.noEffect(at("sessiontoken"), "accesskey and secretkey are not set");
  }
  for (const key of ["accelerate", "usedualstack", "usefipsendpoint"] as const) {
    if (input[key] && endpoint) report.problem(at(key), "chooses among Amazon's own addresses; remove regionendpoint");
  }
  if (input.accelerate && input.forcepathstyle) {
    report.problem(at("forcepathstyle"), "cannot be had with accelerate, whose addresses begin with the bucket");
  }
  if (input.accelerate && input.usefipsendpoint) report.problem(at("usefipsendpoint"), "cannot be had with accelerate");
  if (input.keyid && !input.encrypt) report.noEffect(at("keyid"), "encrypt is not true");
  if (input.skipverify) report.notice(at("skipverify"), "the certificate of the store is not looked at");
  const secure = input.secure ?? true;
  if (!secure && !endpoint) report.problem(at("secure"), "cannot be false without regionendpoint");

  const root = (input.rootdirectory ?? "").replace(/^\/+|\/+$/g, "");
  const { accesskey, secretkey, sessiontoken, keyid } = input;
  const storageClass = input.storageclass ?? "standard";
  const acl = input.objectacl ?? "private";
  return {
    settings: {
      bucket: input.bucket ?? "",
      ...(input.uploadsbucket ? { temporaryBucket: input.uploadsbucket } : {}),
      region: input.region ?? anyRegion,
      ...(endpoint ? { endpoint: endpoint(secure) } : {}),
      forcePathStyle: input.forcepathstyle ?? false,
      ...(accesskey && secretkey
        ? {
            credentials: {
              accessKeyId: accesskey,
              secretAccessKey: secretkey,
              ...(sessiontoken ? { sessionToken: sessiontoken } : {}),
            },
          }
        : {}),
      root: root === "" ? "" : `${root}/`,
      ...(input.encrypt ? { encryption: keyid ? { keyId: keyid } : {} } : {}),
      // What a store does by itself is not asked for: some refuse the header.
      ...(storageClass === "standard" || storageClass === "none" ? {} : { storageClass: storageClass.toUpperCase() }),
      ...(acl === "private" ? {} : { acl }),
      partBytes: input.chunksize ?? defaultPart,
      copy: {
        thresholdBytes: input.multipartcopythresholdsize ?? defaultCopy,
        partBytes: input.multipartcopychunksize ?? defaultCopy,
        concurrency: input.multipartcopymaxconcurrency ?? defaultCopies,
      },
      accelerate: input.accelerate ?? false,
      dualStack: input.usedualstack ?? false,
      fips: input.usefipsendpoint ?? false,
      verifyTls: !(input.skipverify ?? false),
      ...(input.useragent ? { userAgent: input.useragent } : {}),
      presignSeconds,
    },
    logRequests: (input.loglevel ?? "off") !== "off",
  };
}

/** The address of a store, once it is known whether TLS is wanted where the text does not say. */
function endpointOf(input: string): ((secure: boolean) => string) | undefined {
  const schemed = /^https?:\/\//i.test(input);
  const url = `${schemed ? "" : "https://"}${input}`;
  if (!URL.canParse(url) || /[?#\s]/.test(input)) return undefined;
  const { username, password, pathname, host, protocol } = new URL(url);
  if (username !== "" || password !== "" || pathname !== "/") return undefined;
  return (secure) => `${schemed ? protocol : secure ? "https:" : "http:"}//${host}`;
}

function matching(pattern: RegExp, input: string): string | undefined {
  return pattern.test(input) ? input : undefined;
}
