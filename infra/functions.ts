/** The functions, with the very bundles that the build makes and the tests run. */
import path from "node:path";
import { Aws, Duration, RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  Architecture,
  Code,
  Function as LambdaFunction,
  LoggingFormat,
  Runtime,
  WebFunction,
  WebFunctionAuthType,
  WebFunctionCode,
  WebFunctionRuntime,
  type FunctionProps,
} from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import type { IQueue } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { createRole, type Grant } from "./permissions.ts";
import type { Settings } from "./settings.ts";
import { makeBucket, privately } from "./storage.ts";

/** Where `bin/build.js` leaves a folder for each function. */
const BUNDLES = "dist/functions";

/** Functions are told nothing but by their environment. */
export type Environment = Readonly<Record<string, string>>;

/** What a function of Lambda's usual kind is made of. */
export interface FunctionParts {
  /** Name of its folder among the bundles. */
  readonly bundle: string;
  readonly description: string;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly environment: Environment;
  readonly grants: readonly Grant[];
  /** Where an event goes that failed twice; for functions that nobody waits for. */
  readonly failures?: IQueue;
}

/** A function that is called with events, with its log and its role. `id` is in upper camel case. */
export function createFunction(
  scope: Construct,
  id: string,
  settings: Settings,
  { bundle, description, memoryMb, timeout, environment, grants, failures }: FunctionParts,
): LambdaFunction {
  const logGroup = createLog(scope, `${id}Log`, settings);
  const all: Grant[] = [...grants];
  if (failures !== undefined) {
    all.push({ sid: "TellFailures", actions: ["sqs:SendMessage"], resources: [failures.queueArn] });
  }
  const props: FunctionProps = {
    description,
    code: Code.fromAsset(path.join(BUNDLES, bundle)),
    handler: "index.handler",
    runtime: Runtime.NODEJS_24_X,
    architecture: Architecture.ARM_64,
    memorySize: memoryMb,
    timeout,
    environment: { ...environment },
    role: createRole(scope, `${id}Role`, logGroup, all).withoutPolicyUpdates(),
    logGroup,
    // The functions' own lines are JSON already: Lambda would wrap them once more.
    loggingFormat: LoggingFormat.TEXT,
    ...(failures === undefined ? {} : { deadLetterQueue: failures, retryAttempts: 1 }),
  };
  return new LambdaFunction(scope, id, props);
}

/** The upload function, and its log. */
export interface UploadFunction {
  readonly uploads: WebFunction;
  readonly log: LogGroup;
}

/**
 * Makes the upload function: an HTTP server behind a name of AWS's. Its name is given to its revision and endpoint as it is: with
 * the ARN, which the construct would give, CloudFormation cannot read the endpoint back.
 */
export function createUploadFunction(
  scope: Construct,
  settings: Settings,
  { environment, grants }: Pick<FunctionParts, "environment" | "grants">,
): UploadFunction {
  const name = `lading-${settings.name}-uploads`;
  const logGroup = createLog(scope, "UploadFunctionLog", settings);
  const role = createRole(scope, "UploadFunctionRole", logGroup, [
    ...grants,
    {
      // Lambda keeps what each region wrote in a group of its own beside the one that was asked for.
      sid: "LogOfRegion",
      actions: ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
      resources: [
        `arn:${Aws.PARTITION}:logs:${Aws.REGION}:${Aws.ACCOUNT_ID}:log-group:${logGroup.logGroupName}.local:*`,
      ],
      because: "Lambda names the streams of the function's own log group.",
    },
  ]);
  const uploads = new WebFunction(scope, "UploadFunction", {
    webFunctionName: name,
    code: webFunctionCode(scope, settings),
    runtime: WebFunctionRuntime.NODEJS_24_X,
    environment: { ...environment },
    role: role.withoutPolicyUpdates(),
    logGroup,
    // The most there is: the last PUT of a layer brings all its bytes.
    timeout: Duration.seconds(900),
    defaultEndpointAuth: WebFunctionAuthType.APPLICATION_MANAGED,
  });
  uploads.resourceRevision.functionName = name;
  uploads.endpoint.resource.functionName = name;
  Validations.of(uploads.endpoint).acknowledge({
    id: "Annotation::@aws-cdk/aws-lambda:webFunctionPublicEndpoint",
    reason: "The registry signs its clients in, and takes nothing without it but signed addresses.",
  });
  return { uploads, log: logGroup };
}

/**
 * A Web Function reads its code at each start from a versioned bucket that Lambda may read. The construct copies it there
 * from the bucket of the CDK's assets, with a function of its own, whose role is ours: its own would have patterns of actions.
 */
function webFunctionCode(scope: Construct, settings: Settings): WebFunctionCode {
  const folder = path.join(BUNDLES, "uploads");
  const asset = new Asset(scope, "UploadBundle", { path: folder });
  const bucket = makeBucket(scope, "Code", {
    ...privately({ ...settings, removal: "retain" }),
    removalPolicy: RemovalPolicy.DESTROY,
    versioned: true,
  });
  const logGroup = createLog(scope, "CodeCopyLog", settings);
  const role = createRole(scope, "CodeCopyRole", logGroup, [
    { sid: "ReadBundle", actions: ["s3:GetObject"], resources: [asset.bucket.arnForObjects(asset.s3ObjectKey)] },
    {
      sid: "KeepBundle",
      actions: ["s3:PutObject", "s3:DeleteObjectVersion"],
      resources: [bucket.arnForObjects("web-function/*")],
      because: "The construct names the objects after their content.",
    },
  ]);
  return WebFunctionCode.fromAssetToProvidedBucket(bucket, folder, {
    copyOptions: { role: role.withoutPolicyUpdates(), logGroup },
  });
}

/** A log that is kept as long as the settings say. */
export function createLog(scope: Construct, id: string, { logDays, removal }: Settings): LogGroup {
  return new LogGroup(scope, id, {
    retention: logDays,
    removalPolicy: removal === "retain" ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
}
