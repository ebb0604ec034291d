/** What is made of a whole file: what it begins with, what comes without one, and how faults in it are told. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Config } from "../../../shared/config/config.ts";
import { ConfigError, loadConfig } from "../../../shared/config/load.ts";
import { at, file, problemsOf, refuses } from "../../support/config.ts";

describe("with no file", () => {
  test("a folder beside the program, this machine only, nobody asked", () => {
    const { config, notices } = loadConfig({ env: { PATH: "/bin" } });
    expect(notices).toEqual([]);
    expect(config).toEqual({
      log: { level: "info", formatter: "text", fields: {}, accessLog: true },
      storage: {
        driver: { kind: "filesystem", rootDirectory: "./data" },
        deleteEnabled: false,
        readOnly: false,
        redirect: { disabled: false, except: { networks: [], clients: [] }, trustedProxies: [] },
        tagConcurrency: 8,
        immutableTags: [],
        gc: {
          graceMs: 86_400_000,
          retention: [],
          recordPulls: "never",
          setAside: false,
          trashMs: 604_800_000,
          share: 1,
        },
        uploadPurging: { enabled: true, ageMs: 604_800_000, intervalMs: 86_400_000, dryRun: false },
      },
      auth: { kind: "none" },
      http: { listen: { kind: "tcp", host: "127.0.0.1", port: 5000 }, prefix: "/", drainTimeoutMs: 0, headers: {} },
      health: { storage: { enabled: false, intervalMs: 10_000, threshold: 1 }, file: [], http: [], tcp: [] },
      validation: {
        allowSparseManifests: false,
        allowSparseIndexes: false,
        urls: { checked: true, allow: [], deny: [] },
      },
      catalog: { maxEntries: 1000 },
      tags: { maxEntries: 1000 },
    } satisfies Config);
  });

  test("what it answers cannot be changed", () => {
    const { config } = loadConfig({ env: { "REGISTRY_HTTP_HEADERS_X-A": "[b]" } });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.storage.uploadPurging)).toBe(true);
    expect(Object.isFrozen(config.http.headers["x-a"])).toBe(true);
  });
});

describe("the files that are shipped", () => {
  test("config-example.yml is accepted, with no notice", () => {
    const { config, notices } = loadConfig({ yaml: readFileSync("config-example.yml", "utf8"), env: {} });
    expect(notices).toEqual([]);
    expect(config.storage.driver).toEqual({ kind: "filesystem", rootDirectory: "/var/lib/registry" });
    expect(config.http.debug).toEqual({
      listen: { kind: "tcp", host: "127.0.0.1", port: 5001 },
      prometheus: { path: "/metrics" },
    });
  });

  test("config-example.yml is accepted with all that it leaves commented out", () => {
    const yaml = readFileSync("config-example.yml", "utf8").replaceAll(
      /^( *)# (auth:| *htpasswd:| *realm:| *path:| *host:| *secret:| *uploads:| *tls:| *certificate:| *key:)/gm,
      "$1$2",
    );
    const { config } = loadConfig({ yaml, env: { REGISTRY_HTTP_SECRET: "of at least 16 characters" } });
    expect(config.auth).toEqual({
      kind: "htpasswd",
      realm: "Registry",
      anonymousPull: false,
      users: { kind: "file", path: "/etc/registry/htpasswd" },
    });
    expect(config.http.baseUrl).toBe("https://registry.example.com:4443");
    expect(config.http.uploads?.host).toBe("https://uploads.example.com");
    expect(config.http.tls?.certificate).toBe("/etc/registry/tls.crt");
  });

  test("the configuration in distribution's images", () => {
    const { config, notices } = loadConfig({
      yaml: `
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`,
      env: {},
    });
    expect(notices).toEqual([
      "storage.cache has no effect here, because nothing is cached: each answer is read from the storage, so none can be stale",
    ]);
    expect(config.http.listen).toEqual({ kind: "tcp", host: "", port: 5000 });
    expect(config.http.headers).toEqual({ "X-Content-Type-Options": ["nosniff"] });
    expect(config.health.storage).toEqual({ enabled: true, intervalMs: 10_000, threshold: 3 });
  });
});

refuses([
  // The file itself.
  ["", {}, "the configuration file: expected a map of keys"],
  ["- a", {}, "the configuration file: expected a map of keys"],
  ["storage: inmemory", {}, 'version: the file must begin with "version: 0.1"'],
  ["version: 0.2\nstorage: inmemory", {}, 'version: the file must begin with "version: 0.1"'],
  ["version: 0.1\nhttp: {a: 1", {}, "the configuration file: not valid YAML at line 2"],
  ["version: 0.1\nhttp:\n  addr: a\n  addr: b", {}, "the configuration file: a key is given twice at line 4, column 3"],
  ["version: 0.1\nredis: {password: *hush}", {}, "the configuration file: not valid YAML"],
  // Secrets are not shown.
  [
    file(at("http.host", "https://user:hush@name")),
    {},
    "http.host: expected an absolute URL of http or https with no user, query or fragment, got a value not shown here, with credentials in it",
  ],
  [
    file(at("health.http", [{ uri: "http://a", headers: { Authorization: "hush\n" } }])),
    {},
    "health.http.0.headers.Authorization: expected a list of texts, such as [nosniff], got a value not shown here",
  ],
  [
    undefined,
    { REGISTRY_AUTH_TOKEN: "hush" },
    "auth.token (REGISTRY_AUTH_TOKEN): tokens of a token server cannot be checked yet",
  ],
  [undefined, { REGISTRY_AUTH: "{htpasswd: hush, x: *hush" }, "REGISTRY_AUTH: not valid YAML"],
]);

test("all that is wrong is said at once", () => {
  const found = problemsOf(
    file({
      log: { level: "loud" },
      storage: "s3",
      auth: { htpasswd: {} },
      http: { addr: "x", host: "y", tls: { certificate: "/c" } },
      health: { file: [{ interval: 3 }] },
      unknown: 1,
    }),
    { REGISTRY_CATALOG_MAXENTRIES: "many", REGISTRY_STORAGE_CASHE: "x" },
  );
  for (const key of [
    "log.level:",
    "storage.s3.bucket:",
    "auth.htpasswd.realm:",
    "auth.htpasswd.path:",
    "http.host:",
    "http.tls:",
    "health.file.0.file:",
    "health.file.0.interval:",
    "unknown:",
    "catalog.maxentries (REGISTRY_CATALOG_MAXENTRIES):",
    "REGISTRY_STORAGE_CASHE:",
  ]) {
    expect(found, key).toEqual(
      expect.arrayContaining([expect.stringMatching(new RegExp(`^${key.replaceAll(/[().]/g, String.raw`\$&`)}`))]),
    );
  }
  expect(new ConfigError(found).message).toContain(found.at(-1));
});
