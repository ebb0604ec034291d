/**
 * API Gateway's events (HTTP API, payload format 2.0) to what the app takes, and its answers back. Every byte of a body is
 * kept in both directions: `hono/aws-lambda` passes `+json` bodies through text, which changes some.
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 */
import type { APIGatewayProxyEventV2 } from "aws-lambda";
import { RegistryError } from "../../shared/oci/error.ts";
import { limits } from "../../shared/oci/limits.ts";
import type { HostBindings, HostLimits } from "./app.ts";

/** What is read of an event. */
export interface GatewayEvent extends Pick<
  APIGatewayProxyEventV2,
  "rawPath" | "rawQueryString" | "headers" | "body" | "isBase64Encoded"
> {
  readonly requestContext: {
    readonly http: Pick<APIGatewayProxyEventV2["requestContext"]["http"], "method" | "sourceIp" | "protocol">;
  };
}

/** What is answered. Several values of one header are joined with commas. */
export interface GatewayResult {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly isBase64Encoded: boolean;
}

/** The app, as a host calls it. */
export type Fetch = (request: Request, host: HostBindings) => Response | Promise<Response>;

/** What the function in the middle takes from the app that a plain HTTP server would give. */
const HOST_LIMITS: HostLimits = {
  requestBytes: limits.eventBodyBytes,
  answerBytes: limits.eventAnswerBytes,
  headBodies: true,
};

/** Answers one event. Rejects only where the app does. */
export async function answerEvent(fetch: Fetch, event: GatewayEvent): Promise<GatewayResult> {
  const { method, sourceIp, protocol } = event.requestContext.http;
  const bytes = Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8");
  // Hono takes the body from whatever answers a Request of the method HEAD.
  const response = await fetch(new Request("http://registry/"), {
    method,
    url: encodedPath(event.rawPath) + (event.rawQueryString === "" ? "" : `?${event.rawQueryString}`),
    headers: { ...event.headers, "content-length": String(bytes.byteLength), "transfer-encoding": undefined },
    body: bodyOf(bytes, event),
    remoteAddress: sourceIp,
    httpVersion: protocol.replace("HTTP/", ""),
    limits: HOST_LIMITS,
  });
  const body = Buffer.from(await response.arrayBuffer());
  return {
    statusCode: response.status,
    headers: Object.fromEntries(response.headers),
    body: body.toString("base64"),
    isBase64Encoded: body.byteLength > 0,
  };
}

/**
 * The path as a client would send it to get what the gateway made of it. API Gateway decodes percent-encoding, once or
 * twice, before anybody is asked whether the path is allowed: whatever is no plain character of a name, tag or digest is
 * encoded again, so that the app reads it as text that it refuses, and never as an escape or the start of a query.
 */
export function encodedPath(rawPath: string): string {
  return rawPath.replace(/[^A-Za-z0-9._~:=+/-]+/g, (text) =>
    Buffer.from(text).reduce((escaped, byte) => `${escaped}%${byte.toString(16).toUpperCase().padStart(2, "0")}`, ""),
  );
}

/** The body. One that came as text and is not as long as announced was no text, and is not what the client sent. */
async function* bodyOf(bytes: Buffer, event: GatewayEvent): AsyncGenerator<Uint8Array> {
  const announced = event.headers["content-length"];
  if (announced !== undefined && Number(announced) !== bytes.byteLength) {
    throw new RegistryError(
      "SIZE_INVALID",
      `the body came as ${bytes.byteLength} bytes and not as the ${announced} announced; send it as application/octet-stream`,
    );
  }
  if (bytes.byteLength > 0) yield bytes;
}
