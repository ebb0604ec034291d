/** A store as one function sees it: each request is let through only where the function's role allows it, as S3 decides. */
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { operationOf, type S3Operation } from "../support/s3-operation.ts";
import type { Need, Policy } from "./policy.ts";

export interface GuardedStore {
  readonly port: number;
  /** Answers the next request of this kind with an error that is not tried again. */
  refuseOnce(operation: S3Operation): void;
  close(): Promise<void>;
}

/** With these a store at an address of its own is asked what it promises; Amazon S3 is not, so no role has to allow it. */
const PROBES = ".lading/probes/";

const OBJECT: Partial<Record<S3Operation, readonly string[]>> = {
  GetObject: ["s3:GetObject"],
  HeadObject: ["s3:GetObject"],
  PutObject: ["s3:PutObject"],
  CopyObject: ["s3:PutObject"],
  CreateMultipartUpload: ["s3:PutObject"],
  UploadPart: ["s3:PutObject"],
  UploadPartCopy: ["s3:PutObject"],
  CompleteMultipartUpload: ["s3:PutObject"],
  AbortMultipartUpload: ["s3:AbortMultipartUpload"],
  ListParts: ["s3:ListMultipartUploadParts"],
  DeleteObject: ["s3:DeleteObject"],
};
const BUCKET: Partial<Record<S3Operation, string>> = {
  ListObjectsV2: "s3:ListBucket",
  ListObjectVersions: "s3:ListBucketVersions",
  ListMultipartUploads: "s3:ListBucketMultipartUploads",
  GetBucketVersioning: "s3:GetBucketVersioning",
};

/**
 * What a request needs, by S3's own table.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
 */
function needsOf({ method = "", url = "", headers }: IncomingMessage, body: string): Need[] {
  const { operation, bucket, key = "" } = operationOf(method, url, headers);
  const arn = (name: string, object?: string): string =>
    `arn:aws:s3:::${name}${object === undefined ? "" : `/${object}`}`;
  if (key.startsWith(PROBES)) return [];
  if (operation === "DeleteObjects") {
    return [...body.matchAll(/<Key>([^<]*)<\/Key>/g)]
      .filter(([, object = ""]) => !object.startsWith(PROBES))
      .map(([, object = ""]) => ({ action: "s3:DeleteObject", resource: arn(bucket, object) }));
  }
  const ofBucket = BUCKET[operation];
  if (ofBucket !== undefined) return [{ action: ofBucket, resource: arn(bucket) }];
  const actions = OBJECT[operation];
  if (actions === undefined) throw new Error(`nobody has said what ${operation} needs: ${method} ${url}`);
  const needs = actions.map((action) => ({ action, resource: arn(bucket, key) }));
  // A version is named: that is another right.
  if (operation === "DeleteObject" && url.includes("versionId=")) {
    return [{ action: "s3:DeleteObjectVersion", resource: arn(bucket, key) }];
  }
  const source = headers["x-amz-copy-source"];
  if (typeof source === "string") {
    const [, from = "", ...object] = decodeURIComponent(`/${source.replace(/^\//, "")}`).split("/");
    needs.push({ action: "s3:GetObject", resource: arn(from, object.join("/").replace(/\?.*$/, "")) });
  }
  // A condition on what is there tells of it.
  if (operation === "PutObject" && headers["if-match"] !== undefined) {
    needs.push({ action: "s3:GetObject", resource: arn(bucket, key) });
  }
  return needs;
}

/** Starts one in front of a server, which must have its buckets in the path. */
export async function startGuardedStore(endpoint: string, policy: Policy): Promise<GuardedStore> {
  const { hostname, port } = new URL(endpoint);
  const refused = new Set<S3Operation>();

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { operation, bucket } = operationOf(incoming.method ?? "", incoming.url ?? "", incoming.headers);
    const chunks: Buffer[] = [];
    // The keys are in the body; everything else is passed on as it comes.
    if (operation === "DeleteObjects") for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const allowed = needsOf(incoming, Buffer.concat(chunks).toString()).map((need) => policy.allows(need));
    if (allowed.includes(false)) {
      incoming.resume();
      refuse(incoming, outgoing);
      return;
    }
    if (refused.delete(operation)) {
      incoming.resume();
      refuse(incoming, outgoing, 400, "InvalidRequest");
      return;
    }
    const onward = ask(
      {
        hostname,
        port,
        method: incoming.method,
        path: incoming.url,
        headers: incoming.rawHeaders as unknown as Record<string, string>,
        agent: false,
      },
      (answer) => {
        // Who may not list is not told that something is missing.
        if (answer.statusCode === 404 && !mayList(policy, bucket)) {
          answer.resume();
          policy.allows({ action: "s3:ListBucket", resource: `arn:aws:s3:::${bucket}` });
          refuse(incoming, outgoing);
          return;
        }
        if (answer.statusCode === 404) policy.allows({ action: "s3:ListBucket", resource: `arn:aws:s3:::${bucket}` });
        outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        pipeline(answer, outgoing).catch(() => outgoing.destroy());
      },
    );
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) onward.destroy();
    });
    onward.on("continue", () => outgoing.writeContinue());
    onward.on("error", () => outgoing.destroy());
    incoming.on("error", () => onward.destroy());
    if (operation === "DeleteObjects") onward.end(Buffer.concat(chunks));
    else incoming.pipe(onward);
  }

  const listener = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    handle(incoming, outgoing).catch(() => outgoing.destroy());
  };
  const server = createServer(listener).on("checkContinue", listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    refuseOnce: (operation) => void refused.add(operation),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function mayList(policy: Policy, bucket: string): boolean {
  return policy.would({ action: "s3:ListBucket", resource: `arn:aws:s3:::${bucket}` });
}

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, status = 403, code = "AccessDenied"): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>refused</Message></Error>`;
  outgoing.writeHead(status, { "content-type": "application/xml", "content-length": Buffer.byteLength(body) });
  outgoing.end(incoming.method === "HEAD" ? undefined : body);
}
