/** Events of API Gateway, byte for byte, and the paths that it decodes. */
import { beforeEach, describe, expect, it } from "vitest";
import type { HostBindings } from "../../functions/registry/app.ts";
import {
  answerEvent,
  encodedPath,
  type GatewayEvent,
  type GatewayResult,
} from "../../functions/registry/gateway-event.ts";
import { createFunction } from "../../functions/registry/lambda.ts";
import { parseTarget } from "../../functions/registry/target.ts";
import { limits } from "../../shared/oci/limits.ts";
import { bodyOf, collect, pattern, sha256 } from "../support/bodies.ts";
import { OCI_MANIFEST } from "../../shared/oci/media-type.ts";

const hex = "0".repeat(64);
const LAMBDA_BYTES = 6_000_000;

function eventOf(method: string, rawPath: string, more: Partial<GatewayEvent> = {}): GatewayEvent {
  return {
    rawPath,
    rawQueryString: "",
    headers: {},
    isBase64Encoded: false,
    requestContext: { http: { method, sourceIp: "192.0.2.7", protocol: "HTTP/1.1" } },
    ...more,
  };
}

function withBody(bytes: Uint8Array, headers: Record<string, string> = {}): Partial<GatewayEvent> {
  return {
    body: Buffer.from(bytes).toString("base64"),
    isBase64Encoded: true,
    headers: { "content-length": String(bytes.byteLength), ...headers },
  };
}

describe("a decoded path", () => {
  const grammatical = [
    "/v2/",
    "/v2/_catalog",
    "/v2/a/b-c__d.e/manifests/Tag_1.0-x",
    `/v2/a/blobs/sha256:${hex}`,
    "/v2/a/blobs/uploads/",
    "/v2/a/blobs/uploads/0f0f~x.y_z-1",
    "/prefix/v2/a/tags/list",
  ];
  it.each(grammatical)("%s is as it was sent", (path) => {
    expect(encodedPath(path)).toBe(path);
  });

  it.each<[raw: string, encoded: string]>([
    ["/v2/a?b/tags/list", "/v2/a%3Fb/tags/list"],
    ["/v2/a/manifests/x?digest=y", "/v2/a/manifests/x%3Fdigest=y"],
    ["/v2/a#b/tags/list", "/v2/a%23b/tags/list"],
    ["/v2/a%2Fb/tags/list", "/v2/a%252Fb/tags/list"],
    ["/v2/%61/tags/list", "/v2/%2561/tags/list"],
    ["/v2/a/manifests/a b", "/v2/a/manifests/a%20b"],
    ["/v2/a/manifests/\u0000", "/v2/a/manifests/%00"],
    ["/v2/a/manifests/é", "/v2/a/manifests/%C3%A9"],
    ["/v2/a/manifests/\ud800", "/v2/a/manifests/%EF%BF%BD"],
    ["/v2/a\\b/tags/list", "/v2/a%5Cb/tags/list"],
  ])("%j becomes %s, and names nothing", (raw, encoded) => {
    expect(encodedPath(raw)).toBe(encoded);
    expect(() => parseTarget(encodedPath(raw))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/_INVALID$/) as string }),
    );
  });

  it("and the query stay apart", async () => {
    const seen: (string | undefined)[] = [];
    const fetch = (_: Request, host: HostBindings): Response => {
      seen.push(host.url);
      return new Response();
    };
    await answerEvent(fetch, eventOf("GET", "/v2/a?n=1/tags/list", { rawQueryString: "n=5&last=a%2Fb+c" }));
    await answerEvent(fetch, eventOf("GET", "/v2/a/tags/list"));
    expect(seen).toEqual(["/v2/a%3Fn=1/tags/list?n=5&last=a%2Fb+c", "/v2/a/tags/list"]);
  });
});

