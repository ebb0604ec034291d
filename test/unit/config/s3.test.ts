/** `storage.s3`. */
import { describe, expect, test } from "vitest";
import type { Config } from "../../../shared/config/config.ts";
import type { S3Settings } from "../../../shared/storage/s3/settings.ts";
import { accepts, file, honours, ignores, load, problemsOf, refuses, warns } from "../../support/config.ts";

const MIB = 1024 * 1024;
const least = { region: "eu-central-1", bucket: "images" };
/** A file with these keys beside those that every bucket needs. */
const s3 = (keys: Record<string, unknown>): Record<string, unknown> => ({ s3: { ...least, ...keys } });

function settingsOf(config: Config): S3Settings {
  const { driver } = config.storage;
  if (driver.kind !== "s3") throw new Error(`expected s3, got ${driver.kind}`);
  return driver.settings;
}
const picks =
  (key: keyof S3Settings) =>
  (config: Config): unknown =>
    settingsOf(config)[key];
const keys = { accesskey: "AK", secretkey: "hush" };

honours([
  ["storage", s3({}), (c) => c.storage.driver.kind, "s3"],
  ["storage", { s3aws: least }, picks("bucket"), "images"],
  ["storage", s3({}), picks("temporaryBucket"), undefined],
  ["storage", s3({ uploadsbucket: "images-uploads" }), picks("temporaryBucket"), "images-uploads"],
  ["storage", s3({}), picks("region"), "eu-central-1"],
  ["storage", { s3: { bucket: "images", regionendpoint: "http://127.0.0.1:9000" } }, picks("region"), "us-east-1"],
  ["storage", s3({ regionendpoint: "https://s3.example.com/" }), picks("endpoint"), "https://s3.example.com"],
  ["storage", s3({ regionendpoint: "s3.example.com:9000" }), picks("endpoint"), "https://s3.example.com:9000"],
  ["storage", s3({ regionendpoint: "minio:9000", secure: false }), picks("endpoint"), "http://minio:9000"],
  ["storage", s3({ regionendpoint: "https://a", secure: false }), picks("endpoint"), "https://a"],
  ["storage", s3({}), picks("forcePathStyle"), false],
  ["storage", s3({ forcepathstyle: true }), picks("forcePathStyle"), true],
  ["storage", s3({}), picks("credentials"), undefined],
  ["storage", s3(keys), picks("credentials"), { accessKeyId: "AK", secretAccessKey: "hush" }],
  [
    "storage",
    s3({ ...keys, sessiontoken: "T" }),
    picks("credentials"),
    { accessKeyId: "AK", secretAccessKey: "hush", sessionToken: "T" },
  ],
  ["storage", s3({}), picks("root"), ""],
  ["storage", s3({ rootdirectory: "/" }), picks("root"), ""],
  ["storage", s3({ rootdirectory: "/a/b/" }), picks("root"), "a/b/"],
  ["storage", s3({ rootdirectory: "a" }), picks("root"), "a/"],
  ["storage", s3({ encrypt: true }), picks("encryption"), {}],
  ["storage", s3({ encrypt: true, keyid: "k" }), picks("encryption"), { keyId: "k" }],
  ["storage", s3({}), picks("storageClass"), undefined],
  ["storage", s3({ storageclass: "NONE" }), picks("storageClass"), undefined],
  ["storage", s3({ storageclass: "standard_ia" }), picks("storageClass"), "STANDARD_IA"],
  ["storage", s3({ objectacl: "private" }), picks("acl"), undefined],
  ["storage", s3({ objectacl: "bucket-owner-full-control" }), picks("acl"), "bucket-owner-full-control"],
  ["storage", s3({}), picks("partBytes"), 6 * MIB],
  ["storage", s3({ chunksize: 5 * MIB }), picks("partBytes"), 5 * MIB],
  ["storage", s3({}), picks("copy"), { thresholdBytes: 32 * MIB, partBytes: 32 * MIB, concurrency: 100 }],
  [
    "storage",
    s3({ multipartcopythresholdsize: 0, multipartcopychunksize: 6 * MIB, multipartcopymaxconcurrency: 3 }),
    picks("copy"),
    { thresholdBytes: 0, partBytes: 6 * MIB, concurrency: 3 },
  ],
  ["storage", s3({ accelerate: true }), picks("accelerate"), true],
  ["storage", s3({ usedualstack: true }), picks("dualStack"), true],
  ["storage", s3({ usefipsendpoint: true }), picks("fips"), true],
  ["storage", s3({ skipverify: true }), picks("verifyTls"), false],
  ["storage", s3({ useragent: "us/1" }), picks("userAgent"), "us/1"],
  ["storage", s3({ loglevel: "debug" }), (c) => c.storage.driver, expect.objectContaining({ logRequests: true })],
  ["storage", s3({ loglevel: "off" }), (c) => c.storage.driver, expect.objectContaining({ logRequests: false })],
  ["storage", s3({ loglevel: false }), (c) => c.storage.driver, expect.objectContaining({ logRequests: false })],
]);

