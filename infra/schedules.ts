/** What runs by the clock. */
import { Aws } from "aws-cdk-lib";
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import type { IQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";

/**
 * How long after its time a call that could not be made is still made, and how often that is tried. That a function failed is
 * Lambda's affair, and the function's own.
 */
const RETRIES = { maximumEventAgeInSeconds: 4 * 60 * 60, maximumRetryAttempts: 10 };

/** When a function is called, and with what. */
export interface ScheduleParts {
  readonly target: LambdaFunction;
  readonly expression: string;
  readonly timeZone: string;
  readonly enabled: boolean;
  readonly input: object;
  /** Where a call goes that could not be made. */
  readonly failures: IQueue;
}

/** Calls a function by the clock, with a role that can do just that. */
export function createSchedule(
  scope: Construct,
  id: string,
  { target, expression, timeZone, enabled, input, failures }: ScheduleParts,
): void {
  const role = new Role(scope, `${id}Role`, {
    assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
      conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
    }),
    inlinePolicies: {
      Own: new PolicyDocument({
        statements: [
          new PolicyStatement({ actions: ["lambda:InvokeFunction"], resources: [target.functionArn] }),
          new PolicyStatement({ actions: ["sqs:SendMessage"], resources: [failures.queueArn] }),
        ],
      }),
    },
  });
  new CfnSchedule(scope, id, {
    scheduleExpression: expression,
    scheduleExpressionTimezone: timeZone,
    flexibleTimeWindow: { mode: "OFF" },
    state: enabled ? "ENABLED" : "DISABLED",
    target: {
      arn: target.functionArn,
      roleArn: role.roleArn,
      input: JSON.stringify(input),
      retryPolicy: RETRIES,
      deadLetterConfig: { arn: failures.queueArn },
    },
  });
}
