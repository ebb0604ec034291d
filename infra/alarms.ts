/** What somebody should look at. Ten alarms are free in each account; these are fewer. */
import { Duration, Validations } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { Alarm, ComparisonOperator, Metric, Stats, TreatMissingData, type IMetric } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type { Function as LambdaFunction, WebFunction } from "aws-cdk-lib/aws-lambda";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type { Queue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { isDaily } from "./readers.ts";
import type { Settings } from "./settings.ts";

/** What is watched. */
export interface Watched {
  readonly api: HttpApi;
  readonly registry: LambdaFunction;
  readonly uploads: WebFunction;
  readonly gc: LambdaFunction;
  readonly failures: Queue;
}

const [FIVE_MINUTES, DAY] = [Duration.minutes(5), Duration.days(1)];
/** Longer than from one try of a night to the next, so that a night whose tries all fail is one alarm. */
const TRIES = Duration.hours(6);
/** API Gateway waits for 30 s. */
const SLOW_MS = 20_000;

/** @see https://docs.aws.amazon.com/lambda/latest/dg/web-functions-monitoring-metrics.html */
export function webMetric(uploads: WebFunction, metricName: string, period: Duration): Metric {
  const dimensionsMap = { FunctionName: uploads.webFunctionName };
  return new Metric({ namespace: "AWS/Lambda/Web", metricName, dimensionsMap, statistic: Stats.SUM, period });
}

interface AlarmParts {
  readonly metric: IMetric;
  readonly says: string;
  /** Goes off at this value and above. Default 1. */
  readonly from?: number;
  /** How many periods in a row. Default 1. */
  readonly periods?: number;
}

/** Makes the alarms, and who is written to; none where the settings want none. */
export function createAlarms(scope: Construct, settings: Settings, watched: Watched): Alarm[] {
  if (!settings.alarms) return [];
  const { api, registry, uploads, gc, failures } = watched;
  const alarm = (id: string, { metric, says, from = 1, periods = 1 }: AlarmParts): Alarm =>
    new Alarm(scope, `${id}Alarm`, {
      metric,
      alarmDescription: says,
      threshold: from,
      evaluationPeriods: periods,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
  const alarms = [
    alarm("RegistryErrors", {
      metric: registry.metricErrors({ period: FIVE_MINUTES }),
      says: "The registry function ended without an answer. Its log says why.",
    }),
    alarm("RegistryThrottles", {
      metric: registry.metricThrottles({ period: FIVE_MINUTES }),
      says: "Requests found no function to answer them: the account's concurrency is used up.",
    }),
    alarm("RegistrySlow", {
      metric: registry.metricDuration({ period: FIVE_MINUTES, statistic: Stats.MAXIMUM }),
      says: "An answer took more than 20 seconds; API Gateway gives up after 30.",
      from: SLOW_MS,
    }),
    alarm("ServerErrors", {
      metric: api.metricServerError({ period: FIVE_MINUTES, statistic: Stats.SUM }),
      says: "Clients were answered with 5xx, five times in five minutes.",
      from: 5,
    }),
    alarm("UploadErrors", {
      metric: webMetric(uploads, "HTTPResponseStatusClass5XX", FIVE_MINUTES),
      says: "The upload function answered with 5xx, five times in five minutes.",
      from: 5,
    }),
    alarm("CollectorErrors", {
      metric: gc.metricErrors({ period: TRIES }),
      says: "The collector failed. Its log says why; it is tried again an hour later, or in the next night.",
    }),
    alarm("Failures", {
      metric: failures.metricApproximateNumberOfMessagesVisible({ period: FIVE_MINUTES, statistic: Stats.MAXIMUM }),
      says: "A call of the collector, or a change of the secret, was given up after retries. The queue holds the event.",
    }),
  ];
  if (!settings.readOnly && isDaily(settings.gcSchedule)) {
    alarms.push(
      new Alarm(scope, "CollectorMissingAlarm", {
        metric: gc.metricInvocations({ period: DAY }),
        alarmDescription:
          "The collector was not called for two days. After a deployment this is so until its first night.",
        threshold: 1,
        evaluationPeriods: 2,
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        // No run is no figure.
        treatMissingData: TreatMissingData.BREACHING,
      }),
    );
  }
  notify(scope, settings, alarms);
  return alarms;
}

function notify(scope: Construct, { alarmEmail }: Settings, alarms: readonly Alarm[]): void {
  if (alarmEmail === undefined) return;
  const topic = new Topic(scope, "AlarmTopic", { enforceSSL: true });
  topic.addSubscription(new EmailSubscription(alarmEmail));
  Validations.of(topic).acknowledge({
    id: "AwsSolutions-SNS2",
    reason: "An alarm's text holds nothing secret, and the key for it would be billed by the month.",
  });
  const action = new SnsAction(topic);
  for (const alarm of alarms) {
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
  }
}
