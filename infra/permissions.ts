/**
 * What each function may do, written out: which actions on which keys, and why. Patterns are those of
 * `shared/registry/layout.ts`; the calls are those of `shared/storage/s3/bucket.ts`.
 */
import { Stack, Validations } from "aws-cdk-lib";
import { Effect, PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { regionOf } from "./readers.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";

/** One statement of a policy. */
export interface Grant {
  /** Letters and digits. */
  readonly sid: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** Why a resource holds a `*`; needed where one does. */
  readonly because?: string;
  readonly conditions?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const LAYOUT = "docker/registry/v2/";
/** Index of repositories, marks of the collector. */
const [CATALOG, MARKS] = ["_catalog/*", "_gc/*"];
const CONTENT = "The keys are made of the names and digests that clients push.";

/** Serving clients: all but taking bytes away, which is the collector's alone. */
export function registryGrants(storage: Storage, settings: Settings): Grant[] {
  const { keys, inFlight } = places(storage, settings);
  const grants: Grant[] = [
    { sid: "Read", actions: ["s3:GetObject"], resources: keys("*"), because: CONTENT },
    listing(storage),
  ];
  if (!settings.readOnly) {
    grants.push(
      {
        sid: "Write",
        actions: ["s3:PutObject"],
        resources: keys("blobs/*", "repositories/*", CATALOG, MARKS),
        because: CONTENT,
      },
      {
        sid: "GiveUpUploads",
        actions: ["s3:AbortMultipartUpload"],
        resources: [...keys("blobs/*"), ...inFlight],
        because: CONTENT,
      },
      {
        sid: "RemoveEntries",
        actions: ["s3:DeleteObject"],
        // Without deletes nothing is removed but uploads that ended, and entries of the index.
        resources: keys(
          CATALOG,
          ...(settings.deletes
            ? ["repositories/*"]
            : storage.uploads === undefined
              ? ["repositories/*/_uploads/*"]
              : []),
        ),
        because: CONTENT,
      },
    );
    if (storage.uploads !== undefined) {
      grants.push({
        sid: "KeepUploads",
        actions: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        resources: inFlight,
        because: CONTENT,
      });
    }
  }
  return [
    ...grants,
    ...encryption(settings, settings.readOnly ? ["kms:Decrypt"] : ["kms:Decrypt", "kms:GenerateDataKey"]),
  ];
}

/** Collecting: removes what nobody refers to, and what uploads left behind. */
export function collectorGrants(storage: Storage, settings: Settings): Grant[] {
  const { keys, inFlight } = places(storage, settings);
  const uploads = storage.uploads === undefined ? [] : inFlight;
  return [
    { sid: "Read", actions: ["s3:GetObject"], resources: keys("*"), because: CONTENT },
    listing(storage),
    // To say before a collection whether it can be undone.
    { sid: "SeeVersioning", actions: ["s3:GetBucketVersioning"], resources: [storage.bucket.bucketArn] },
    {
      sid: "ListUploads",
      actions: ["s3:ListBucketMultipartUploads"],
      resources: bucketArns(storage),
    },
    { sid: "Mark", actions: ["s3:PutObject"], resources: keys(CATALOG, MARKS), because: CONTENT },
    {
      sid: "Collect",
      actions: ["s3:DeleteObject", "s3:AbortMultipartUpload"],
      resources: [...keys("*"), ...uploads],
      because: CONTENT,
    },
    ...encryption(settings, ["kms:Decrypt", "kms:GenerateDataKey"]),
  ];
}

/** Reading parameters of Parameter Store at run time. */
export function parameterGrants(arns: readonly string[]): Grant[] {
  return [{ sid: "Secrets", actions: ["ssm:GetParameter"], resources: arns }];
}

/** A role for a function: what it may do, and writing its own log. */
export function createRole(scope: Construct, id: string, logGroup: ILogGroup, grants: readonly Grant[]): Role {
  const all: Grant[] = [
    {
      sid: "Log",
      actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
      resources: [logGroup.logGroupArn],
    },
    ...grants,
  ];
  const role = new Role(scope, id, {
    assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
    inlinePolicies: {
      Own: new PolicyDocument({
        minimize: false,
        statements: all.map(({ sid, actions, resources, conditions }) => {
          return new PolicyStatement({
            sid,
            effect: Effect.ALLOW,
            actions: [...actions],
            resources: [...resources],
            ...(conditions === undefined ? {} : { conditions }),
          });
        }),
      }),
    },
  });
  acknowledgePatterns(role, all);
  return role;
}

/** Tells cdk-nag the reason of every pattern among the resources of these statements. */
function acknowledgePatterns(role: Role, grants: readonly Grant[]): void {
  const stack = Stack.of(role);
  for (const { resources, because, sid } of grants) {
    for (const resource of resources) {
      const text = textOf(stack.resolve(resource));
      if (!text.includes("*")) continue;
      if (because === undefined) throw new Error(`the statement ${sid} does not say why it has the pattern ${text}`);
      Validations.of(role).acknowledge({ id: `AwsSolutions-IAM5[Resource::${text}]`, reason: because });
    }
  }
}

/** A resource as cdk-nag writes it: references as `<LogicalId.Attribute>`. */
function textOf(resource: unknown): string {
  if (typeof resource === "string") return resource;
  const [[intrinsic, value] = []] = Object.entries(resource as Record<string, unknown>);
  if (intrinsic === "Ref") return `<${String(value)}>`;
  if (intrinsic === "Fn::GetAtt") return `<${(value as string[]).join(".")}>`;
  if (intrinsic === "Fn::Sub") return String(value).replaceAll("${", "<").replaceAll("}", ">");
  if (intrinsic === "Fn::Join") return (value as [string, unknown[]])[1].map(textOf).join("");
  throw new Error(`a resource of a policy is ${intrinsic ?? "nothing"}, which nobody has needed so far`);
}

/** Keys of the registry in its bucket, and what is in flight, wherever that is. */
function places(
  { bucket, uploads }: Storage,
  { root }: Settings,
): { keys: (...patterns: string[]) => string[]; inFlight: string[] } {
  const layout = `${root === undefined ? "" : `${root}/`}${LAYOUT}`;
  const keys = (...patterns: string[]): string[] =>
    patterns.map((pattern) => bucket.arnForObjects(`${layout}${pattern}`));
  const pattern = "repositories/*/_uploads/*";
  return {
    keys,
    inFlight: uploads === undefined ? keys(pattern) : [uploads.arnForObjects(`${layout}${pattern}`)],
  };
}

/** Of the whole bucket: with a condition on the prefix S3 would say 403, not 404, of a key that does not exist. */
function listing(storage: Storage): Grant {
  return { sid: "List", actions: ["s3:ListBucket"], resources: bucketArns(storage) };
}

function bucketArns({ bucket, uploads }: Storage): string[] {
  return [bucket.bucketArn, ...(uploads === undefined ? [] : [uploads.bucketArn])];
}

/** Only as S3 asks for it. */
function encryption({ kmsKeyArn }: Settings, actions: readonly string[]): Grant[] {
  if (kmsKeyArn === undefined) return [];
  const conditions = { StringEquals: { "kms:ViaService": `s3.${regionOf(kmsKeyArn)}.amazonaws.com` } };
  return [{ sid: "Encryption", actions, resources: [kmsKeyArn], conditions }];
}
