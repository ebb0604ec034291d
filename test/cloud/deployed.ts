/**
 * The stack on this machine: what `cdk synth` wrote, started as it would be deployed, each function held to its own role.
 * What differs: the store is one of versitygw, parameters are kept by a server of ours, there is no TLS, and processes are
 * not limited in memory (what they took is looked at instead).
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { startParameterServer, type ParameterServer } from "../support/parameter-server.ts";
import type { S3Operation } from "../support/s3-operation.ts";
import type { S3Server } from "../support/s3-servers.ts";
import { CDK_OUT } from "../support/synthesize.ts";
import { lambdaNode, startFunctions, type Cloud } from "./cloud.ts";
import { readDeployment, type DeployedFunction, type Deployment } from "./deployment.ts";
import { createEventFunction } from "./event-function.ts";
import { startGuardedStore, type GuardedStore } from "./guarded-store.ts";
import { HOSTNAMES } from "./names.ts";
import { Policy } from "./policy.ts";

/** The functions of the stack that ask the store. */
export type Asking = "registry" | "uploads" | "collector";

export interface DeployedCloud extends Cloud {
  readonly deployment: Deployment;
  /** What each function may do, and what of it was needed so far. */
  readonly policies: Readonly<Record<Asking, Policy>>;
  readonly parameters: ParameterServer;
  /** Names of the buckets. */
  readonly buckets: { readonly storage: string; readonly uploads: string };
  /** Adds a line to the users' parameter. It is read within a minute. */
  addUser(line: string): void;
  /** Has the store answer one request of a function's with an error. */
  refuseOnce(which: Asking, operation: S3Operation): void;
  /**
   * Calls the collector as the schedule does; gives what it logged. Throws that where it fails. `timeoutMs`: the time that it
   * is told it has, that of the stack unless said.
   */
  collect(timeoutMs?: number): Promise<string>;
}

export interface DeployedOptions {
  readonly store: S3Server;
  /** Lines of htpasswd; nobody is signed in where it is undefined, which no deployment is. Default: none. */
  readonly users?: readonly string[] | undefined;
  readonly ports?: { readonly api: number; readonly uploads: number };
  /** More for the functions that answer clients, and for the collector. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Makes the buckets and the parameters, and starts the functions. */
export async function startDeployed({ store, ports, env = {}, ...options }: DeployedOptions): Promise<DeployedCloud> {
  const folder = CDK_OUT;
  const { users } = { users: [], ...options };
  const buckets = { storage: await store.freshBucket(), uploads: await store.freshBucket() };
  const namesWith = (uploadHost: string): Parameters<typeof readDeployment>[1] => ({
    ...buckets,
    uploadHost,
    region: "eu-central-1",
  });
  const deployment = readDeployment(folder, namesWith("uploads.invalid"));
  if (deployment.routes.join() !== "$default") throw new Error(`the shim knows no routes: ${deployment.routes.join()}`);
  const parameters = await startParameterServer();
  const policies = {
    registry: new Policy(deployment.registry.statements),
    uploads: new Policy(deployment.uploads.statements),
    collector: new Policy(deployment.collector.statements),
  };
  const guards: Record<Asking, GuardedStore> = {
    registry: await startGuardedStore(store.endpoint, policies.registry),
    uploads: await startGuardedStore(store.endpoint, policies.uploads),
    collector: await startGuardedStore(store.endpoint, policies.collector),
  };
  /** Where AWS's own addresses lead on this machine. */
  const here = (which: Asking): Record<string, string> => ({
    ...parameters.env,
    REGISTRY_STORAGE_S3_REGIONENDPOINT: `http://${HOSTNAMES.store}:${guards[which].port}`,
    REGISTRY_STORAGE_S3_FORCEPATHSTYLE: "true",
    REGISTRY_STORAGE_S3_ACCESSKEY: store.accessKeyId,
    REGISTRY_STORAGE_S3_SECRETKEY: store.secretAccessKey,
  });
  const variablesOf = (which: "registry" | "uploads", uploadHost: string): Record<string, string> => {
    const { environment } = readDeployment(folder, namesWith(uploadHost))[which];
    const plain = Object.entries(environment)
      .filter(([name]) => users !== undefined || !name.startsWith("REGISTRY_AUTH"))
      .map(([name, value]) => [name, value.replace("https://", "http://")]);
    return {
      ...(Object.fromEntries(plain) as Record<string, string>),
      ...here(which),
      REGISTRY_STORAGE_S3_REGION: store.region,
      ...env,
    };
  };
  await makeParameters(deployment, parameters);
  const htpasswd = String(deployment.parameters["Htpasswd"]);
  const addUser = (line: string): void => {
    parameters.texts.set(htpasswd, `${parameters.texts.get(htpasswd) ?? ""}${line}\n`);
  };
  users?.forEach(addUser);
  const cloud = await startFunctions({
    ...(ports === undefined ? {} : { ports }),
    registry: { ...partsOf(deployment.registry), env: (host) => variablesOf("registry", host) },
    uploads: { ...partsOf(deployment.uploads), env: (host) => variablesOf("uploads", host) },
  });
  const collector = createEventFunction({
    node: lambdaNode().node,
    bundle: `${deployment.collector.bundle}/index.mjs`,
    env: {
      ...deployment.collector.environment,
      ...here("collector"),
      REGISTRY_STORAGE_S3_REGION: store.region,
      ...env,
    },
    concurrency: 1,
  });
  return {
    ...cloud,
    deployment,
    policies,
    parameters,
    buckets,
    addUser,
    refuseOnce: (which, operation) => guards[which].refuseOnce(operation),
    collect: async (timeoutMs = deployment.collector.timeoutMs) => {
      const before = collector.lines.length;
      await collector.invoke("{}", timeoutMs).catch((error: unknown) => {
        throw new Error(collector.lines.slice(before).join("\n"), { cause: error });
      });
      return collector.lines.slice(before).join("\n");
    },
    close: async () => {
      await cloud.close();
      await collector.close();
      await parameters.close();
      for (const guard of Object.values(guards)) await guard.close();
    },
  };
}

function partsOf({ bundle, timeoutMs }: DeployedFunction): { bundle: string; timeoutMs: number } {
  return { bundle, timeoutMs };
}

/** Calls the secrets function as CloudFormation does when the stack is made, and takes its answer. */
async function makeParameters({ secrets, parameters }: Deployment, server: ParameterServer): Promise<void> {
  const cloudFormation = createServer().listen(0, "127.0.0.1");
  await once(cloudFormation, "listening");
  const answered = new Promise<{ Status: string; Reason?: string }>((resolve) =>
    cloudFormation.once("request", (incoming, outgoing) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.once("end", () => {
        outgoing.end();
        resolve(JSON.parse(Buffer.concat(chunks).toString()) as { Status: string });
      });
    }),
  );
  const made = createEventFunction({
    node: lambdaNode().node,
    bundle: `${secrets.bundle}/index.mjs`,
    env: { ...secrets.environment, ...server.env },
    concurrency: 1,
  });
  try {
    await made.invoke(
      JSON.stringify({
        RequestType: "Create",
        ResponseURL: `http://127.0.0.1:${(cloudFormation.address() as AddressInfo).port}/`,
        StackId: "stack",
        RequestId: "request",
        LogicalResourceId: "Parameters",
        ResourceProperties: parameters,
      }),
    );
    const { Status, Reason } = await answered;
    if (Status !== "SUCCESS") throw new Error(`the parameters could not be made: ${Reason ?? ""}`);
  } finally {
    await made.close();
    cloudFormation.close();
  }
}
