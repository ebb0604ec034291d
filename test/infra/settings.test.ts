/** Wrong settings stop synthesis, with one sentence each. */
import { describe, expect, it } from "vitest";
import { parseSettings, SettingsError } from "../../infra/settings.ts";

const CERTIFICATE = "certificate/12345678-1234-1234-1234-123456789012";
const inRegion = (region: string): string => `arn:aws:acm:${region}:123456789012:${CERTIFICATE}`;

function problemsOf(context: Readonly<Record<string, unknown>>): readonly string[] {
  try {
    parseSettings(context);
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
}

describe("defaults", () => {
  it("are enough, beside what CDK itself says in its context", () => {
    const settings = parseSettings({
      "@aws-cdk/core:x": true,
      "aws:cdk:bundling-stacks": ["**"],
      "cli-telemetry:x": 1,
    });
    expect(settings).toEqual({
      name: "registry",
      frontDoor: "api-gateway",
      downloads: "s3",
      anonymousPull: false,
      deletes: true,
      readOnly: false,
      gcSchedule: "cron(0/15 3-6 * * ? *)",
      gcTimeZone: "Etc/UTC",
      gcGrace: "24h",
      recordPulls: false,
      undoDays: 14,
      alarms: true,
      throttleRate: 200,
      throttleBurst: 400,
      logDays: 30,
      removal: "retain",
    });
  });

  it("stay where a setting is given empty", () => {
    expect(parseSettings({ domainName: "", undoDays: "" })).toEqual(parseSettings({}));
  });
});

describe("values", () => {
  it("are read as -c gives them, and as cdk.json may", () => {
    expect(parseSettings({ anonymousPull: "true", undoDays: "30", bucketPrefix: "/a/b/" })).toMatchObject({
      anonymousPull: true,
      undoDays: 30,
      root: "a/b",
    });
    expect(parseSettings({ anonymousPull: true, undoDays: 30 })).toMatchObject({ anonymousPull: true, undoDays: 30 });
  });

  it.each([
    "cron(0 3 * * ? *)",
    "cron(0/15 3-6 * * ? *)",
    "cron(0/15 1-5,23 ? JAN-MAR mon,FRI 2027)",
    "cron(0 0 L * ? *)",
    "cron(0 0 ? * 2#1 *)",
    "rate(1 day)",
    "rate(12 hours)",
  ])("%s is a schedule", (gcSchedule) => expect(parseSettings({ gcSchedule }).gcSchedule).toBe(gcSchedule));
});

const CRON =
  "an expression of EventBridge Scheduler: cron(minutes hours day-of-month month day-of-week year) with ? for one of the days, such as cron(0 3 * * ? *)";
const BUCKET = "the name of a bucket: 3 to 63 small letters, digits, full stops and hyphens";

describe("wrong", () => {
  it.each<[Record<string, unknown>, string]>([
    [{ domainName: "registry.example.com" }, "domainName needs certificateArn: the certificate for that name"],
    [{ certificateArn: inRegion("eu-west-1") }, "certificateArn needs domainName: the name it is for"],
    [
      { domainName: "localhost", certificateArn: inRegion("eu-west-1") },
      'domainName must be a host name such as registry.example.com, in small letters, not "localhost"',
    ],
    [
      { frontDoor: "cloudfront", domainName: "r.example.com", certificateArn: inRegion("eu-west-1") },
      "certificateArn must be of a certificate in us-east-1, which is where CloudFront takes it from",
    ],
    [
      { domainName: "r.example.com", certificateArn: "arn:aws:iam::1:x" },
      'certificateArn must be the ARN of a certificate of AWS Certificate Manager, not "arn:aws:iam::1:x"',
    ],
    [{ frontDoor: "alb" }, 'frontDoor must be api-gateway or cloudfront, not "alb"'],
    [
      { webAclArn: "arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/12345678-1234-1234-1234-123456789012" },
      "webAclArn needs frontDoor=cloudfront: an HTTP API takes no web ACL",
    ],
    ...[
      "daily",
      "cron(0 3 * * * *)",
      "cron(0 3 ? * ? *)",
      "cron(60 3 * * ? *)",
      "cron(0 3 * * ?)",
      "cron(0 3 * * ? *",
      "rate(1 days)",
      "rate(0 days)",
    ].map((gcSchedule): [Record<string, unknown>, string] => [
      { gcSchedule },
      `gcSchedule must be ${CRON}, not "${gcSchedule}"`,
    ]),
    ...["Our-Images", "ab", "a..b", "192.168.0.1", "xn--a", "images-s3alias", "-images", "a".repeat(64)].map(
      (bucketName): [Record<string, unknown>, string] => [
        { bucketName },
        `bucketName must be ${BUCKET}, not "${bucketName}"`,
      ],
    ),
    [{ bucketRegion: "eu-west-1" }, "bucketRegion needs bucketName: the bucket that is there"],
    [
      { bucketName: "our-images", bucketRegion: "Frankfurt" },
      'bucketRegion must be a region such as eu-central-1, not "Frankfurt"',
    ],
    [
      { bucketName: "our-images", undoDays: "3" },
      "undoDays is for a bucket that the stack makes: the lifecycle rules of an existing one are its owner's",
    ],
    [
      { bucketPrefix: "a/*" },
      'bucketPrefix must be a path of letters, digits, full stops, hyphens, underscores and slashes, not "a/*"',
    ],
    [{ kmsKeyArn: "alias/images" }, 'kmsKeyArn must be the ARN of a key of AWS KMS (no alias), not "alias/images"'],
    [{ anonymousPull: "yes" }, 'anonymousPull must be true or false, not "yes"'],
    [{ gcGrace: "30s" }, 'gcGrace must be a duration such as 24h or 1h30m, not "30s"'],
    [{ downloads: "cloudfront" }, "downloads=cloudfront needs frontDoor=cloudfront: API Gateway carries no layer"],
    [{ gcGrace: "0h" }, 'gcGrace must be a duration such as 24h or 1h30m, not "0h"'],
    [
      { retention: "ci/**" },
      'retention must be a list of rules, in cdk.json or as JSON such as [{"repositories":["ci/**"]}], not "ci/**"',
    ],
    [
      { retention: JSON.stringify([{ repositories: ["x".repeat(1500)] }]) },
      expect.stringContaining("retention must be at most 1500 characters of JSON") as string,
    ],
    [{ retention: [{ keep: { last: 0 } }] }, "retention.0.keep.last: expected a whole number of at least 1, got 0"],
    [
      { retention: '[{"keep":{"pulledwithin":"90d"}}]' },
      "retention.0.keep.pulledwithin: cannot be known: set recordPulls to true",
    ],
    [
      { immutableTags: "[{}]" },
      'immutableTags.0: names neither repositories nor tags; for all tags of all repositories say tags: ["*"]',
    ],
    [{ gcTimeZone: "Berlin" }, 'gcTimeZone must be a time zone such as Europe/Berlin, not "Berlin"'],
    [{ undoDays: "0" }, 'undoDays must be a whole number from 1 to 3650, not "0"'],
    [
      { logDays: "10" },
      expect.stringContaining("logDays must be a number of days that CloudWatch Logs knows: 1, 3, 5,") as string,
    ],
    [{ alarmEmail: "ops" }, 'alarmEmail must be a mail address, not "ops"'],
    [
      { alarmEmail: "ops@example.com", alarms: "false" },
      "alarmEmail needs alarms: with alarms=false nobody is written to",
    ],
    [{ removalPolicy: "snapshot" }, 'removalPolicy must be retain or destroy, not "snapshot"'],
    [
      { name: "Registry" },
      'name must be at most 30 small letters, digits and single hyphens, beginning with a letter, not "Registry"',
    ],
    [{ throttleRate: "many" }, 'throttleRate must be a whole number from 1 to 10000, not "many"'],
    [{ bucketname: "our-images" }, "bucketname is not a setting; did you mean bucketName?"],
    [{ colour: "red" }, "colour is not a setting"],
    [{ toString: "x" }, "toString is not a setting"],
  ])("%j", (context, sentence) => {
    expect(problemsOf(context)).toEqual([sentence]);
  });

  it("is all told at once", () => {
    expect(problemsOf({ nmae: "x", undoDays: "-1", domainName: "r.example.com" })).toHaveLength(3);
  });
});
