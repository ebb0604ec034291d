/** The whole of a registry on AWS. Nothing in it is billed by the hour. */
import { Aws, CfnOutput, Duration, RemovalPolicy, Stack, Validations, type StackProps } from "aws-cdk-lib";
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";
import type { Construct } from "constructs";
import { createAlarms } from "./alarms.ts";
import { createDashboard } from "./dashboard.ts";
import { connect, createApi, createFrontDoor, mapDomain } from "./front-door.ts";
import { createFunction, createUploadFunction, type Environment } from "./functions.ts";
import { createParameters, type Parameters } from "./parameters.ts";
import { collectorGrants, parameterGrants, registryGrants } from "./permissions.ts";
import { ruleEnvironment } from "./rules.ts";
import { createSchedule } from "./schedules.ts";
import type { Settings } from "./settings.ts";
import { createStorage, type Storage } from "./storage.ts";

/** Lambda gives a whole processor from here on: a password is checked in a third of the time that 512 MB take. */
const ONE_PROCESSOR_MB = 1769;
/** Less than API Gateway waits, so that it is the function that says what took so long. */
const EVENT_TIMEOUT = Duration.seconds(29);
/** The first of the month, at four in the morning. */
const MONTHLY = "cron(0 4 1 * ? *)";
/** Events that failed are kept as long as a queue can. */
const KEPT = Duration.days(14);

/** A registry: buckets, functions, what is in front of them, and what watches over them. */
export class RegistryStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, props);
    const storage = createStorage(this, settings);
    const failures = createFailures(this);
    const parameters = createParameters(this, settings, failures);
    const storageVariables = storageEnvironment(storage, settings);
    const serving: Environment = { ...storageVariables, ...signInEnvironment(parameters, settings) };
    const servingGrants = [...registryGrants(storage, settings), ...parameterGrants(parameters.arns)];

    const { uploads, log: uploadLog } = createUploadFunction(this, settings, {
      environment: {
        ...serving,
        ...(settings.downloads === "cloudfront" ? { REGISTRY_STORAGE_REDIRECT_DISABLE: "true" } : {}),
      },
      grants: servingGrants,
    });
    const uploadHost = uploads.endpoint.domainName;
    const api = createApi(this);
    const door = createFrontDoor(this, api, uploadHost, settings);
    const oneName = settings.domain !== undefined || door.distribution !== undefined;
    const registry = createFunction(this, "RegistryFunction", settings, {
      bundle: "registry",
      description: "Answers clients of the registry, all but the bodies of large uploads.",
      memoryMb: ONE_PROCESSOR_MB,
      timeout: EVENT_TIMEOUT,
      environment: {
        ...serving,
        REGISTRY_HTTP_UPLOADS_HOST: `https://${door.distribution === undefined ? uploadHost : door.host}`,
        ...(oneName ? { REGISTRY_HTTP_HOST: `https://${door.host}` } : {}),
      },
      grants: servingGrants,
    });
    const stage = connect(this, api, registry, settings);
    const target = door.target ?? mapDomain(this, api, stage, settings);
    const gc = createFunction(this, "CollectorFunction", settings, {
      bundle: "gc",
      description: "Removes what nobody refers to, and what uploads left behind.",
      memoryMb: ONE_PROCESSOR_MB,
      timeout: Duration.minutes(15),
      environment: storageVariables,
      grants: collectorGrants(storage, settings),
      failures,
    });
    for (const reader of [registry, uploads.resourceRevision]) reader.node.addDependency(parameters.made);

    createSchedule(this, "Collect", {
      target: gc,
      expression: settings.gcSchedule,
      timeZone: settings.gcTimeZone,
      enabled: !settings.readOnly,
      input: {},
      failures,
    });
    createSchedule(this, "ChangeSecret", {
      target: parameters.handler,
      expression: MONTHLY,
      timeZone: settings.gcTimeZone,
      enabled: true,
      input: { rotate: true, secret: parameters.secret },
      failures,
    });
    const watched = { api: api.api, registry, uploads, gc, failures };
    const alarms = createAlarms(this, settings, watched);
    createDashboard(this, {
      ...watched,
      alarms,
      bucket: storage.bucket,
      ...(storage.uploads === undefined ? {} : { uploadsBucket: storage.uploads }),
      registryLog: registry.logGroup,
      uploadLog,
    });
    this.#tell({ door, target, uploadHost, storage, parameters });
  }

  /** Outputs, as they can be pasted. */
  #tell({
    door,
    target,
    uploadHost,
    storage,
    parameters,
  }: {
    door: { host: string };
    target: string | undefined;
    uploadHost: string;
    storage: Storage;
    parameters: Parameters;
  }): void {
    const output = (id: string, description: string, value: string): void => {
      new CfnOutput(this, id, { description, value });
    };
    output("Registry", "The registry's host", door.host);
    output("UploadHost", "Takes layers of any size, from every client, under this name too", uploadHost);
    output("Bucket", "Where the images are", storage.bucket.bucketName);
    output("Login", "Sign in", `docker login ${door.host}`);
    output("AddUser", "Add a user, in the clone: asks for a password", addUser(parameters.htpasswd));
    if (target !== undefined) output("DnsTarget", "What the name's CNAME or alias record has to lead to", target);
  }
}

/** For the clone that the stack was deployed from: `npm ci` has built the command there. */
function addUser(parameter: string): string {
  return `node dist/lading.js users add NAME --parameter ${parameter} --region ${Aws.REGION}`;
}

/** Which bucket, and how it is used: what each function is told. */
function storageEnvironment({ bucket, uploads }: Storage, settings: Settings): Environment {
  const { root, kmsKeyArn, deletes, readOnly, gcGrace, bucket: existing } = settings;
  return {
    REGISTRY_STORAGE_S3_BUCKET: bucket.bucketName,
    REGISTRY_STORAGE_S3_REGION: existing?.region ?? Aws.REGION,
    ...(root === undefined ? {} : { REGISTRY_STORAGE_S3_ROOTDIRECTORY: root }),
    ...(uploads === undefined ? {} : { REGISTRY_STORAGE_S3_UPLOADSBUCKET: uploads.bucketName }),
    ...(kmsKeyArn === undefined ? {} : { REGISTRY_STORAGE_S3_ENCRYPT: "true", REGISTRY_STORAGE_S3_KEYID: kmsKeyArn }),
    REGISTRY_STORAGE_DELETE_ENABLED: String(deletes),
    REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: String(readOnly),
    // Of those that promise as of the one that keeps it.
    REGISTRY_STORAGE_MAINTENANCE_GC_GRACE: gcGrace,
    ...ruleEnvironment(settings),
  };
}

/** Who may come in: what the functions are told that answer clients. */
function signInEnvironment({ secret, htpasswd }: Parameters, { anonymousPull }: Settings): Environment {
  return {
    REGISTRY_HTTP_SECRET: `ssm:${secret}`,
    REGISTRY_AUTH_HTPASSWD_REALM: "Lading",
    REGISTRY_AUTH_HTPASSWD_PATH: `ssm:${htpasswd}`,
    ...(anonymousPull ? { REGISTRY_AUTH_ANONYMOUS: "pull" } : {}),
  };
}

/** Where events go that were given up. */
function createFailures(scope: Construct): Queue {
  const queue = new Queue(scope, "Failures", {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: KEPT,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  Validations.of(queue).acknowledge({
    id: "AwsSolutions-SQS3",
    reason: "It is the dead-letter queue of the others; an alarm says when something is in it.",
  });
  return queue;
}
