/** A store that keeps keys as files, such as versitygw, removes the folders of keys that go: beside writes, at any moment. */
import { expect, it } from "vitest";
import { S3_STORES } from "../support/s3-servers.ts";
import { s3Store } from "../support/s3-stores.ts";

it.each(S3_STORES)("%s: keys are written while the last ones beside them go", async (_, server) => {
  const store = await s3Store(server)();
  const { driver } = store;
  const refused: string[] = [];
  const lane = async (name: string): Promise<void> => {
    for (let round = 0; round < 60; round++) {
      await driver.put(`${name}/of/a/link`, Buffer.from("a"));
      await Promise.all([
        driver.delete(`${name}/of/a/link`),
        driver.put(`${name}/of/b/link`, Buffer.from("b")).catch((error: unknown) => refused.push(String(error))),
      ]);
      expect(await driver.head(`${name}/of/b/link`), refused.join("\n")).toBeDefined();
      await driver.delete(`${name}/of/b/link`);
    }
  };
  await Promise.all(["1", "2", "3", "4"].map(lane));
  expect(refused).toEqual([]);
  await store.close();
});
