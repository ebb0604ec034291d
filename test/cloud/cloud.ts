/** Everything that AWS would run, on this machine: the functions as they are bundled, behind what would stand before them. */
import { createServer } from "node:net";
import path from "node:path";
import { startDaemon } from "../support/process.ts";
import { nodeTool } from "../support/tools.ts";
import { startApiGateway, type ApiGateway } from "./api-gateway.ts";
import { createEventFunction, type EventFunction } from "./event-function.ts";
import { startWebGateway } from "./web-gateway.ts";

export interface CloudOptions {
  /** What both functions keep their images in; a bucket once there is a driver for one. */
  readonly folder: string;
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

/** Where the two are found. Whoever wants to use the names has to see to it that they mean 127.0.0.1. */
export const HOSTNAMES = { api: "registry.lading.localhost", uploads: "uploads.lading.localhost" } as const;

/** The Node that Lambda would run, or the one that runs, and why. */
export function lambdaNode(): { readonly node: string; readonly notice?: string } {
  try {
    return { node: nodeTool() };
  } catch (error) {
    return { node: process.execPath, notice: `runs Node ${process.version} and not Lambda's: ${String(error)}` };
  }
}

/** Starts it from dist/functions, which must be built. */
export async function startCloud({
  folder,
  env = {},
  concurrency = 10,
  ports = { api: 0, uploads: 0 },
}: CloudOptions): Promise<Cloud> {
  const { node } = lambdaNode();
  const both = {
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: path.resolve(folder),
    REGISTRY_STORAGE_DELETE_ENABLED: "true",
    ...env,
  };
  const events = createEventFunction({ node, bundle: "dist/functions/registry/index.mjs", env: both, concurrency });
  const gateway = await startApiGateway(events.invoke, { hostname: HOSTNAMES.api, port: ports.api });

  const backend = await freePort();
  const uploadFunction = await startDaemon([node, "dist/functions/uploads/index.js"], {
    env: { ...both, AWS_LAMBDA_HTTP_ENDPOINT: `127.0.0.1:${backend}` },
    ready: async () =>
      await fetch(`http://127.0.0.1:${backend}/`).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  const web = await startWebGateway(backend, { hostname: HOSTNAMES.uploads, port: ports.uploads });
  return {
    api: `${HOSTNAMES.api}:${gateway.port}`,
    uploads: `${HOSTNAMES.uploads}:${web.port}`,
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

/** Lambda tells a function its port in a variable, so it cannot choose one itself. */
async function freePort(): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
