/** docs/s3-stores.md says of each server what it does; here each is asked. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { tableRows } from "../support/markdown.ts";
import { s3Client, S3_STORES } from "../support/s3-servers.ts";
import { PROMISES } from "./promises.ts";

const rows = tableRows(readFileSync("docs/s3-stores.md", "utf8"));
const titles = rows.filter(([what]) => what === "");
const documented = new Map(rows.filter(([what]) => what !== "").map(([what = "", , ...answers]) => [what, answers]));

describe("docs/s3-stores.md", () => {
  it("has a row for each promise, and no other", () => {
    expect([...documented.keys()]).toEqual(Object.values(PROMISES).flatMap((promises) => Object.keys(promises)));
  });

  it("names the versions that test/tools/versions.env pins", () => {
    const pins = readFileSync("test/tools/versions.env", "utf8");
    const pinned = (pattern: RegExp): string => pattern.exec(pins)?.[1] ?? "no such pin";
    const title = [
      ...["", "Amazon S3", `versitygw ${pinned(/versitygw@v([\d.]+)/)}`],
      `Ceph RGW ${pinned(/radosgw=([\d.]+)/)}`,
    ];
    expect(titles).toEqual(Object.keys(PROMISES).map(() => title));
  });
});

describe.each(S3_STORES.map(([name, shared], column) => ({ name, shared, column })))("$name", ({ shared, column }) => {
  describe.each(Object.entries(PROMISES))("%s", (_, promises) => {
    it.each(Object.entries(promises))("%s", async (what, ask) => {
      const server = await shared();
      const client = s3Client(server, { requestChecksumCalculation: "WHEN_REQUIRED", maxAttempts: 1 });
      try {
        expect(await ask({ client, bucket: await server.freshBucket() })).toBe(documented.get(what)?.[column]);
      } finally {
        client.destroy();
      }
    });
  });
});