accepts([
  ["storage", s3({ v4auth: true, secure: true })],
  ["storage", { s3: least, redirect: { disable: true } }],
]);

ignores([
  ["storage", s3({ keyid: "k" }), "storage.s3.keyid", "encrypt is not true"],
  ["storage", s3({ sessiontoken: "hush" }), "storage.s3.sessiontoken", "accesskey and secretkey are not set"],
]);

warns([["storage", s3({ skipverify: true }), "storage.s3.skipverify: the certificate of the store is not looked at"]]);

refuses([
  [
    file({ storage: s3({ uploadsbucket: "images" }) }),
    {},
    "storage.s3.uploadsbucket: is the bucket itself; name another, or leave it out",
  ],
  [file({ storage: s3({ uploadsbucket: "a/b" }) }), {}, "storage.s3.uploadsbucket: expected the name of a bucket"],
  [file({ storage: "s3" }), {}, "storage.s3.bucket: is not set"],
  [file({ storage: "s3" }), {}, "storage.s3.region: is not set"],
  [file({ storage: { s3aws: { bucket: "images" } } }), {}, "storage.s3aws.region: is not set"],
  [file({ storage: s3({ bucket: "a/b" }) }), {}, 'storage.s3.bucket: expected the name of a bucket, got "a/b"'],
  [file({ storage: s3({ accesskey: "AK" }) }), {}, "storage.s3.secretkey: is not set, and accesskey is of no use"],
  [file({ storage: s3({ secretkey: "hush" }) }), {}, "storage.s3.accesskey: is not set, and secretkey is of no use"],
  [file({ storage: s3({ secretkey: ["hush"] }) }), {}, "storage.s3.secretkey: expected a text, got a list"],
  [
    file({ storage: s3({ regionendpoint: "https://u:hush@s3.example.com" }) }),
    {},
    "storage.s3.regionendpoint: expected an address such as https://s3.example.com:9000",
  ],
  [file({ storage: s3({ regionendpoint: "https://s3.example.com/x" }) }), {}, "without user, path or query"],
  [file({ storage: s3({ chunksize: 5 * MIB - 1 }) }), {}, "a whole number from 5242880 to 1073741824, got 5242879"],
  [file({ storage: s3({ storageclass: "GLACIER" }) }), {}, "storage.s3.storageclass: expected one of none, standard"],
  [file({ storage: s3({ v4auth: false }) }), {}, "storage.s3.v4auth: requests are signed with version 4 only"],
  [file({ storage: s3({ secure: false }) }), {}, "storage.s3.secure: cannot be false without regionendpoint"],
  [
    file({ storage: s3({ regionendpoint: "https://a", accelerate: true }) }),
    {},
    "storage.s3.accelerate: chooses among Amazon's own addresses; remove regionendpoint",
  ],
  [file({ storage: s3({ forcepathstyle: true, accelerate: true }) }), {}, "storage.s3.forcepathstyle: cannot be had"],
  [file({ storage: s3({ usefipsendpoint: true, accelerate: true }) }), {}, "storage.s3.usefipsendpoint: cannot be had"],
  [file({ storage: s3({ buckett: "x" }) }), {}, "storage.s3.buckett: is not a key of the configuration; did you mean"],
  [file({ storage: { ...s3({}), filesystem: {} } }), {}, "storage: expected one driver, got filesystem and s3"],
]);

describe("variables alone", () => {
  const env = {
    REGISTRY_STORAGE: "s3",
    REGISTRY_STORAGE_S3_BUCKET: "images",
    REGISTRY_STORAGE_S3_REGION: "eu-central-1",
  };
  test("make a bucket, with texts that look like numbers and words", () => {
    const { config } = load(
      {},
      {
        ...env,
        REGISTRY_STORAGE_S3_ACCESSKEY: "123",
        REGISTRY_STORAGE_S3_SECRETKEY: "0x10",
        REGISTRY_STORAGE_S3_CHUNKSIZE: "10485760",
        REGISTRY_STORAGE_S3_FORCEPATHSTYLE: "true",
        REGISTRY_STORAGE_S3_LOGLEVEL: "off",
      },
    );
    expect(settingsOf(config)).toMatchObject({
      bucket: "images",
      partBytes: 10 * MIB,
      forcePathStyle: true,
      credentials: { accessKeyId: "123", secretAccessKey: "0x10" },
    });
  });
  test("name the variable in what is wrong, and no secret", () => {
    const problems = problemsOf(undefined, { ...env, REGISTRY_STORAGE_S3_SECRETKEY: "hush" });
    expect(problems).toEqual([expect.stringContaining("storage.s3.accesskey (REGISTRY_STORAGE): is not set")]);
    expect(problems.join()).not.toContain("hush");
  });
});
