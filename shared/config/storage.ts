import * as z from "zod";
import type { StorageConfig } from "./config.ts";
import { readRedirect, redirect } from "./redirect.ts";
import type { Report } from "./report.ts";
import { readS3, s3 } from "./s3.ts";
import { immutable, readImmutable, readRetention, retention } from "./tag-rules.ts";
import {
  choice,
  count,
  duration,
  flag,
  longDuration,
  longestTimerMs,
  map,
  named,
  noEffect,
  refused,
  section,
  setting,
  text,
} from "./values.ts";

const notYet = (what: string) => refused(`${what} cannot be used yet; use filesystem or s3`);

const drivers = {
  filesystem: named(
    map({
      rootdirectory: setting(text("the path of a folder")),
      maxthreads: noEffect(setting(count(0)), "Node bounds its own threads (UV_THREADPOOL_SIZE)"),
    }),
  ),
  inmemory: named(map({})),
  s3,
  s3aws: s3,
  azure: notYet("Azure Blob Storage"),
  gcs: refused("the driver of Google Cloud Storage is not served; use s3 with its interoperability API"),
  swift: refused("OpenStack Swift is not served, as in distribution 3; use filesystem"),
  oss: refused("Aliyun OSS is not served, as in distribution 3; use filesystem"),
};

const uploadPurging = section({
  enabled: setting(flag()),
  age: setting(duration({ least: 1 })),
  interval: setting(duration({ least: 1, most: longestTimerMs })),
  dryrun: setting(flag()),
});

/** Our own section. A grace period shorter than a minute would not outlast a push. */
const garbageCollection = section({
  grace: setting(longDuration({ least: 60_000 })),
  retention,
  recordpulls: setting(flag()),
  trash: setting(flag()),
  trashage: setting(longDuration({ least: 1 })),
  concurrency: setting(count(1)),
  share: setting(count(1, 100)),
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
    maintenance: section({ uploadpurging: uploadPurging, readonly: readOnly, gc: garbageCollection }),
    redirect,
    tag: section({ concurrencylimit: setting(count(0)), immutable }),
    cache: noEffect(
      section({
        blobdescriptor: setting(choice("inmemory", "redis")),
        layerinfo: setting(choice("inmemory", "redis")),
        blobdescriptorsize: setting(count(0)),
      }),
      "nothing is cached: each answer is read from the storage, so none can be stale",
    ),
  },
  "a driver, filesystem, s3 or inmemory",
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
    report.problem(["storage"], "expected a driver, filesystem, s3 or inmemory, got none");
  }
  const driver = readDriver(input, withFile, report);
  const noRedirects = driver.kind === "s3" ? undefined : "this storage has no address of its own to send a client to";
  const purging = input?.maintenance?.uploadpurging;
  const gc = input?.maintenance?.gc;
  if (gc?.recordpulls && input?.maintenance?.readonly?.enabled) {
    report.noEffect(["storage", "maintenance", "gc", "recordpulls"], "a registry that is read-only writes nothing");
  }
  return {
    driver,
    deleteEnabled: input?.delete?.enabled ?? false,
    readOnly: input?.maintenance?.readonly?.enabled ?? false,
    redirect: readRedirect(input?.redirect, noRedirects, report),
    tagConcurrency: input?.tag?.concurrencylimit || defaultTagConcurrency,
    immutableTags: readImmutable(input?.tag?.immutable, report),
    uploadPurging: {
      enabled: purging?.enabled ?? true,
      ageMs: purging?.age ?? 168 * hourMs,
      intervalMs: purging?.interval ?? 24 * hourMs,
      dryRun: purging?.dryrun ?? false,
    },
    gc: {
      graceMs: gc?.grace ?? 24 * hourMs,
      retention: readRetention(gc?.retention, gc?.recordpulls ?? false, report),
      recordPulls: gc?.recordpulls ? "after the answer" : "never",
      setAside: gc?.trash ?? false,
      trashMs: gc?.trashage ?? 168 * hourMs,
      concurrency: gc?.concurrency ?? undefined,
      share: (gc?.share ?? 100) / 100,
    },
  };
}

function readDriver(input: z.infer<typeof storage>, withFile: boolean, report: Report): StorageConfig["driver"] {
  if (input?.inmemory) return { kind: "inmemory" };
  if (input?.s3) return { kind: "s3", ...readS3(input.s3, "s3", report) };
  if (input?.s3aws) return { kind: "s3", ...readS3(input.s3aws, "s3aws", report) };
  const rootDirectory = input?.filesystem?.rootdirectory ?? (withFile ? distributionRoot : "./data");
  return { kind: "filesystem", rootDirectory };
}
