/** `storage`. */
import { at, file, honours, ignores, refuses } from "../../support/config.ts";

honours([
  ["storage", "filesystem", (c) => c.storage.driver, { kind: "filesystem", rootDirectory: "/var/lib/registry" }],
  ["storage.filesystem", null, (c) => c.storage.driver, { kind: "filesystem", rootDirectory: "/var/lib/registry" }],
  ["storage.filesystem.rootdirectory", "/x", (c) => c.storage.driver, { kind: "filesystem", rootDirectory: "/x" }],
  ["storage.inmemory", null, (c) => c.storage.driver, { kind: "inmemory" }],
  ["storage", { inmemory: {}, delete: { enabled: true } }, (c) => c.storage.deleteEnabled, true],
  ["storage", { inmemory: {}, delete: { enabled: "yes" } }, (c) => c.storage.deleteEnabled, true],
  ["storage", { inmemory: {}, delete: null }, (c) => c.storage.deleteEnabled, false],
  ["storage", { inmemory: {}, maintenance: { readonly: { enabled: true } } }, (c) => c.storage.readOnly, true],
  ["storage", { inmemory: {}, maintenance: { readonly: true } }, (c) => c.storage.readOnly, true],
  ["storage", { inmemory: {}, maintenance: { readonly: false } }, (c) => c.storage.readOnly, false],
  ["storage", { inmemory: {} }, (c) => c.storage.gc.graceMs, 86_400_000],
  ["storage", { inmemory: {}, maintenance: { gc: { grace: "90m" } } }, (c) => c.storage.gc.graceMs, 5_400_000],
  ["storage", { inmemory: {}, maintenance: { gc: { grace: "2d" } } }, (c) => c.storage.gc.graceMs, 172_800_000],
  ["storage", { inmemory: {}, maintenance: { gc: { trashage: "1.5d6h" } } }, (c) => c.storage.gc.trashMs, 151_200_000],
  ["storage", { inmemory: {}, maintenance: { gc: { trash: true } } }, (c) => c.storage.gc.setAside, true],
  ["storage", { inmemory: {}, maintenance: { gc: { trashage: "48h" } } }, (c) => c.storage.gc.trashMs, 172_800_000],
  ["storage", { inmemory: {}, maintenance: { gc: { concurrency: 4 } } }, (c) => c.storage.gc.concurrency, 4],
  ["storage", { inmemory: {} }, (c) => c.storage.gc.concurrency, undefined],
  ["storage", { inmemory: {}, maintenance: { gc: { share: 20 } } }, (c) => c.storage.gc.share, 0.2],
  ["storage", { inmemory: {} }, (c) => c.storage.gc.share, 1],
  ["storage", { inmemory: {}, tag: { concurrencylimit: 3 } }, (c) => c.storage.tagConcurrency, 3],
  ["storage", { inmemory: {}, tag: { concurrencylimit: 0 } }, (c) => c.storage.tagConcurrency, 8],
  ["storage", { inmemory: {} }, (c) => c.storage.immutableTags, []],
  [
    "storage",
    {
      inmemory: {},
      maintenance: {
        gc: {
          recordpulls: true,
          retention: [
            { repositories: ["prod/**"] },
            {
              tags: "pr-*",
              except: ["pr-1"],
              keep: { last: 5, matching: ["v*"], youngerthan: "1h", pulledwithin: "2h" },
              expireuntagged: "24h",
            },
          ],
        },
      },
    },
    (c) => [c.storage.gc.retention, c.storage.gc.recordPulls],
    [
      [
        { repositories: ["prod/**"], tags: ["*"], except: [] },
        {
          ...{ repositories: ["**"], tags: ["pr-*"], except: ["pr-1"] },
          keep: { last: 5, matching: ["v*"], youngerThanMs: 3_600_000, pulledWithinMs: 7_200_000 },
          expireUntaggedMs: 86_400_000,
        },
      ],
      "after the answer",
    ],
  ],
  [
    "storage",
    {
      inmemory: {},
      tag: {
        immutable: [
          { repositories: ["prod/**"], except: ["*-dev"] },
          { repositories: "a", tags: "v{1,2}.*" },
        ],
      },
    },
    (c) => c.storage.immutableTags,
    [
      { repositories: ["prod/**"], tags: ["*"], except: ["*-dev"] },
      { repositories: ["a"], tags: ["v{1,2}.*"], except: [] },
    ],
  ],
  [
    "storage",
    { inmemory: {}, maintenance: { uploadpurging: { enabled: false, age: "1h30m", interval: "10m", dryrun: true } } },
    (c) => c.storage.uploadPurging,
    { enabled: false, ageMs: 5_400_000, intervalMs: 600_000, dryRun: true },
  ],
]);

ignores([
  [
    "storage",
    { inmemory: {}, maintenance: { readonly: true, gc: { recordpulls: true } } },
    "storage.maintenance.gc.recordpulls",
    "a registry that is read-only writes nothing",
  ],
  ["storage.filesystem.maxthreads", 100, "storage.filesystem.maxthreads", "Node bounds its own threads"],
  ["storage", { inmemory: {}, cache: { layerinfo: "redis" } }, "storage.cache", "nothing is cached"],
  ["storage", { inmemory: {}, redirect: { disable: false } }, "storage.redirect", "has no address of its own"],
]);

const retained = (...retention: object[]): string =>
  file({ storage: { inmemory: {}, maintenance: { gc: { retention } } } });

