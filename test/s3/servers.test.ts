/** The S3 servers that the suites run on start, serve, and leave nothing behind. */
import { existsSync } from "node:fs";
import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { runAny, until } from "../support/process.ts";
import { s3Client, startCephRgw, startVersitygw } from "../support/s3-servers.ts";

describe.each([
  ["startVersitygw", startVersitygw],
  ["startCephRgw", startCephRgw],
])("%s", (name, start) => {
  it("serves buckets on a free port, and is gone with its folder when it is closed", async () => {
    const server = await start();
    expect(existsSync(server.folder)).toBe(true);
    const client = s3Client(server);
    const [one, other] = await Promise.all([server.freshBucket(), server.freshBucket()]);
    expect(one).not.toBe(other);
    await client.send(new PutObjectCommand({ Bucket: one, Key: "a/b", Body: "x" }));
    const { Body } = await client.send(new GetObjectCommand({ Bucket: one, Key: "a/b" }));
    expect(await Body?.transformToString()).toBe("x");
    await expect(client.send(new GetObjectCommand({ Bucket: other, Key: "a/b" }))).rejects.toMatchObject({
      name: "NoSuchKey",
    });
    client.destroy();

    await server.close();
    await expect(fetch(server.endpoint)).rejects.toThrow();
    expect(existsSync(server.folder)).toBe(false);
  });

  it("ends with the process that started it, even when that is killed", async () => {
    const program = `
      import { ${name} } from "./test/support/s3-servers.ts";
      const { endpoint, folder } = await ${name}();
      await fetch(endpoint);
      process.stdout.write(JSON.stringify([endpoint, folder]), () => process.kill(process.pid, "SIGKILL"));`;
    const argv = [process.execPath, "--import", "tsx", "--input-type=module", "-e", program];
    const { stdout, stderr } = await runAny(argv);
    expect(stdout, stderr).not.toBe("");
    const [endpoint, folder] = JSON.parse(stdout) as [string, string];
    await until("the folder is gone", () => !existsSync(folder));
    await expect(fetch(endpoint)).rejects.toThrow();
  });
});
