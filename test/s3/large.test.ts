/** A body above what S3 takes, or copies, in one request, made on the fly: it goes through the parts like any other. */
import { HeadObjectCommand } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { MemoryBudget } from "../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../shared/storage/s3/driver.ts";
import { s3Client, sharedVersitygw } from "../support/s3-servers.ts";
import { s3Settings } from "../support/s3-stores.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const LENGTH = 5 * GIB + 12_345;
const PART = 64 * MIB;

/** Each MiB begins with its number. */
function mebibyte(number: number): Buffer {
  const block = Buffer.alloc(MIB, 7);
  block.writeUInt32BE(number, 0);
  return block;
}

async function* body(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < LENGTH; at += MIB) yield mebibyte(at / MIB).subarray(0, LENGTH - at);
}

describe("a body of more than 5 GiB", () => {
  it("is stored in parts, with a few of them in memory at a time", { timeout: 600_000 }, async () => {
    const server = await sharedVersitygw();
    const bucket = await server.freshBucket();
    const driver = new S3Driver(s3Settings(server, bucket, { partBytes: PART }), new MemoryBudget(4 * PART, 60_000));
    const client = s3Client(server);
    try {
      let verified = 0;
      await driver.drafts.write("blob", body(), {
        length: LENGTH,
        verify: () => {
          verified++;
        },
      });
      expect(verified).toBe(1);
      expect((await driver.head("blob"))?.size).toBe(LENGTH);
      const { ETag } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: "blob" }));
      expect(ETag).toMatch(new RegExp(`-${Math.ceil(LENGTH / PART)}"$`));
      for (const number of [0, 63, 64, 2048, 4095, 4096, 5119, 5120]) {
        const start = number * MIB;
        const range = { start, end: Math.min(start + MIB, LENGTH) - 1 };
        const found = await driver.get("blob", range);
        if (found === undefined) throw new Error("the blob is gone");
        const chunks: Uint8Array[] = [];
        if (found.body instanceof Uint8Array) chunks.push(found.body);
        else for await (const chunk of found.body) chunks.push(chunk);
        expect(
          Buffer.concat(chunks).equals(mebibyte(number).subarray(0, range.end - range.start + 1)),
          `${number}`,
        ).toBe(true);
      }
    } finally {
      await driver.delete("blob");
      driver.close();
      client.destroy();
    }
  });
});