refuses([
  [retained({ keep: {} }), {}, "storage.maintenance.gc.retention.0.keep: says nothing of what to keep"],
  [retained({}, { keep: { last: 0 } }), {}, "storage.maintenance.gc.retention.1.keep.last: expected a whole number"],
  [
    retained({ repository: ["ci/**"] }),
    {},
    "retention.0.repository: is not a key of the configuration; did you mean storage.maintenance.gc.retention.0.repositories?",
  ],
  [retained({ keep: { latest: 3 } }), {}, "did you mean storage.maintenance.gc.retention.0.keep.last?"],
  [retained({ keep: null }), {}, "storage.maintenance.gc.retention.0.keep: expected a map of keys, got nothing"],
  [
    retained({ keep: { pulledwithin: "720h" } }),
    {},
    "storage.maintenance.gc.retention.0.keep.pulledwithin: cannot be known: set storage.maintenance.gc.recordpulls to true",
  ],
  [
    retained({ keep: { matching: ["("] } }),
    {},
    'storage.maintenance.gc.retention.0.keep.matching.0: expected a pattern of letters, digits and . _ - /, with * ** ? {a,b}, got "("',
  ],
  [
    retained({ expireuntagged: "30" }),
    {},
    'storage.maintenance.gc.retention.0.expireuntagged: expected a duration with its unit, such as 30d or 12h, above 0, got "30"',
  ],
  [
    file({ storage: { inmemory: {}, tag: { immutable: [{ tags: ["^v.*$"] }] } } }),
    {},
    'storage.tag.immutable.0.tags.0: expected a pattern of letters, digits and . _ - /, with * ** ? {a,b}, got "^v.*$"',
  ],
  [
    file({ storage: { inmemory: {}, tag: { immutable: [{}] } } }),
    {},
    "storage.tag.immutable.0: names neither repositories nor tags",
  ],
  [
    file({ storage: { inmemory: {}, tag: { immutable: [{ tags: [] }] } } }),
    {},
    "storage.tag.immutable.0.tags: is an empty list, which nothing matches",
  ],
  [
    file({ storage: { inmemory: {}, tag: { immutable: true } } }),
    {},
    "storage.tag.immutable: expected a list, got true",
  ],
  [
    file({ storage: { inmemory: {}, tag: { immutable: [{ tag: ["v*"] }] } } }),
    {},
    "storage.tag.immutable.0.tag: is not a key of the configuration",
  ],
  [
    file({ storage: { inmemory: {}, cache: { blobdescriptor: "disk" } } }),
    {},
    'storage.cache.blobdescriptor: expected one of inmemory, redis, got "disk"',
  ],
  [
    file({ storage: { inmemory: {}, delete: { enabled: "true" } } }),
    {},
    'storage.delete.enabled: expected true or false, got "true"',
  ],
  [
    file({ storage: { inmemory: {}, maintenance: { readonly: null } } }),
    {},
    "storage.maintenance.readonly: expected true, false, or a map with enabled, got nothing",
  ],
  [
    file({ storage: { inmemory: {}, maintenance: { readonly: { enabled: null } } } }),
    {},
    "storage.maintenance.readonly.enabled: expected true or false, got nothing",
  ],
  [
    file({ storage: { inmemory: {}, maintenance: { uploadpurging: { interval: "0s" } } } }),
    {},
    'storage.maintenance.uploadpurging.interval: expected a duration with its unit, such as 10s or 1h30m, above 0, at most 596h, got "0s"',
  ],
  [file({ storage: { inmemory: {}, maintenance: { uploadpurging: { interval: "720h" } } } }), {}, "at most 596h"],
  [
    file({ storage: { inmemory: {}, maintenance: { gc: { grace: "59s" } } } }),
    {},
    "storage.maintenance.gc.grace: expected a duration with its unit, such as 30d or 12h, at least 60s, got",
  ],
  [
    file({ storage: { inmemory: {}, maintenance: { gc: { share: 0.1 } } } }),
    {},
    "storage.maintenance.gc.share: expected a whole number from 1 to 100, got 0.1",
  ],
  [
    file({ storage: { inmemory: {}, tag: { concurrencylimit: -1 } } }),
    {},
    "storage.tag.concurrencylimit: expected a whole number of at least 0, got -1",
  ],
  [file({ storage: { inmemory: { a: 1 } } }), {}, "storage.inmemory.a: is not a key"],
  [
    file(at("storage.filesystem.rootdirectory", 123)),
    {},
    "storage.filesystem.rootdirectory: expected the path of a folder, got 123",
  ],
  ["version: 0.1", {}, "storage: expected a driver, filesystem, s3 or inmemory, got none"],
  [
    "version: 0.1\nstorage: {delete: {enabled: true}}",
    {},
    "storage: expected a driver, filesystem, s3 or inmemory, got none",
  ],
  ["version: 0.1\nstorage:", {}, "storage: expected a driver, filesystem, s3 or inmemory, got nothing"],
  [
    undefined,
    { REGISTRY_STORAGE: "" },
    "storage (REGISTRY_STORAGE): expected a driver, filesystem, s3 or inmemory, got nothing",
  ],
  [
    file({}),
    { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: "/x" },
    "storage: expected one driver, got filesystem and inmemory",
  ],
  [file({ storage: "azure" }), {}, "storage.azure: Azure Blob Storage cannot be used yet"],
  [file({ storage: "gcs" }), {}, "storage.gcs: "],
  [file({ storage: "swift" }), {}, "storage.swift: "],
  [file({ storage: "oss" }), {}, "storage.oss: "],
]);
