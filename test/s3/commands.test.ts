/** How commands begin with a bucket: what they ask it, and what they say where it cannot be asked. */
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { afterEach, expect, it, vi } from "vitest";
import { openConfigured } from "../../bin/storage.ts";
import { layout } from "../../shared/registry/layout.ts";
import { startS3Proxy } from "../support/s3-proxy.ts";
import { s3Client, sharedVersitygw, type S3Access } from "../support/s3-servers.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function variables({ endpoint, region, accessKeyId, secretAccessKey }: S3Access, bucket: string) {
  return {
    REGISTRY_STORAGE_S3_BUCKET: bucket,
    REGISTRY_STORAGE_S3_REGION: region,
    REGISTRY_STORAGE_S3_REGIONENDPOINT: endpoint,
    REGISTRY_STORAGE_S3_ACCESSKEY: accessKeyId,
    REGISTRY_STORAGE_S3_SECRETKEY: secretAccessKey,
  };
}

it.each([undefined, "undo"])(
  "say in a sentence, and nothing else, why a store cannot be asked, for %s",
  async (needing) => {
    const server = await sharedVersitygw();
    const bucket = await server.freshBucket();
    const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    closing.push(() => written.mockRestore());
    const ask = async (access: S3Access, name: string) =>
      await openConfigured(undefined, variables(access, name), needing);
    await expect(ask(server, "no-such-bucket")).rejects.toThrow(/^S3 .*NoSuchBucket: [^\n]*$/);
    await expect(ask({ ...server, secretAccessKey: "wrong" }, bucket)).rejects.toThrow(
      /^S3 .*SignatureDoesNotMatch: [^\n]*$/,
    );
    await expect(ask({ ...server, endpoint: "http://127.0.0.1:9" }, bucket)).rejects.toThrow(
      /^S3 .*ECONNREFUSED[^\n]*$/,
    );
    expect(written).not.toHaveBeenCalled();
  },
);

it("write nothing into a bucket that they only read", async () => {
  const server = await sharedVersitygw();
  const bucket = await server.freshBucket();
  const client = s3Client(server);
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${layout.blobs}x`, Body: "x" }));
  client.destroy();
  const proxy = await startS3Proxy(server);
  closing.push(async () => await proxy.close());
  const { driver } = await openConfigured(undefined, variables(proxy, bucket));
  driver.close?.();
  expect(proxy.requests.map(({ operation }) => operation)).toEqual(["ListObjectsV2"]);
  const other = await openConfigured(undefined, variables(proxy, bucket), "undo");
  other.driver.close?.();
  expect(proxy.requests.map(({ operation }) => operation)).toContain("PutObject");
});