describe("a body", () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  it.each<[what: string, bytes: Buffer, type: string]>([
    ["nothing", Buffer.alloc(0), "application/json"],
    ["every byte", everyByte, "application/octet-stream"],
    ["what is no UTF-8, said to be JSON", everyByte, "application/vnd.oci.image.manifest.v1+json"],
    ["a byte order mark", Buffer.from("\ufeff{}"), "application/json"],
    ["text", Buffer.from("é"), "text/plain; charset=utf-8"],
  ])("of %s is the same in both directions", async (_, bytes, type) => {
    const received: Buffer[] = [];
    const fetch = async (_request: Request, host: HostBindings): Promise<Response> => {
      received.push(await collect(host.body ?? bodyOf()));
      expect(host.headers?.["content-length"]).toBe(String(bytes.byteLength));
      return new Response(new Uint8Array(bytes), { headers: { "content-type": type } });
    };
    const result = await answerEvent(fetch, eventOf("PUT", "/v2/", withBody(bytes)));
    expect(result.isBase64Encoded).toBe(bytes.byteLength > 0);
    expect(Buffer.from(result.body, "base64").equals(bytes)).toBe(true);
    expect(received.map((body) => body.equals(bytes))).toEqual([true]);
  });

  it("that came as text is taken as UTF-8", async () => {
    const fetch = async (_: Request, host: HostBindings): Promise<Response> =>
      new Response(new Uint8Array(await collect(host.body ?? bodyOf())));
    const text = '\ufeff{"a":"é\u{1f600}"}';
    const result = await answerEvent(
      fetch,
      eventOf("PUT", "/v2/", { body: text, headers: { "content-length": String(Buffer.byteLength(text)) } }),
    );
    expect(Buffer.from(result.body, "base64").equals(Buffer.from(text))).toBe(true);
  });

  it("never has two values of a header where there was one", async () => {
    const fetch = (): Response =>
      new Response(null, {
        headers: [
          ["OCI-Tag", "a"],
          ["OCI-Tag", "b"],
          ["Location", "/v2/a,b"],
        ],
      });
    const result = await answerEvent(fetch, eventOf("PUT", "/v2/"));
    expect(result.headers).toEqual({ "oci-tag": "a, b", location: "/v2/a,b" });
  });
});

