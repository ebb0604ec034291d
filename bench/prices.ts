/**
 * List prices of us-east-1 in dollars, as of November 2026, without free tiers but where said. From price pages and what
 * others wrote of them (see the guide's confidence in docs/cost.md); nobody has seen a bill.
 */
export const PRICES = {
  /** S3 Standard, for a GB and month. */
  storedGb: 0.023,
  /** To the internet, for a GB after 100 GB a month that are free in an account; within the region nothing. */
  egressGb: 0.09,
  /** S3, for a million GETs. */
  getMillion: 0.4,
  /** HTTP API, for a million requests of up to 512 KB. */
  apiMillion: 1,
  /** Lambda, for a million calls; and for a GB and second on arm64. */
  callsMillion: 0.2,
  gbSecond: 0.0000133334,
  /** CloudWatch Logs, for a GB that is written. */
  loggedGb: 0.5,
  /** CloudFront, for a million HTTPS requests; its first TB to the internet and ten million requests a month are free. */
  cloudFrontMillion: 1,
  /** For a GB to the internet, and to clients within AWS too. */
  cloudFrontGb: 0.085,
  /** ECR private, for a GB and month; its traffic is priced as S3's. */
  ecrGb: 0.1,
  /** A t4g.small for an hour, its public address for an hour, and a GB and month of its disk. */
  serverHour: 0.0168,
  addressHour: 0.005,
  diskGb: 0.08,
  hoursMonth: 730,
} as const;

/** What is assumed of each call, since nobody has measured it on AWS. */
export const ASSUMED = {
  /** Of the event function: milliseconds and GB. Passwords are checked once in a while, in 300 ms. */
  eventMs: 60,
  eventGb: 1.769,
  /** Of a call of the collector that finds nothing to do: most of it is the start of its process. */
  idleMs: 1000,
  /** Of the upload function, whose rates are not published: as if it were a function of 2 GB that takes 100 MB/s. */
  uploadGb: 2,
  uploadMbSecond: 100,
  /** Written of each request, by the gateway and by the function. */
  loggedBytes: 1_500,
} as const;
