/** Everything that AWS would run, on this machine: the functions as they are bundled, behind what would stand before them. */
import { randomBytes } from "node:crypto";
import { freePort } from "../support/free-port.ts";
import { bucketSection, type Bucket } from "../support/lading.ts";
import { startDaemon } from "../support/process.ts";
import { nodeTool } from "../support/tools.ts";
import { GATEWAY_LIMITS, startApiGateway, type ApiGateway } from "./api-gateway.ts";
import { createEventFunction, type EventFunction } from "./event-function.ts";
import { HOSTNAMES, knowNames, withName } from "./names.ts";
import { startWebGateway, WEB_LIMITS } from "./web-gateway.ts";

export interface CloudOptions {
  /** What both functions keep everything in. Its server must be on 127.0.0.1. */
  readonly bucket: Bucket;
  /** `REGISTRY_*` for both functions. */
  readonly env?: Readonly<Record<string, string>>;
  /** Processes of the event function. Default 10, as new accounts have. */
  readonly concurrency?: number;
  /** Ports that the addresses end in; 0, the default, for any that is free. */
  readonly ports?: { readonly api: number; readonly uploads: number };
}

export interface Cloud {
  /** Host and port of the control plane, behind API Gateway. */
  readonly api: string;
  /** Host and port of the upload function. */
  readonly uploads: string;
  readonly gateway: ApiGateway;
  readonly events: EventFunction;
  /** What the upload function has written. */
  readonly uploadLines: readonly string[];
  close(): Promise<void>;
}

/** The Node that Lambda would run, or the one that runs, and why. */
export function lambdaNode(): { readonly node: string; readonly notice?: string } {
  try {
    return { node: nodeTool() };
  } catch (error) {
    return { node: process.execPath, notice: `runs Node ${process.version} and not Lambda's: ${String(error)}` };
  }
}

/** Starts it from dist/functions, which must be built. Throws with a sentence where the names cannot be made known. */
export async function startCloud({ bucket: { access, name }, env = {}, ...options }: CloudOptions): Promise<Cloud> {
  const endpoint = withName(access.endpoint, HOSTNAMES.store);
  const both = {
    ...variables("REGISTRY_STORAGE_S3", bucketSection({ access: { ...access, endpoint }, name })),
    REGISTRY_STORAGE_DELETE_ENABLED: "true",
    REGISTRY_HTTP_SECRET: randomBytes(32).toString("hex"),
    ...env,
  };
  return await startFunctions({
    ...options,
    registry: {
      bundle: "dist/functions/registry",
      env: (uploads) => ({ REGISTRY_HTTP_UPLOADS_HOST: `http://${uploads}`, ...both }),
    },
    uploads: { bundle: "dist/functions/uploads", env: () => both },
  });
}

/** A function: the folder that would be zipped, and its variables once the host for uploads is known. */
export interface FunctionParts {
  readonly bundle: string;
  readonly env: (uploadHost: string) => Readonly<Record<string, string>>;
  /** How long a call may take. Default: as long as what is in front waits. */
  readonly timeoutMs?: number;
}

/** Both functions, and how they are reached. */
export interface FunctionsOptions extends Pick<CloudOptions, "concurrency" | "ports"> {
  readonly registry: FunctionParts;
  readonly uploads: FunctionParts;
}

/** Starts both functions behind what would stand before them. */
export async function startFunctions({
  registry,
  uploads,
  concurrency = 10,
  ports = { api: 0, uploads: 0 },
}: FunctionsOptions): Promise<Cloud> {
  await knowNames();
  const { node } = lambdaNode();
  // Lambda tells a function its port in a variable, so it cannot choose one itself.
  const [backend, uploadPort] = [await freePort(), ports.uploads || (await freePort())];
  const uploadHost = `${HOSTNAMES.uploads}:${uploadPort}`;
  const uploadFunction = await startDaemon([node, `${uploads.bundle}/index.js`], {
    env: { ...uploads.env(uploadHost), AWS_LAMBDA_HTTP_ENDPOINT: `127.0.0.1:${backend}` },
    ready: async () =>
      await fetch(`http://127.0.0.1:${backend}/`).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  const web = await startWebGateway(backend, {
    hostname: HOSTNAMES.uploads,
    port: uploadPort,
    limits: { ...WEB_LIMITS, requestMs: uploads.timeoutMs ?? WEB_LIMITS.requestMs },
  });
  const events = createEventFunction({
    node,
    bundle: `${registry.bundle}/index.mjs`,
    env: registry.env(uploadHost),
    concurrency,
  });
  const gateway = await startApiGateway(events.invoke, {
    hostname: HOSTNAMES.api,
    port: ports.api,
    limits: {
      ...GATEWAY_LIMITS,
      integrationMs: Math.min(GATEWAY_LIMITS.integrationMs, registry.timeoutMs ?? Infinity),
    },
  });
  return {
    api: `${HOSTNAMES.api}:${gateway.port}`,
    uploads: uploadHost,
    gateway,
    events,
    uploadLines: uploadFunction.lines,
    close: async () => {
      await gateway.close();
      await web.close();
      await events.close();
      await uploadFunction.stop();
    },
  };
}

/** A section of the configuration as the variables that set its keys. */
function variables(section: string, keys: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [`${section}_${key.toUpperCase()}`, String(value)]),
  );
}
