/** What `cdk deploy` would deploy, read from what `cdk synth` writes: bundles, variables, limits, roles, routes. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Statement } from "./policy.ts";

export interface DeployedFunction {
  /** The folder that would be zipped. */
  readonly bundle: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Undefined where AWS decides. */
  readonly memoryMb: number | undefined;
  readonly statements: readonly Statement[];
}

export interface Deployment {
  readonly registry: DeployedFunction;
  readonly uploads: DeployedFunction;
  readonly collector: DeployedFunction;
  readonly secrets: DeployedFunction;
  /** Of the HTTP API, such as `$default` or `ANY /v2/{proxy+}`. */
  readonly routes: readonly string[];
  /** What the secrets function is called with when the stack is made. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** What things are called on this machine: buckets, and the host of the upload function. */
export interface LocalNames {
  readonly storage: string;
  readonly uploads: string;
  readonly uploadHost: string;
  readonly region: string;
}

interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly Metadata?: Readonly<Record<string, string>>;
}

/** Reads the one stack of a folder that synthesis wrote. */
export function readDeployment(folder: string, names: LocalNames, stack = "lading-registry"): Deployment {
  const text = readFileSync(path.join(folder, `${stack}.template.json`), "utf8");
  const { Resources: resources } = JSON.parse(text) as { Resources: Record<string, Resource> };
  const find = (type: string, begins: string): [id: string, resource: Resource] => {
    const found = Object.entries(resources).find(([id, { Type }]) => Type === type && id.startsWith(begins));
    if (found === undefined) throw new Error(`the template has no ${type} called ${begins}…`);
    return found;
  };
  const resolve = (value: unknown): unknown => resolveIn(value, resources, names);
  const roleOf = (reference: unknown): Statement[] => {
    const [id] = (reference as { "Fn::GetAtt": [string, string] })["Fn::GetAtt"];
    const role = resolve(resources[id]?.Properties) as {
      Policies: { PolicyDocument: { Statement: Record<string, unknown>[] } }[];
    };
    return role.Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).map((statement) => {
      const { Sid, Effect, Action, Resource } = statement;
      if (Effect !== "Allow" || (statement["Condition"] !== undefined && Sid !== "Encryption")) {
        throw new Error(`nobody has said how to judge the statement ${JSON.stringify(statement)}`);
      }
      return { sid: String(Sid), actions: [Action].flat() as string[], resources: [Resource].flat() as string[] };
    });
  };
  const eventFunction = (begins: string): DeployedFunction => {
    const [, { Properties, Metadata }] = find("AWS::Lambda::Function", begins);
    const { Environment, Timeout, MemorySize, Role, Handler } = Properties;
    if (Handler !== "index.handler") throw new Error(`${begins} has the handler ${String(Handler)}`);
    return {
      bundle: path.join(folder, Metadata?.["aws:asset:path"] ?? ""),
      environment: resolve((Environment as { Variables?: unknown } | undefined)?.Variables ?? {}) as Record<
        string,
        string
      >,
      timeoutMs: Number(Timeout) * 1000,
      memoryMb: Number(MemorySize),
      statements: roleOf(Role),
    };
  };
  const webFunction = (): DeployedFunction => {
    const { ServiceConfig } = find("AWS::Lambda::WebFunctionRevision", "UploadFunction")[1].Properties;
    const { EnvironmentVariables, ExecutionRoleArn, TimeoutSeconds } = ServiceConfig as Record<string, unknown>;
    const copied = find("Custom::S3ObjectCopy", "UploadFunction")[1].Properties["SourceObjectKey"];
    return {
      bundle: path.join(folder, `asset.${String(copied).replace(/\.zip$/, "")}`),
      environment: resolve(EnvironmentVariables) as Record<string, string>,
      timeoutMs: Number(TimeoutSeconds) * 1000,
      memoryMb: undefined,
      statements: roleOf(ExecutionRoleArn),
    };
  };
  return {
    registry: eventFunction("RegistryFunction"),
    uploads: webFunction(),
    collector: eventFunction("CollectorFunction"),
    secrets: eventFunction("SecretsFunction"),
    routes: Object.values(resources)
      .filter(({ Type }) => Type === "AWS::ApiGatewayV2::Route")
      .map(({ Properties }) => String(Properties["RouteKey"])),
    parameters: resolve(find("Custom::LadingParameters", "")[1].Properties) as Record<string, unknown>,
  };
}

/** A value without CloudFormation's functions. Throws for one that means nothing here. */
function resolveIn(value: unknown, resources: Record<string, Resource>, names: LocalNames): unknown {
  const resolve = (inner: unknown): unknown => resolveIn(inner, resources, names);
  if (Array.isArray(value)) return value.map(resolve);
  if (typeof value !== "object" || value === null) return value;
  const record = value as Record<string, unknown>;
  const [only, ...more] = Object.keys(record);
  if (more.length > 0 || only === undefined || !(only === "Ref" || only.startsWith("Fn::"))) {
    return Object.fromEntries(Object.entries(record).map(([key, inner]) => [key, resolve(inner)]));
  }
  const argument = record[only];
  if (only === "Fn::Join") {
    const [separator, parts] = argument as [string, unknown[]];
    return parts.map((part) => String(resolve(part))).join(separator);
  }
  if (only === "Fn::Sub") {
    return String(argument).replace(/\$\{([^}]+)\}/g, (_, name: string) => attribute(name, "Ref"));
  }
  if (only === "Ref") return attribute(String(argument), "Ref");
  if (only === "Fn::GetAtt") return attribute(...(argument as [string, string]));
  throw new Error(`nobody has said what ${only} means here`);

  function attribute(id: string, name: string): string {
    const pseudo: Record<string, string> = {
      "AWS::Region": names.region,
      "AWS::AccountId": "123456789012",
      "AWS::Partition": "aws",
      "AWS::URLSuffix": "amazonaws.com",
    };
    if (pseudo[id] !== undefined) return pseudo[id];
    const type = resources[id]?.Type;
    if (type === "AWS::S3::Bucket") {
      const bucket = id.startsWith("Uploads")
        ? names.uploads
        : id.startsWith("Storage")
          ? names.storage
          : id.toLowerCase();
      return name === "Arn" ? `arn:aws:s3:::${bucket}` : bucket;
    }
    if (type === "AWS::Lambda::WebFunctionEndpoint" && name === "DomainName") return names.uploadHost;
    // What is only named, and by nothing that is started here.
    return `arn:aws:local:${names.region}:123456789012:${id}.${name}`;
  }
}
