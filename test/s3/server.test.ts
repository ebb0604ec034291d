/** The server, with its images where `storage.s3` says. */
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { afterEach, describe, expect, it } from "vitest";
import { makeManifest, pushMade } from "../dropin/content.ts";
import { Api } from "../support/api.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const running: TestServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.close();
});

/** A server on a bucket; `more` are keys of `storage.s3`. */
async function serve(bucket: string, more: Record<string, string> = {}): Promise<TestServer> {
  const { endpoint, region, accessKeyId, secretAccessKey } = await sharedVersitygw();
  const keys = {
    bucket,
    region,
    regionendpoint: endpoint,
    accesskey: accessKeyId,
    secretkey: secretAccessKey,
    ...more,
  };
  const server = await startTestServer({
    REGISTRY_STORAGE: "s3",
    ...Object.fromEntries(
      Object.entries(keys).map(([key, text]) => [`REGISTRY_STORAGE_S3_${key.toUpperCase()}`, text]),
    ),
  });
  running.push(server);
  return server;
}

async function keysIn(bucket: string): Promise<string[]> {
  const client = s3Client(await sharedVersitygw());
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  client.destroy();
  return Contents.map(({ Key = "" }) => Key);
}

describe("storage.s3", () => {
  it("keeps images in the bucket, below rootdirectory, for every process that is told the same", async () => {
    const bucket = await (await sharedVersitygw()).freshBucket();
    const [one, other] = [
      await serve(bucket, { rootdirectory: "/a/b" }),
      await serve(bucket, { rootdirectory: "a/b" }),
    ];
    const made = makeManifest();
    await pushMade(new Api({ url: one.url }), "team/app", made, "v1");
    const reply = await new Api({ url: other.url }).manifest("team/app", "v1");
    expect(reply.body.equals(made.bytes)).toBe(true);
    const keys = await keysIn(bucket);
    expect(keys.length).toBeGreaterThan(5);
    expect(keys.filter((key) => !key.startsWith("a/b/docker/registry/v2/"))).toEqual([]);
    expect(await new Api({ url: other.url }).catalog()).toEqual(["team/app"]);
  });

  it("writes a line for each request where loglevel asks for it, with no secret in it", async () => {
    const server = await sharedVersitygw();
    const bucket = await server.freshBucket();
    const { url, lines } = await serve(bucket, { loglevel: "debug" });
    await fetch(`${url}/v2/a/manifests/v1`);
    const logged = lines.filter((line) => line.includes("request to the store"));
    expect(logged.join("\n")).toMatch(/operation=GetObject.*_manifests\/tags\/v1\/current\/link.*status=404/);
    expect(lines.join("\n")).not.toContain(server.secretAccessKey);
  });

  it("a bucket that is not there is a fault, never an absence", async () => {
    const { url, lines } = await serve("not-there");
    for (const path of ["/v2/a/manifests/v1", "/v2/a/tags/list", "/v2/_catalog"]) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(500);
    }
    expect(lines.join("\n")).toContain("NoSuchBucket");
  });

  it("keys that are not accepted are a fault, never an absence", async () => {
    const bucket = await (await sharedVersitygw()).freshBucket();
    const { url, lines } = await serve(bucket, { secretkey: "wrong" });
    for (const path of ["/v2/a/manifests/v1", "/v2/a/tags/list", "/v2/_catalog"]) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(500);
    }
    expect(lines.join("\n")).toContain("SignatureDoesNotMatch");
  });
});
