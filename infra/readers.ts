/** One function for each kind of value of a setting: it reads a text, or says what it expected. */
import { RetentionDays } from "aws-cdk-lib/aws-logs";

/** A text that is not what a setting takes. `expected` goes on after "must be". */
export class ExpectedError extends Error {
  override readonly name = "ExpectedError";
  readonly expected: string;

  constructor(expected: string) {
    super(`expected ${expected}`);
    this.expected = expected;
  }
}

function matching(pattern: RegExp, expected: string): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) throw new ExpectedError(expected);
    return text;
  };
}

/** A name that a function, a stack and a parameter can have in theirs. */
export const name = matching(
  /^[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,29}$/,
  "at most 30 small letters, digits and single hyphens, beginning with a letter",
);

/** A host name of at least two labels. */
export const domainName = matching(
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/,
  "a host name such as registry.example.com, in small letters",
);

/** A certificate of AWS Certificate Manager. */
export const certificateArn = matching(
  /^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  "the ARN of a certificate of AWS Certificate Manager",
);

/** A web ACL of AWS WAF whose scope is CloudFront. */
export const webAclArn = matching(
  /^arn:aws[a-z-]*:wafv2:us-east-1:\d{12}:global\/webacl\/[\w-]+\/[0-9a-f-]+$/,
  "the ARN of a web ACL for CloudFront, which is in us-east-1",
);

/** A key of AWS KMS, and no alias: policies name the key. */
export const kmsKeyArn = matching(
  /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/,
  "the ARN of a key of AWS KMS (no alias)",
);

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
export const bucketName = matching(
  /^(?!xn--|sthree-|amzn-s3-demo-)(?!.*(?:\.\.|-s3alias$|--ol-s3$|\.mrap$|--x-s3$))(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  "the name of a bucket: 3 to 63 small letters, digits, full stops and hyphens",
);

/** A region's code. */
export const region = matching(/^[a-z]{2}(?:-[a-z]+)+-\d+$/, "a region such as eu-central-1");

/** A path in a bucket. Slashes at its ends are taken off. No character means anything to IAM. */
export function keyPrefix(text: string): string {
  const path = text.replace(/^\/+|\/+$/g, "");
  if (!/^[\w.-]+(?:\/[\w.-]+)*$/.test(path)) {
    throw new ExpectedError("a path of letters, digits, full stops, hyphens, underscores and slashes");
  }
  return path;
}

/** Yes or no. */
export function flag(text: string): boolean {
  if (text !== "true" && text !== "false") throw new ExpectedError("true or false");
  return text === "true";
}

/** A whole number in bounds that are both allowed. */
export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new ExpectedError(`a whole number from ${least} to ${most}`);
    }
    return value;
  };
}

/** One of some words. */
export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new ExpectedError(words.join(" or "));
    return found;
  };
}

/** Days for which CloudWatch Logs can keep a log. */
export function retention(text: string): RetentionDays {
  const known = Object.values(RetentionDays).filter(
    (days) => typeof days === "number" && days !== RetentionDays.INFINITE,
  );
  const found = known.find((days) => String(days) === text);
  if (typeof found !== "number") {
    throw new ExpectedError(`a number of days that CloudWatch Logs knows: ${known.join(", ")}`);
  }
  return found;
}

/** A Go duration in hours and minutes, above 0: the registry takes none of less than a minute. */
export function grace(text: string): string {
  if (!/^(?=.*[1-9])(?:\d+h)?(?:\d+m)?$/.test(text)) throw new ExpectedError("a duration such as 24h or 1h30m");
  return text;
}

/** An address that mail can be sent to; whether it arrives, only a mail says. */
export const email = matching(/^[^\s@"<>]+@[^\s@"<>]+\.[^\s@"<>]+$/, "a mail address");

/** A name of the IANA time zone database. */
export function timeZone(text: string): string {
  try {
    new Intl.DateTimeFormat("en", { timeZone: text });
  } catch {
    throw new ExpectedError("a time zone such as Europe/Berlin");
  }
  if (/^[+-]/.test(text)) throw new ExpectedError("a time zone such as Europe/Berlin");
  return text;
}

const DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT";
const MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC";

/** Fields of a cron expression: their bounds, the words for their numbers, and what else they may say. */
const CRON = [
  { least: 0, most: 59 },
  { least: 0, most: 23 },
  { least: 1, most: 31, special: /^(?:\?|L|LW|(?:[1-9]|[12]\d|3[01])W)$/ },
  { least: 1, most: 12, words: MONTHS },
  { least: 1, most: 7, words: DAYS, special: /^(?:\?|L|[1-7]L|[1-7]#[1-5])$/ },
  { least: 1970, most: 2199 },
] as const;

/**
 * `cron(minutes hours day-of-month month day-of-week year)` or `rate(n unit)`.
 *
 * @see https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
 */
export function schedule(text: string): string {
  if (/^rate\((?:1 (?:hour|day)|(?!1 |0)\d+ (?:hours|days))\)$/.test(text)) return text;
  const fields = /^cron\((.*)\)$/.exec(text)?.[1]?.trim().split(/\s+/);
  const [dayOfMonth, dayOfWeek] = [fields?.[2], fields?.[4]];
  if (
    fields?.length !== CRON.length ||
    !CRON.every((field, index) => isCronField(fields[index] ?? "", field)) ||
    (dayOfMonth === "?") === (dayOfWeek === "?")
  ) {
    throw new ExpectedError(
      "an expression of EventBridge Scheduler: cron(minutes hours day-of-month month day-of-week year) with ? for one of the days, such as cron(0 3 * * ? *)",
    );
  }
  return `cron(${fields.join(" ")})`;
}

function isCronField(
  text: string,
  { least, most, words, special }: { least: number; most: number; words?: string; special?: RegExp },
): boolean {
  if (special?.test(text)) return true;
  const isValue = (value: string): boolean =>
    (/^\d+$/.test(value) && Number(value) >= least && Number(value) <= most) ||
    (words !== undefined && new RegExp(`^(?:${words})$`, "i").test(value));
  return text.split(",").every((part) => {
    const [range = "", step, ...rest] = part.split("/");
    if (rest.length > 0 || (step !== undefined && !/^[1-9]\d*$/.test(step))) return false;
    if (range === "*") return true;
    const ends = range.split("-");
    return ends.length <= 2 && ends.every(isValue);
  });
}

/** Whether an expression that `schedule` took comes round every day. */
export function isDaily(expression: string): boolean {
  const hours = /^rate\((\d+) hour/.exec(expression)?.[1];
  if (hours !== undefined) return Number(hours) <= 24;
  if (expression.startsWith("rate(")) return expression === "rate(1 day)";
  const [, , dayOfMonth, month, dayOfWeek, year] = expression.slice("cron(".length, -1).split(" ");
  return [dayOfMonth, month, dayOfWeek, year].every((field) => field === "*" || field === "?");
}

/** The region that an ARN names. */
export function regionOf(arn: string): string {
  return arn.split(":")[3] ?? "";
}
