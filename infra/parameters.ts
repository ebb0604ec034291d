/** The secret and the users, in Parameter Store: made and changed by a function, read by the others at run time. */
import { ArnFormat, CustomResource, Duration, Stack } from "aws-cdk-lib";
import type { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import type { IQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { createFunction } from "./functions.ts";
import type { Settings } from "./settings.ts";

/** Paths of the two parameters, and their ARNs. */
export interface Parameters {
  readonly secret: string;
  readonly htpasswd: string;
  readonly arns: readonly string[];
  /** What makes them: others depend on it. */
  readonly made: Construct;
  readonly handler: LambdaFunction;
}

/** Makes the parameters with the stack. CloudFormation has no resource for a SecureString, so a function does. */
export function createParameters(scope: Construct, settings: Settings, failures: IQueue): Parameters {
  const folder = `/lading/${settings.name}`;
  const [secret, htpasswd] = [`${folder}/secret`, `${folder}/htpasswd`];
  const arnOf = (name: string): string =>
    Stack.of(scope).formatArn({
      service: "ssm",
      resource: "parameter",
      resourceName: name.slice(1),
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
  const arns = [arnOf(secret), arnOf(htpasswd)];
  const handler = createFunction(scope, "SecretsFunction", settings, {
    bundle: "secrets",
    description: "Makes the registry's secret and the parameter of its users, and changes the secret each month.",
    memoryMb: 256,
    timeout: Duration.minutes(2),
    environment: {},
    grants: [
      { sid: "Make", actions: ["ssm:PutParameter"], resources: arns },
      { sid: "Change", actions: ["ssm:GetParameter"], resources: [arnOf(secret)] },
      ...(settings.removal === "destroy" ? [{ sid: "Remove", actions: ["ssm:DeleteParameter"], resources: arns }] : []),
    ],
    failures,
  });
  const made = new CustomResource(scope, "Parameters", {
    serviceToken: handler.functionArn,
    resourceType: "Custom::LadingParameters",
    properties: { Secret: secret, Htpasswd: htpasswd, Removal: settings.removal },
    serviceTimeout: Duration.minutes(5),
  });
  return { secret, htpasswd, arns, made, handler };
}
