import * as z from "zod";
import type { StorageConfig } from "./config.ts";
import type { Report } from "./report.ts";
import {
  choice,
  count,
  duration,
  flag,
  longestTimerMs,
  map,
  named,
  noEffect,
  refused,
  section,
  setting,
  text,
} from "./values.ts";

const notYet = (what: string) => refused(`${what} cannot be used yet; use filesystem`);

const drivers = {
  filesystem: named(
    map({
      rootdirectory: setting(text("the path of a folder")),
      maxthreads: noEffect(setting(count(0)), "Node bounds its own threads (UV_THREADPOOL_SIZE)"),
    }),
  ),
  inmemory: named(map({})),
  s3: notYet("Amazon S3 and what speaks like it"),
  s3aws: notYet("Amazon S3 and what speaks like it"),
  azure: notYet("Azure Blob Storage"),
  gcs: refused("the driver of Google Cloud Storage is not served; use filesystem"),
  swift: refused("OpenStack Swift is not served, as in distribution 3; use filesystem"),
  oss: refused("Aliyun OSS is not served, as in distribution 3; use filesystem"),
};

const uploadPurging = section({
  enabled: setting(flag()),
  age: setting(duration({ least: 1 })),
  interval: setting(duration({ least: 1, most: longestTimerMs })),
  dryrun: setting(flag()),
});

/** `readonly: {enabled: true}`, or `readonly: true` as people write it. Never empty: it would mean nothing. */
const readOnly = z
  .preprocess(
    (input) => (typeof input === "boolean" || typeof input === "string" ? { enabled: input } : input),
    map({ enabled: flag().optional() }, "true, false, or a map with enabled"),
  )
  .optional();

export const storage = map(
  {
    ...drivers,
    delete: section({ enabled: setting(flag()) }),
    maintenance: section({ uploadpurging: uploadPurging, readonly: readOnly }),
    redirect: section({ disable: setting(flag()) }),
    tag: section({ concurrencylimit: setting(count(0)) }),
    cache: noEffect(
      section({
        blobdescriptor: setting(choice("inmemory", "redis")),
        layerinfo: setting(choice("inmemory", "redis")),
        blobdescriptorsize: setting(count(0)),
      }),
      "nothing is cached: each answer is read from the storage, so none can be stale",
    ),
  },
  "a driver, filesystem or inmemory",
).optional();

const driverNames = Object.keys(drivers);
/** What distribution uses where the folder is not named. */
const distributionRoot = "/var/lib/registry";
const defaultTagConcurrency = 8;
const hourMs = 3_600_000;

/**
 * A file must choose its driver, as distribution demands. With no file at all the choice is a
 * folder here.
 */
export function readStorage(input: z.infer<typeof storage>, withFile: boolean, report: Report): StorageConfig {
  const chosen = Object.keys(input ?? {}).filter((key) => driverNames.includes(key));
  if (chosen.length > 1) {
    report.problem(
      ["storage"],
      `expected one driver, got ${chosen.join(" and ")}; set REGISTRY_STORAGE to one of them to replace the file's`,
    );
  } else if (chosen.length === 0 && withFile) {
    report.problem(["storage"], "expected a driver, filesystem or inmemory, got none");
  }
  if (input?.redirect) {
    report.noEffect(["storage", "redirect"], "a folder has no address of its own to send a client to");
  }
  const purging = input?.maintenance?.uploadpurging;
  return {
    driver: input?.inmemory
      ? { kind: "inmemory" }
      : {
          kind: "filesystem",
          rootDirectory: input?.filesystem?.rootdirectory ?? (withFile ? distributionRoot : "./data"),
        },
    deleteEnabled: input?.delete?.enabled ?? false,
    readOnly: input?.maintenance?.readonly?.enabled ?? false,
    redirectDisabled: input?.redirect?.disable ?? false,
    tagConcurrency: input?.tag?.concurrencylimit || defaultTagConcurrency,
    uploadPurging: {
      enabled: purging?.enabled ?? true,
      ageMs: purging?.age ?? 168 * hourMs,
      intervalMs: purging?.interval ?? 24 * hourMs,
      dryRun: purging?.dryrun ?? false,
    },
  };
}