describe("the function", () => {
  const lines: Record<string, unknown>[] = [];
  const unwritten: string[] = [];
  const destination = {
    write: (line: string): void => void unwritten.push(line),
    flush: async (): Promise<void> =>
      void lines.push(...unwritten.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>)),
  };
  const env = { REGISTRY_STORAGE: "inmemory", REGISTRY_STORAGE_DELETE_ENABLED: "true" };
  let handler: (event: GatewayEvent) => Promise<GatewayResult>;
  beforeEach(() => {
    lines.length = 0;
    handler = createFunction({ env, destination }).handler;
  });
  const answerOf = (result: GatewayResult): string => Buffer.from(result.body, "base64").toString();
  const pushBlob = async (bytes: Uint8Array): Promise<string> => {
    const rawQueryString = `digest=${sha256(bytes)}`;
    const result = await handler(eventOf("POST", "/v2/r/blobs/uploads/", { rawQueryString, ...withBody(bytes) }));
    expect(result.statusCode, answerOf(result)).toBe(201);
    return sha256(bytes);
  };

  it("has written its log, in JSON, when it answers", async () => {
    expect((await handler(eventOf("GET", "/v2/"))).statusCode).toBe(200);
    expect(unwritten).toEqual([]);
    expect(lines.map(({ msg }) => msg)).toEqual(["response completed"]);
  });

  it("takes a body of the largest size and no larger one, whose answer says what to do", async () => {
    const largest = pattern(limits.eventBodyBytes);
    const event = eventOf("POST", "/v2/r/blobs/uploads/", {
      rawQueryString: `digest=${sha256(largest)}`,
      ...withBody(largest),
    });
    expect(JSON.stringify(event).length).toBeLessThan(LAMBDA_BYTES);
    expect((await handler(event)).statusCode).toBe(201);
    const result = await handler({ ...event, ...withBody(Buffer.concat([largest, Buffer.from("x")])) });
    expect([result.statusCode, answerOf(result)]).toEqual([413, expect.stringContaining("upload address")]);
  });

  it("refuses text that is not what was sent", async () => {
    const headers = { "content-length": "3", "content-type": "application/vnd.oci.image.manifest.v1+json" };
    const result = await handler(eventOf("PUT", "/v2/r/manifests/x", { body: "{\ufffd}", headers }));
    expect([result.statusCode, answerOf(result)]).toEqual([400, expect.stringContaining("SIZE_INVALID")]);
  });

  it("answers with the largest manifest, and to HEAD with the same bytes, within Lambda's limit", async () => {
    const config = await pushBlob(Buffer.from("{}"));
    const empty = { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: 2 };
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: empty, layers: [], annotations: { a: "" } };
    manifest.annotations.a = "x".repeat(limits.manifestBytes - JSON.stringify(manifest).length);
    const bytes = Buffer.from(JSON.stringify(manifest));
    expect(bytes.length).toBe(limits.manifestBytes);
    const put = await handler(eventOf("PUT", "/v2/r/manifests/v1", withBody(bytes, { "content-type": OCI_MANIFEST })));
    expect(put.statusCode, answerOf(put)).toBe(201);
    for (const method of ["GET", "HEAD"]) {
      const result = await handler(eventOf(method, "/v2/r/manifests/v1"));
      expect(result.headers["content-length"]).toBe(String(bytes.length));
      expect(Buffer.from(result.body, "base64").equals(bytes), method).toBe(true);
      expect(JSON.stringify(result).length).toBeLessThan(LAMBDA_BYTES);
    }
  });

  it("cannot answer with a larger blob, says so, and knows its length all the same", async () => {
    const [first, second] = [pattern(4_000_000, "a"), pattern(2_000_000, "b")];
    const { headers } = await handler(eventOf("POST", "/v2/r/blobs/uploads/"));
    const location = String(headers["location"]);
    for (const bytes of [first, second]) {
      expect((await handler(eventOf("PATCH", location, withBody(bytes)))).statusCode).toBe(202);
    }
    const digest = sha256(Buffer.concat([first, second]));
    const rawQueryString = `digest=${digest}`;
    expect((await handler(eventOf("PUT", location, { rawQueryString }))).statusCode).toBe(201);

    const get = await handler(eventOf("GET", `/v2/r/blobs/${digest}`));
    expect([get.statusCode, answerOf(get)]).toEqual([501, expect.stringContaining("at most 4500000 bytes")]);
    expect(lines.filter(({ level }) => level === "error").length).toBe(1);
    const head = await handler(eventOf("HEAD", `/v2/r/blobs/${digest}`));
    expect([head.statusCode, head.headers["content-length"], head.body]).toEqual([200, "6000000", ""]);
    const part = await handler(
      eventOf("GET", `/v2/r/blobs/${digest}`, { headers: { range: "bytes=3999999-4000000" } }),
    );
    expect(part.statusCode).toBe(206);
    expect(Buffer.from(part.body, "base64")).toEqual(Buffer.concat([first.subarray(-1), second.subarray(0, 1)]));
  });

  it("that cannot start says why in one line, answers 503, and tries again", async () => {
    const { ready, handler: broken } = createFunction({ env: { REGISTRY_STORAGE: "floppy" }, destination });
    await ready;
    await destination.flush();
    expect(lines).toEqual([expect.objectContaining({ level: "error", problems: expect.any(Array) as unknown })]);
    const result = await broken(eventOf("GET", "/v2/"));
    expect([result.statusCode, answerOf(result)]).toEqual([503, expect.stringContaining("UNAVAILABLE")]);
    expect(lines.length).toBe(2);
  });
});
