/** The function behind API Gateway, with its images in a bucket. */
import { describe, expect, it } from "vitest";
import { createFunction } from "../../functions/registry/lambda.ts";
import type { GatewayEvent } from "../../functions/registry/gateway-event.ts";
import { sha256 } from "../support/bodies.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";

const event = (method: string, path: string, query = "", body = Buffer.of()): GatewayEvent =>
  ({
    version: "2.0",
    rawPath: path,
    rawQueryString: query,
    headers: { host: "registry.example", "content-length": String(body.length) },
    requestContext: { http: { method, sourceIp: "192.0.2.1", protocol: "HTTP/1.1" } },
    body: body.toString("base64"),
    isBase64Encoded: true,
  }) as unknown as GatewayEvent;

describe("HEAD of a blob", () => {
  it.each([
    ["is redirected to a URL signed for HEAD, whose length the gateway cannot spoil", {}, 307],
    ["is answered here where that is asked for", { REGISTRY_STORAGE_REDIRECT_HEAD: "false" }, 200],
  ])("%s", async (_, env, status) => {
    const server = await sharedVersitygw();
    const { endpoint, region, accessKeyId, secretAccessKey } = server;
    const { handler } = createFunction({
      env: {
        REGISTRY_STORAGE: "s3",
        REGISTRY_STORAGE_S3_BUCKET: await server.freshBucket(),
        REGISTRY_STORAGE_S3_REGION: region,
        REGISTRY_STORAGE_S3_REGIONENDPOINT: endpoint,
        REGISTRY_STORAGE_S3_ACCESSKEY: accessKeyId,
        REGISTRY_STORAGE_S3_SECRETKEY: secretAccessKey,
        ...env,
      },
      destination: { write: () => undefined, flush: async () => undefined },
    });
    const bytes = Buffer.from("a blob");
    const digest = sha256(bytes);
    const pushed = await handler(event("POST", "/v2/a/blobs/uploads/", `digest=${digest}`, bytes));
    expect(pushed.statusCode).toBe(201);
    const answer = await handler(event("HEAD", `/v2/a/blobs/${digest}`));
    expect(answer.statusCode).toBe(status);
    expect(answer.headers).toMatchObject({ "docker-content-digest": digest });
    if (status === 200) return;
    const stored = await fetch(String(answer.headers["location"]), { method: "HEAD" });
    expect([stored.status, stored.headers.get("content-length")]).toEqual([200, "6"]);
  });
});
