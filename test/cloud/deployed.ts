/**
 * The stack on this machine: what `cdk synth` wrote, started as it would be deployed, each function held to its own role.
 * What differs: the store is one of versitygw, parameters are kept by a server of ours, there is no TLS, and processes are
 * not limited in memory (what they took is looked at instead).
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { startParameterServer, type ParameterServer } from "../support/parameter-server.ts";
import type { S3Server } from "../support/s3-servers.ts";
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
  /** Calls the collector as the schedule does. Throws what it throws. */
  collect(): Promise<void>;
}

let synthesized: string | undefined;

/** Synthesizes the stack as it is without settings, or with these, into a folder below reports/. Gives the folder. */
export function synthesize(context: readonly string[] = [], name = "cdk.out"): string {
  const folder = path.resolve("reports", name);
  if (name === "cdk.out" && synthesized !== undefined) return synthesized;
  execFileSync(
    process.execPath,
    ["node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--output", folder, ...context.flatMap((one) => ["-c", one])],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  if (name === "cdk.out") synthesized = folder;
  return folder;
}

export interface DeployedOptions {
  readonly store: S3Server;
  /** What `synthesize` gave. */
  readonly folder: string;
  readonly ports?: { readonly api: number; readonly uploads: number };
  /** More for both functions that answer clients. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Makes the buckets and the parameters, and starts the functions. */
export async function startDeployed({ store, folder, ports, env = {} }: DeployedOptions): Promise<DeployedCloud> {
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
    const plain = Object.entries(environment).map(([name, value]) => [name, value.replace("https://", "http://")]);
    return {
      ...(Object.fromEntries(plain) as Record<string, string>),
      ...here(which),
      REGISTRY_STORAGE_S3_REGION: store.region,
      ...env,
    };
  };
  await makeParameters(deployment, parameters);
  const cloud = await startFunctions({
    ...(ports === undefined ? {} : { ports }),
    registry: { ...partsOf(deployment.registry), env: (host) => variablesOf("registry", host) },
    uploads: { ...partsOf(deployment.uploads), env: (host) => variablesOf("uploads", host) },
  });
  const collector = createEventFunction({
    node: lambdaNode().node,
    bundle: `${deployment.collector.bundle}/index.mjs`,
    env: { ...deployment.collector.environment, ...here("collector"), REGISTRY_STORAGE_S3_REGION: store.region },
    concurrency: 1,
  });
  const htpasswd = String(deployment.parameters["Htpasswd"]);
  return {
    ...cloud,
    deployment,
    policies,
    parameters,
    buckets,
    addUser: (line) => {
      parameters.texts.set(htpasswd, `${parameters.texts.get(htpasswd) ?? ""}${line}\n`);
    },
    collect: async () => {
      await collector.invoke("{}");
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
