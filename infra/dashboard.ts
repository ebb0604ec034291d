/** One page: is it healthy, who uses it, what does it cost. */
import { Duration } from "aws-cdk-lib";
import {
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  LogQueryWidget,
  Metric,
  Stats,
  TextWidget,
  type Alarm,
  type IWidget,
} from "aws-cdk-lib/aws-cloudwatch";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { webMetric, type Watched } from "./alarms.ts";

const [WIDE, HALF, THIRD] = [24, 12, 8];
const [HOUR, DAY] = [Duration.hours(1), Duration.days(1)];

/** What the page shows. */
export interface DashboardParts extends Watched {
  readonly bucket: IBucket;
  readonly uploadsBucket?: IBucket;
  readonly registryLog: ILogGroup;
  readonly uploadLog: ILogGroup;
  readonly alarms: readonly Alarm[];
}

/** Makes the page. An account's first three dashboards are free. */
export function createDashboard(scope: Construct, parts: DashboardParts): void {
  new Dashboard(scope, "Dashboard", {
    defaultInterval: Duration.days(7),
    widgets: [...healthy(parts), ...users(parts), ...costs(parts)],
  });
}

function healthy({ alarms, api, registry, uploads, gc, failures }: DashboardParts): IWidget[][] {
  const period = HOUR;
  return [
    [heading("Is it healthy?")],
    ...(alarms.length === 0 ? [] : [[new AlarmStatusWidget({ width: WIDE, alarms: [...alarms], title: "Alarms" })]]),
    [
      graph("Answers that failed", [
        api.metricServerError({ period, statistic: Stats.SUM, label: "5xx of the API" }),
        webMetric(uploads, "HTTPResponseStatusClass5XX", period),
        registry.metricErrors({ period, label: "registry function" }),
        registry.metricThrottles({ period, label: "registry function, throttled" }),
      ]),
      graph("How long an answer takes, in ms", [
        api.metricLatency({ period, statistic: Stats.percentile(50), label: "half of them" }),
        api.metricLatency({ period, statistic: Stats.percentile(99), label: "99 in 100" }),
        registry.metricDuration({ period, statistic: Stats.MAXIMUM, label: "registry function, longest" }),
      ]),
      graph("Collector", [
        gc.metricInvocations({ period: DAY, label: "calls" }),
        gc.metricErrors({ period: DAY, label: "failed" }),
        gc.metricDuration({ period: DAY, statistic: Stats.MAXIMUM, label: "ms" }),
        failures.metricApproximateNumberOfMessagesVisible({ period: DAY, statistic: Stats.MAXIMUM, label: "given up" }),
      ]),
    ],
  ];
}

function users({ registryLog, uploadLog }: DashboardParts): IWidget[][] {
  const logGroupNames = [registryLog.logGroupName, uploadLog.logGroupName];
  const logs = (title: string, queryLines: string[]): IWidget =>
    new LogQueryWidget({ title, logGroupNames, queryLines, width: HALF, height: 6 });
  const requests = "filter ispresent(`http.request.method`)";
  return [
    [heading("Who uses it?")],
    [
      logs("Users", [requests, "stats count(*) as requests by `auth.user.name`", "sort requests desc", "limit 20"]),
      logs("Clients", [
        requests,
        "stats count(*) as requests by `http.request.useragent`",
        "sort requests desc",
        "limit 20",
      ]),
    ],
  ];
}

function costs({ api, registry, uploads, gc, bucket, uploadsBucket }: DashboardParts): IWidget[][] {
  const period = DAY;
  /** What the collector tells of each run, as `functions/gc/nightly.ts` has it. */
  const night = (metricName: string, label: string): Metric =>
    new Metric({
      namespace: "Lading",
      metricName,
      dimensionsMap: { FunctionName: gc.functionName },
      statistic: Stats.SUM,
      period,
      label,
    });
  return [
    [heading("What does it cost? Storage by the GB and month, the rest by the request and the second.")],
    [
      graph("Bytes stored", [
        sizeOf(bucket, "storage"),
        ...(uploadsBucket === undefined ? [] : [sizeOf(uploadsBucket, "uploads in flight")]),
      ]),
      graph("Requests a day", [
        api.metricCount({ period, statistic: Stats.SUM, label: "API" }),
        webMetric(uploads, "HTTPResponseStatusClass2XX", period),
      ]),
      graph("Time of the registry function, in ms a day", [
        registry.metricDuration({ period, statistic: Stats.SUM, label: "ms" }),
      ]),
    ],
    [
      graph("Collected, in bytes a night", [night("GcDeletedBytes", "deleted")]),
      graph("Collected, in things a night", [
        night("GcEligible", "blobs that nothing refers to"),
        night("GcDeleted", "blobs deleted"),
        night("GcDeletedManifests", "manifests deleted"),
        night("GcDeletedTags", "tags deleted"),
      ]),
      graph("Requests of the collector to S3, in dollars a night", [night("GcDollars", "dollars")]),
    ],
  ];
}

function heading(text: string): IWidget {
  return new TextWidget({ markdown: `## ${text}`, width: WIDE, height: 1 });
}

function graph(title: string, left: Metric[]): IWidget {
  return new GraphWidget({ title, left, width: THIRD, height: 6 });
}

/** S3 tells it once a day. */
function sizeOf(bucket: IBucket, label: string): Metric {
  return new Metric({
    namespace: "AWS/S3",
    metricName: "BucketSizeBytes",
    dimensionsMap: { BucketName: bucket.bucketName, StorageType: "StandardStorage" },
    statistic: Stats.AVERAGE,
    period: DAY,
    label,
  });
}
