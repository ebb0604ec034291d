import { readFileSync } from "node:fs";
import { getCiphers } from "node:tls";
import { describe, expect, test } from "vitest";
import type { Config } from "../../shared/config/config.ts";
import { allKeys } from "../../shared/config/keys.ts";
import { ConfigError, loadConfig } from "../../shared/config/load.ts";
import { dotted } from "../../shared/config/report.ts";
import { schema } from "../../shared/config/schema.ts";

type Env = Record<string, string | undefined>;

/** A file that says nothing beyond what every file must. */
const least = { version: "0.1", storage: "inmemory" };

/** JSON is YAML. */
function file(keys: Record<string, unknown>): string {
  return JSON.stringify({ ...least, ...keys });
}

function load(keys: Record<string, unknown>, env: Env = {}): ReturnType<typeof loadConfig> {
  return loadConfig({ yaml: file({ http: { addr: ":5000" }, ...keys }), env });
}

function problemsOf(yaml: string | undefined, env: Env = {}): readonly string[] {
  try {
    loadConfig({ yaml, env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** `{a: {b: value}}` for the path `a.b`. */
function at(path: string, value: unknown): Record<string, unknown> {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

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
        redirectDisabled: false,
        tagConcurrency: 8,
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
    expect(config.auth).toEqual({ kind: "htpasswd", realm: "Registry", path: "/etc/registry/htpasswd" });
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

  test("docs/configuration.md names every key", () => {
    const words = new Set(readFileSync("docs/configuration.md", "utf8").match(/[a-z0-9][a-z0-9.]*/g));
    const missing = [...allKeys(schema)].filter((path) => {
      if (path.includes("*")) return !words.has(String(path.at(-1)).replace("*", "list"));
      // A section is named by the keys in it.
      return ![...words].some((word) => word === dotted(path) || word.startsWith(`${dotted(path)}.`));
    });
    expect(missing.map(dotted)).toEqual([]);
  });
});

describe("keys that are honoured", () => {
  test.each<[path: string, value: unknown, pick: (config: Config) => unknown, expected: unknown]>([
    ["log.level", "debug", (c) => c.log.level, "debug"],
    ["log.level", "WARN", (c) => c.log.level, "warn"],
    ["loglevel", "error", (c) => c.log.level, "error"],
    ["log.formatter", "json", (c) => c.log.formatter, "json"],
    ["log.fields", { a: "b", n: 1, t: true }, (c) => c.log.fields, { a: "b", n: "1", t: "true" }],
    ["log.accesslog.disabled", true, (c) => c.log.accessLog, false],
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
    ["storage", { inmemory: {}, redirect: { disable: true } }, (c) => c.storage.redirectDisabled, true],
    ["storage", { inmemory: {}, tag: { concurrencylimit: 3 } }, (c) => c.storage.tagConcurrency, 3],
    ["storage", { inmemory: {}, tag: { concurrencylimit: 0 } }, (c) => c.storage.tagConcurrency, 8],
    [
      "storage",
      { inmemory: {}, maintenance: { uploadpurging: { enabled: false, age: "1h30m", interval: "10m", dryrun: true } } },
      (c) => c.storage.uploadPurging,
      { enabled: false, ageMs: 5_400_000, intervalMs: 600_000, dryRun: true },
    ],
    ["auth", { htpasswd: { realm: "r", path: "/p" } }, (c) => c.auth, { kind: "htpasswd", realm: "r", path: "/p" }],
    ["auth", "none", (c) => c.auth, { kind: "none" }],
    ["auth.none", null, (c) => c.auth, { kind: "none" }],
    ["http.addr", ":5000", (c) => c.http.listen, { kind: "tcp", host: "", port: 5000 }],
    ["http.addr", "0.0.0.0:80", (c) => c.http.listen, { kind: "tcp", host: "0.0.0.0", port: 80 }],
    ["http.addr", "[::]:5000", (c) => c.http.listen, { kind: "tcp", host: "::", port: 5000 }],
    ["http.addr", "localhost:0", (c) => c.http.listen, { kind: "tcp", host: "localhost", port: 0 }],
    ["http", { net: "tcp", addr: "a:1" }, (c) => c.http.listen, { kind: "tcp", host: "a", port: 1 }],
    ["http", { net: "unix", addr: "/run/r.sock" }, (c) => c.http.listen, { kind: "unix", path: "/run/r.sock" }],
    ["http.host", "https://name:4443", (c) => c.http.baseUrl, "https://name:4443"],
    ["http.host", "https://name/x/", (c) => c.http.baseUrl, "https://name/x"],
    ["http.host", "", (c) => c.http.baseUrl, undefined],
    ["http.prefix", "/", (c) => c.http.prefix, "/"],
    ["http.prefix", "/x/", (c) => c.http.prefix, "/x/"],
    ["http.prefix", "x/y", (c) => c.http.prefix, "/x/y/"],
    ["http.draintimeout", "60s", (c) => c.http.drainTimeoutMs, 60_000],
    ["http.draintimeout", 0, (c) => c.http.drainTimeoutMs, 0],
    ["http.draintimeout", "1.5s", (c) => c.http.drainTimeoutMs, 1500],
    ["http.draintimeout", "1us", (c) => c.http.drainTimeoutMs, 1],
    ["http.headers", { "X-A": ["b", "c"], "X-D": "e" }, (c) => c.http.headers, { "X-A": ["b", "c"], "X-D": ["e"] }],
    ["http.debug.addr", "localhost:1", (c) => c.http.debug, { listen: { kind: "tcp", host: "localhost", port: 1 } }],
    [
      "http.debug",
      { addr: ":1", prometheus: { enabled: true } },
      (c) => c.http.debug?.prometheus,
      { path: "/metrics" },
    ],
    [
      "health.file",
      [{ file: "/f", interval: "1m" }],
      (c) => c.health.file,
      [{ file: "/f", intervalMs: 60_000, threshold: 1 }],
    ],
    [
      "health.http",
      [{ uri: "http://a/b?c", headers: { Authorization: ["x"] }, statuscode: 204, timeout: "3s", threshold: 3 }],
      (c) => c.health.http,
      [
        {
          uri: "http://a/b?c",
          headers: { Authorization: ["x"] },
          statusCode: 204,
          timeoutMs: 3000,
          intervalMs: 10_000,
          threshold: 3,
        },
      ],
    ],
    [
      "health.tcp",
      [{ addr: "redis:6379", interval: 0 }],
      (c) => c.health.tcp,
      [{ host: "redis", port: 6379, timeoutMs: 5000, intervalMs: 10_000, threshold: 1 }],
    ],
    ["catalog.maxentries", 5, (c) => c.catalog.maxEntries, 5],
    ["catalog.maxentries", -1, (c) => c.catalog.maxEntries, 1000],
    ["tags.maxtags", 5, (c) => c.tags.maxEntries, 5],
    ["validation.manifests.sparse", true, (c) => c.validation.allowSparseManifests, true],
    ["validation.manifests.indexes.platforms", "None", (c) => c.validation.allowSparseIndexes, true],
    ["validation.manifests.indexes.platforms", "all", (c) => c.validation.allowSparseIndexes, false],
    ["validation.disabled", true, (c) => c.validation.urls.checked, false],
    ["validation.disabled", true, (c) => c.validation.allowSparseIndexes, true],
    ["validation", { disabled: true, enabled: true }, (c) => c.validation.urls.checked, true],
    [
      "validation.manifests.urls",
      { allow: [String.raw`^https?://([^/]+\.)*example\.com/`], deny: ["x"] },
      (c) => c.validation.urls,
      { checked: true, allow: [String.raw`^https?://([^/]+\.)*example\.com/`], deny: ["x"] },
    ],
  ])("%s: %j", (path, value, pick, expected) => {
    expect(pick(load(at(path, value)).config)).toEqual(expected);
  });

  test("log.level wins over loglevel", () => {
    const { config, notices } = load({ loglevel: "debug", log: { level: "warn" } });
    expect(config.log.level).toBe("warn");
    expect(notices).toEqual(["loglevel has no effect here, because log.level is set"]);
  });
});

describe("keys that have no effect are named once, with the reason", () => {
  test.each<[path: string, value: unknown, key: string, because: string]>([
    ["log.hooks", [{ type: "mail", levels: ["panic"] }], "log.hooks", "no mail is sent"],
    ["log.reportcaller", true, "log.reportcaller", "not the line of code"],
    ["storage.filesystem.maxthreads", 100, "storage.filesystem.maxthreads", "Node bounds its own threads"],
    ["storage", { inmemory: {}, cache: { layerinfo: "redis" } }, "storage.cache", "nothing is cached"],
    ["storage", { inmemory: {}, redirect: { disable: false } }, "storage.redirect", "no address of its own"],
    ["http.secret", "s", "http.secret", "too short to sign addresses with"],
    ["http.uploads.clients", ["^x/"], "http.uploads.clients", "http.uploads.host is not set"],
    ["http.uploads.previoussecrets", ["0123456789abcdef"], "http.uploads.previoussecrets", "http.secret is not set"],
    ["http.relativeurls", false, "http.relativeurls", "every client resolves it"],
    ["http.http2.disabled", false, "http.http2", "only HTTP/1.1 is served"],
    ["http.debug.prometheus.enabled", true, "http.debug.prometheus", "http.debug.addr"],
    ["notifications.events.includereferences", true, "notifications.events", "no notifications are sent"],
    ["redis", { addr: "localhost:6379", pool: { maxidle: 16 } }, "redis", "only hold a cache"],
    ["redis", { addrs: ["localhost:6379"] }, "redis", "only hold a cache"],
    ["reporting.bugsnag.apikey", "s", "reporting", "Bugsnag"],
    ["compatibility.schema1.enabled", true, "compatibility.schema1", "schema 1"],
    [
      "validation.manifests.indexes.platformlist",
      [{ architecture: "amd64", os: "linux" }],
      "validation.manifests.indexes.platformlist",
      "platforms: list",
    ],
    [
      "http.tls",
      { certificate: "/c", key: "/k", minimumtls: "tls1.3", ciphersuites: ["TLS_AES_128_GCM_SHA256"] },
      "http.tls.ciphersuites",
      "TLS 1.3 chooses its own",
    ],
  ])("%s: %j", (path, value, key, because) => {
    const { notices } = load({ http: { addr: ":1" }, ...merge(at(path, value)) });
    expect(notices).toHaveLength(1);
    expect(notices[0]).toMatch(new RegExp(`^${key} has no effect here, because `));
    expect(notices[0]).toContain(because);
  });

  test.each<[path: string, value: unknown]>([
    ["log.hooks", [{ type: "mail", disabled: true }]],
    ["http.relativeurls", true],
    ["http.http2.disabled", true],
    ["http.h2c.enabled", false],
    ["redis", { tls: { enabled: false } }],
    ["notifications.endpoints", []],
    ["notifications.endpoints", [{ name: "a", url: "http://x", disabled: true }]],
    ["middleware", { storage: [{ name: "redirect", disabled: true }], registry: null }],
    ["proxy.remoteurl", ""],
    ["policy.repository.classes", []],
    ["http.tls.letsencrypt", { hosts: [], email: "" }],
    ["compatibility.schema1.enabled", false],
  ])("nothing is said of %s: %j, which asks for what is done", (path, value) => {
    expect(load(merge(at(path, value))).notices).toEqual([]);
  });

  function merge(keys: Record<string, unknown>): Record<string, unknown> {
    return { ...keys, http: { addr: ":1", ...(keys["http"] as object | undefined) } };
  }

  test.each<[path: string, value: unknown, notice: string]>([
    ["log.formatter", "logstash", "log.formatter: logstash is written as json"],
    ["http", {}, "http.addr: is not set, so only this machine"],
    ["http", { addr: ":1", tls: { certificate: "", key: "" } }, "plain HTTP is served"],
    ["http", { addr: ":1", tls: { certificate: "/c", key: "/k", minimumtls: "tls1.0" } }, "broken"],
  ])("%s: %j is done, with a warning", (path, value, notice) => {
    expect(load(at(path, value)).notices).toEqual([expect.stringContaining(notice)]);
  });
});

describe("uploads on another host", () => {
  const secret = "0123456789abcdef";
  const host = "https://uploads.example.com";
  const uploadsOf = (http: Record<string, unknown>, env: Env = {}): Config["http"]["uploads"] =>
    load({ http: { addr: ":1", ...http } }, env).config.http.uploads;

  test.each<[http: Record<string, unknown>, expected: object | undefined]>([
    [{}, undefined],
    [{ secret: "" }, undefined],
    [{ uploads: {} }, undefined],
    [{ uploads: { host: "" } }, undefined],
    [{ secret }, { secrets: [secret], expiryMs: 43_200_000 }],
    [
      { secret, uploads: { expiry: "10m" } },
      { secrets: [secret], expiryMs: 600_000 },
    ],
    [
      { secret, uploads: { host } },
      { secrets: [secret], expiryMs: 43_200_000, host },
    ],
    [{ secret, uploads: { host: `${host}:8443/x/` } }, { host: `${host}:8443/x` }],
    [{ secret, uploads: { host, clients: ["^oras/", "Helm"] } }, { clients: ["^oras/", "Helm"] }],
    [{ secret, uploads: { host, clients: "^oras/" } }, { clients: ["^oras/"] }],
    [{ secret, uploads: { host, clients: [] } }, { clients: [] }],
    [{ secret, host, uploads: { host: `${host}/u` } }, { clients: [""] }],
    [{ secret, host, uploads: { host: `${host}:444` } }, { clients: expect.not.arrayContaining([""]) as unknown }],
    [{ secret, host, uploads: { host, clients: ["a"] } }, { clients: ["a"] }],
    [
      { secret, uploads: { host, previoussecrets: ["the one before this", "and another before that"] } },
      { secrets: [secret, "the one before this", "and another before that"] },
    ],
  ])("%j", (http, expected) => {
    if (expected === undefined) expect(uploadsOf(http)).toBeUndefined();
    else expect(uploadsOf(http)).toMatchObject(expected);
  });

  test("by variables", () => {
    expect(
      uploadsOf(
        {},
        {
          REGISTRY_HTTP_SECRET: "0123456789012345",
          REGISTRY_HTTP_UPLOADS_HOST: host,
          REGISTRY_HTTP_UPLOADS_CLIENTS: "['^a/']",
          REGISTRY_HTTP_UPLOADS_EXPIRY: "1h",
          REGISTRY_HTTP_UPLOADS_PREVIOUSSECRETS: "[the one before this]",
        },
      ),
    ).toEqual({ secrets: ["0123456789012345", "the one before this"], expiryMs: 3_600_000, host, clients: ["^a/"] });
  });

  test.each<[http: Record<string, unknown>, problem: string]>([
    [{ uploads: { host } }, "http.secret: is not set, and http.uploads.host needs it"],
    [{ secret: "hush", uploads: { host } }, "http.secret: is too short"],
    [{ secret, uploads: { host, previoussecrets: [secret, "hush"] } }, "http.uploads.previoussecrets.1: is too short"],
    [{ secret, uploads: { host, clients: ["^a/", "["] } }, 'http.uploads.clients.1: "[" is not a regular expression'],
    [{ secret, uploads: { host, clients: [1] } }, "http.uploads.clients: expected a list of regular expressions"],
    [{ secret, uploads: { host: "uploads.example.com" } }, "http.uploads.host: expected an absolute URL"],
    [{ secret, uploads: { host: "https://u:p@x" } }, "http.uploads.host: expected an absolute URL"],
    [{ secret, uploads: { host: "https://x?y" } }, "http.uploads.host: expected an absolute URL"],
    [{ secret, uploads: { host, expiry: 0 } }, "http.uploads.expiry: expected a duration"],
    [{ secret, uploads: { hots: host } }, "http.uploads.hots: is not a key of the configuration; did you mean"],
  ])("%j is refused", (http, problem) => {
    const found = problemsOf(file({ http: { addr: ":1", ...http } }));
    expect(found).toEqual([expect.stringContaining(problem)]);
    expect(found.join("\n")).not.toContain("hush");
  });

  test.each<[agent: string, sent: boolean]>([
    ["containerd/v2.3.4", true],
    ["containerd/1.7.34", true],
    ["docker/29.7.2 go/go1.26 git-commit/x kernel/6 os/linux arch/amd64 UpstreamClient(Docker-Client/29.7.2)", true],
    ["docker/29.0.0 go/go1.25 containerd-client/2.1.5+unknown storage-driver/overlayfs UpstreamClient(x)", true],
    ["buildkit/v0.32.2", true],
    ["libpod/5.4.2", true],
    ["skopeo/1.18.0", true],
    ["Buildah/1.40.0", true],
    ["containers/5.34.0 (github.com/containers/image)", true],
    ["crane/v0.21.9 go-containerregistry/v0.21.9", true],
    ["cosign/v2.4.1 (linux; amd64) go-containerregistry/v0.21.7", true],
    ["go-containerregistry/v0.20.2", true],
    ["regclient/regctl (v0.11.5)", true],
    ["oras/1.3.3", false],
    ["Helm/4.2.4", false],
    ["oras-go", false],
    ["Go-http-client/2.0", false],
    ["curl/8.5.0", false],
    ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", false],
    ["something containerd/2", false],
    ["", false],
  ])("%s by itself: %s", (agent, sent) => {
    const patterns = uploadsOf({ secret, uploads: { host } })?.clients ?? [];
    expect(patterns.some((source) => new RegExp(source, "iu").test(agent))).toBe(sent);
  });
});

describe("tls", () => {
  const files = { certificate: "/c.pem", key: "/k.pem" };
  const plain = { ...files, clientCAs: [], clientAuth: "none", minimumVersion: "TLSv1.2" };

  test.each<[tls: Record<string, unknown>, expected: unknown]>([
    [{}, undefined],
    [files, plain],
    [
      { ...files, minimumtls: "tls1.1" },
      { ...plain, minimumVersion: "TLSv1.1" },
    ],
    [
      { ...files, minimumtls: "tls1.3" },
      { ...plain, minimumVersion: "TLSv1.3" },
    ],
    [
      { ...files, clientcas: ["/ca"] },
      { ...plain, clientCAs: ["/ca"], clientAuth: "require-and-verify-client-cert" },
    ],
    [
      { ...files, clientcas: "/ca", clientauth: "request-client-cert" },
      { ...plain, clientCAs: ["/ca"], clientAuth: "request-client-cert" },
    ],
    [
      { ...files, ciphersuites: ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"] },
      { ...plain, cipherSuites: ["ECDHE-RSA-CHACHA20-POLY1305", "TLS_AES_256_GCM_SHA384"] },
    ],
  ])("%j", (tls, expected) => {
    expect(load({ http: { addr: ":1", tls } }).config.http.tls).toEqual(expected);
  });

  test("every cipher suite of distribution 3 that OpenSSL has is one that Node has", () => {
    const suites = [
      ...["AES_128_CBC_SHA", "AES_256_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384"].flatMap((suite) =>
        ["RSA", "ECDHE_RSA", "ECDHE_ECDSA"].map((exchange) => `TLS_${exchange}_WITH_${suite}`),
      ),
      "TLS_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
      "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
      "TLS_AES_128_GCM_SHA256",
      "TLS_AES_256_GCM_SHA384",
      "TLS_CHACHA20_POLY1305_SHA256",
    ];
    const names = load({ http: { addr: ":1", tls: { ...files, ciphersuites: suites } } }).config.http.tls?.cipherSuites;
    expect(names).toHaveLength(suites.length);
    expect(getCiphers()).toEqual(expect.arrayContaining((names ?? []).map((name) => name.toLowerCase())));
  });
});

describe("variables", () => {
  test.each<[env: Env, pick: (config: Config) => unknown, expected: unknown]>([
    [{ REGISTRY_HTTP_ADDR: ":6000" }, (c) => c.http.listen, { kind: "tcp", host: "", port: 6000 }],
    [{ REGISTRY_HTTP_ADDR: "[::]:5000" }, (c) => c.http.listen, { kind: "tcp", host: "::", port: 5000 }],
    [{ REGISTRY_HTTP_ADDR: '"a:1"' }, (c) => c.http.listen, { kind: "tcp", host: "a", port: 1 }],
    [{ REGISTRY_HTTP_ADDR: "/s", REGISTRY_HTTP_NET: "unix" }, (c) => c.http.listen, { kind: "unix", path: "/s" }],
    [{ REGISTRY_HTTP_HOST: "https://name:4443" }, (c) => c.http.baseUrl, "https://name:4443"],
    [{ REGISTRY_HTTP_DRAINTIMEOUT: "5s" }, (c) => c.http.drainTimeoutMs, 5000],
    [{ REGISTRY_STORAGE: "inmemory" }, (c) => c.storage.driver, { kind: "inmemory" }],
    [{ REGISTRY_STORAGE_DELETE_ENABLED: "true" }, (c) => c.storage.deleteEnabled, true],
    [{ REGISTRY_STORAGE_DELETE_ENABLED: "" }, (c) => c.storage.deleteEnabled, false],
    [{ REGISTRY_STORAGE_MAINTENANCE_READONLY: "{enabled: true}" }, (c) => c.storage.readOnly, true],
    [{ REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "true" }, (c) => c.storage.readOnly, true],
    [{ REGISTRY_STORAGE_TAG_CONCURRENCYLIMIT: "2" }, (c) => c.storage.tagConcurrency, 2],
    [
      { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: "/x" },
      (c) => c.storage.driver,
      { kind: "filesystem", rootDirectory: "/x" },
    ],
    [
      { REGISTRY_STORAGE: "filesystem", REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: "123" },
      (c) => c.storage.driver,
      { kind: "filesystem", rootDirectory: "123" },
    ],
    [
      { REGISTRY_AUTH: "htpasswd", REGISTRY_AUTH_HTPASSWD_REALM: "R: s", REGISTRY_AUTH_HTPASSWD_PATH: "/p" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "R: s", path: "/p" },
    ],
    [
      { REGISTRY_AUTH_HTPASSWD_REALM: "R", REGISTRY_AUTH_HTPASSWD_PATH: "/p" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "R", path: "/p" },
    ],
    [
      { REGISTRY_AUTH: "{htpasswd: {realm: x, path: /y}}" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "x", path: "/y" },
    ],
    [{ REGISTRY_LOG_LEVEL: "debug" }, (c) => c.log.level, "debug"],
    [{ REGISTRY_LOGLEVEL: "debug" }, (c) => c.log.level, "debug"],
    [{ REGISTRY_LOG_FIELDS_ENV: "7" }, (c) => c.log.fields, { env: "7" }],
    [{ REGISTRY_LOG: "{level: warn, formatter: json}" }, (c) => c.log.formatter, "json"],
    [
      { "REGISTRY_HTTP_HEADERS_ACCESS-CONTROL-ALLOW-ORIGIN": '["*"]' },
      (c) => c.http.headers,
      { "access-control-allow-origin": ["*"] },
    ],
    [
      { "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": '["*"]' },
      (c) => c.http.headers,
      { "access-control-allow-origin": ["*"] },
    ],
    [{ REGISTRY_HTTP_HEADERS: "{X-A: [b]}" }, (c) => c.http.headers, { "X-A": ["b"] }],
    [
      {
        REGISTRY_HTTP_TLS_CERTIFICATE: "/c",
        REGISTRY_HTTP_TLS_KEY: "/k",
        REGISTRY_HTTP_TLS_CLIENTCAS: '["/a", "/b"]',
      },
      (c) => c.http.tls?.clientCAs,
      ["/a", "/b"],
    ],
    [
      {
        REGISTRY_HTTP_TLS_CERTIFICATE: "/c",
        REGISTRY_HTTP_TLS_KEY: "/k",
        REGISTRY_HTTP_TLS_CLIENTCAS_0: "/a",
        REGISTRY_HTTP_TLS_CLIENTCAS_1: "/b",
      },
      (c) => c.http.tls?.clientCAs,
      ["/a", "/b"],
    ],
    [{ REGISTRY_HEALTH_FILE_0_FILE: "/f" }, (c) => c.health.file[0]?.file, "/f"],
    [{ REGISTRY_HEALTH_FILECHECKERS: "[{file: /f}]" }, (c) => c.health.file[0]?.file, "/f"],
    [{ REGISTRY_CATALOG_MAXENTRIES: "7" }, (c) => c.catalog.maxEntries, 7],
  ])("%j, with no file", (env, pick, expected) => {
    const { config, notices } = loadConfig({ env });
    expect(notices).toEqual([]);
    expect(pick(config)).toEqual(expected);
  });

  test.each<[file: Record<string, unknown>, env: Env, pick: (config: Config) => unknown, expected: unknown]>([
    [{ log: { level: "warn", formatter: "json" } }, { REGISTRY_LOG_LEVEL: "debug" }, (c) => c.log, undefined],
    [
      { http: { addr: ":1", headers: { "X-Content-Type-Options": ["nosniff"] } } },
      { "REGISTRY_HTTP_HEADERS_X-CONTENT-TYPE-OPTIONS": "[a]" },
      (c) => c.http.headers,
      { "X-Content-Type-Options": ["a"] },
    ],
    [
      { auth: { htpasswd: { realm: "r", path: "/p" } } },
      { REGISTRY_AUTH_HTPASSWD_PATH: "/q" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "r", path: "/q" },
    ],
    [
      { http: { addr: ":1", tls: { certificate: "/c", key: "/k", clientcas: ["/a", "/b"] } } },
      { REGISTRY_HTTP_TLS_CLIENTCAS_1: "/x" },
      (c) => c.http.tls?.clientCAs,
      ["/a", "/x"],
    ],
    [
      { storage: { inmemory: {}, maintenance: { readonly: true } } },
      { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "false" },
      (c) => c.storage.readOnly,
      false,
    ],
  ])("%j and %j", (keys, env, pick, expected) => {
    const picked = pick(load(keys, env).config);
    expect(picked).toEqual(expected ?? { level: "debug", formatter: "json", fields: {}, accessLog: true });
  });

  test("REGISTRY_STORAGE replaces the file's section, and says what that takes away", () => {
    const { config, notices } = load(
      { storage: { filesystem: { rootdirectory: "/x" }, delete: { enabled: true }, tag: { concurrencylimit: 2 } } },
      { REGISTRY_STORAGE: "inmemory", REGISTRY_STORAGE_TAG_CONCURRENCYLIMIT: "3" },
    );
    expect(config.storage).toMatchObject({ driver: { kind: "inmemory" }, deleteEnabled: false, tagConcurrency: 3 });
    expect(notices).toEqual([
      "REGISTRY_STORAGE: replaces the whole section, as in distribution; " +
        "without effect in the file: storage.filesystem, storage.delete, storage.tag",
    ]);
  });

  test("a map that an alias puts in two places is changed in one", () => {
    const { config } = loadConfig({
      yaml: "version: 0.1\nstorage: inmemory\nhttp: {addr: ':1', headers: &h {X-A: [b]}}\nhealth: {http: [{uri: 'http://a', headers: *h}]}",
      env: { "REGISTRY_HTTP_HEADERS_X-A": "[c]" },
    });
    expect(config.http.headers).toEqual({ "X-A": ["c"] });
    expect(config.health.http[0]?.headers).toEqual({ "X-A": ["b"] });
  });

  test.each<[variable: string, value: string, notice: string]>([
    ["REGISTRY_HTP_ADDR", ":1", "did you mean REGISTRY_HTTP_ADDR?"],
    ["REGISTRY_HTTP_ADR", ":1", "did you mean REGISTRY_HTTP_ADDR?"],
    ["REGISTRY_HTTP_ADDR_X", "1", "names no key of the configuration, and has no effect"],
    ["REGISTRY_IMAGE_TAG_PREFIX", "1", "names no key of the configuration, and has no effect"],
    ["REGISTRY_LOG_HTTP__X", "1", "names no key of the configuration, and has no effect"],
    ["REGISTRY_PORT", "5000", "names no key of the configuration, and has no effect"],
    ["REGISTRY_AUTH_FILE", "/run/auth.json", "REGISTRY_AUTH_FILE has no effect here, because it is podman's"],
    ["REGISTRY_VERSION", "2.8.3", "REGISTRY_VERSION has no effect here"],
    ["REGISTRY_HTTP_SECRET", "hush", "http.secret (REGISTRY_HTTP_SECRET) has no effect here"],
    ["REGISTRY_REDIS_ADDR", "a:1", "redis has no effect here"],
  ])("%s=%s: one notice", (variable, value, notice) => {
    const { notices } = loadConfig({ env: { [variable]: value } });
    expect(notices).toEqual([expect.stringContaining(notice)]);
    expect(notices.join()).not.toContain("hush");
  });

  test.each<[variable: string, value: string]>([
    ["REGISTRY_CONFIGURATION_PATH", "/etc/registry/config.yml"],
    ["REGISTRY_PORT", "tcp://10.0.0.1:5000"],
    ["REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"],
    ["REGISTRY_SERVICE_HOST", "10.0.0.1"],
    ["REGISTRY_AUTH_SERVICE_PORT_HTTP", "80"],
    ["REGISTRY", "x"],
    ["registry_http_addr", ":1"],
    ["DOCKER_REGISTRY_HTTP_ADDR", ":1"],
  ])("%s=%s: nothing is said", (variable, value) => {
    expect(loadConfig({ env: { [variable]: value } })).toEqual(loadConfig({ env: {} }));
  });
});

describe("what is refused", () => {
  const problems: [yaml: string | undefined, env: Env, problem: string][] = [
    // The file itself.
    ["", {}, "the configuration file: expected a map of keys"],
    ["- a", {}, "the configuration file: expected a map of keys"],
    ["storage: inmemory", {}, 'version: the file must begin with "version: 0.1"'],
    ["version: 0.2\nstorage: inmemory", {}, 'version: the file must begin with "version: 0.1"'],
    ["version: 0.1\nhttp: {a: 1", {}, "the configuration file: not valid YAML at line 2"],
    [
      "version: 0.1\nhttp:\n  addr: a\n  addr: b",
      {},
      "the configuration file: a key is given twice at line 4, column 3",
    ],
    ["version: 0.1\nredis: {password: *hush}", {}, "the configuration file: not valid YAML"],
    // Keys that are not known.
    [file({ lgo: {} }), {}, "lgo: is not a key of the configuration; did you mean log?"],
    [file({ zzzzzz: 1 }), {}, "zzzzzz: is not a key of the configuration"],
    [
      file({ delete: { enabled: true } }),
      {},
      "delete: is not a key of the configuration; did you mean storage.delete?",
    ],
    [
      file(at("http.tls.certificat", "/c")),
      {},
      "http.tls.certificat: is not a key of the configuration; did you mean http.tls.certificate?",
    ],
    [
      file(at("auth.htpaswd.path", "/c")),
      {},
      "auth.htpaswd: is not a key of the configuration; did you mean auth.htpasswd?",
    ],
    [
      file(at("storage.filesytem", {})),
      {},
      "storage.filesytem: is not a key of the configuration; did you mean storage.filesystem?",
    ],
    [file(at("http.Addr", ":1")), {}, "http.Addr: is not a key of the configuration; did you mean http.addr?"],
    // Variables that name no key, where that would be dangerous.
    [
      undefined,
      { REGISTRY_AUTH_HTPASWD_PATH: "/p" },
      "REGISTRY_AUTH_HTPASWD_PATH: names no key of the configuration; did you mean REGISTRY_AUTH_HTPASSWD_PATH?",
    ],
    [
      undefined,
      { REGISTRY_AUHT: "htpasswd" },
      "REGISTRY_AUHT: names no key of the configuration; did you mean REGISTRY_AUTH?",
    ],
    [
      undefined,
      { REGISTRY_STORAGE_FILESYSTM_ROOTDIRECTORY: "/p" },
      "REGISTRY_STORAGE_FILESYSTM_ROOTDIRECTORY: names no key",
    ],
    [undefined, { REGISTRY_HTTP_TLS_CERT: "/c" }, "REGISTRY_HTTP_TLS_CERT: names no key"],
    // Wrong values.
    [file(at("log.level", "loud")), {}, 'log.level: expected one of error, warn, info, debug, got "loud"'],
    [file(at("log", "loud")), {}, 'log: expected a map of keys, got "loud"'],
    [file(at("log.fields.a", {})), {}, "log.fields.a: expected a text, a number, true or false, got a map of keys"],
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
    [
      file(at("http.draintimeout", 60)),
      {},
      "http.draintimeout: expected a duration with its unit, such as 10s or 1h30m, at most 596h, got 60",
    ],
    [file(at("http.draintimeout", "-1s")), {}, "http.draintimeout: expected"],
    [file(at("http.draintimeout", "1s x")), {}, "http.draintimeout: expected"],
    [
      file(at("http.addr", 5000)),
      {},
      "http.addr: expected host:port, such as :5000 or 127.0.0.1:5000 or [::1]:5000, got 5000",
    ],
    [
      file(at("http.addr", "localhost")),
      {},
      'http.addr: expected host:port, such as :5000 or 127.0.0.1:5000 or [::1]:5000, got "localhost"',
    ],
    [file(at("http.addr", "::1:5000")), {}, "http.addr: expected"],
    [file(at("http.addr", ":65536")), {}, "http.addr: expected"],
    [file({ http: { net: "udp", addr: ":1" } }), {}, 'http.net: expected one of tcp, unix, got "udp"'],
    [file({ http: { net: "unix" } }), {}, "http.addr: expected the path of a socket, as http.net is unix, got nothing"],
    [
      file(at("http.host", "name:4443")),
      {},
      'http.host: expected an absolute URL of http or https with no user, query or fragment, got "name:4443"',
    ],
    [file(at("http.host", "https://a/?b")), {}, "http.host: expected"],
    [file(at("http.prefix", "/a/../b/")), {}, "http.prefix: expected a path such as /registry/"],
    [
      file(at("http.headers.X-A", { a: 1 })),
      {},
      "http.headers.X-A: expected a list of texts, such as [nosniff], got a map of keys",
    ],
    [file(at("http.headers", { "X-A": ["1"], "x-a": ["2"] })), {}, "http.headers.x-a: this header is given twice"],
    [file(at("http.headers", { "X A": ["1"] })), {}, "http.headers.X A: is not a header that HTTP can carry"],
    [file(at("http.debug.addr", "5001")), {}, "http.debug.addr: expected host:port"],
    [
      file(at("http.debug.prometheus.path", "metrics")),
      {},
      "http.debug.prometheus.path: expected a path such as /metrics",
    ],
    [
      file(at("health.http", [{ uri: "ftp://a" }])),
      {},
      'health.http.0.uri: expected an absolute URL of http or https with no user or fragment, got "ftp://a"',
    ],
    [file(at("health.file", { file: "/f" })), {}, "health.file: expected a list, got a map of keys"],
    [
      file(at("health.file", [{}])),
      {},
      "health.file.0.file: expected the path of a file, got nothing (REGISTRY_HEALTH_FILE_0_FILE sets it too)",
    ],
    [file(at("health.tcp", [{ addr: "host" }])), {}, "health.tcp.0.addr: expected host:port"],
    [file(at("catalog.maxentries", 1.5)), {}, "catalog.maxentries: expected a whole number, got 1.5"],
    [
      file(at("validation.manifests.urls.deny", ["("])),
      {},
      'validation.manifests.urls.deny.0: "(" is not a regular expression',
    ],
    [file(at("validation.manifests.urls.deny", ["[[:alpha:]]"])), {}, "is not a regular expression"],
    [file(at("validation.manifests.urls.deny", [String.raw`bad\z`])), {}, "is not a regular expression"],
    [
      file(at("validation.manifests.indexes.platforms", "list")),
      {},
      "validation.manifests.indexes.platforms: list cannot be used yet",
    ],
    // Variables are named beside the key.
    [
      undefined,
      { REGISTRY_HTTP_ADDR: "5000" },
      'http.addr (REGISTRY_HTTP_ADDR): expected host:port, such as :5000 or 127.0.0.1:5000 or [::1]:5000, got "5000"',
    ],
    [undefined, { REGISTRY_HTTP: "{addr: 1}" }, "http.addr (REGISTRY_HTTP): expected"],
    [undefined, { REGISTRY_HTTP: "{addr: ]" }, "REGISTRY_HTTP: not valid YAML"],
    [
      undefined,
      { REGISTRY_HTTP_TLS_CLIENTCAS_1: "/a" },
      "REGISTRY_HTTP_TLS_CLIENTCAS_1: http.tls.clientcas.1 is past the end of the list",
    ],
    [
      undefined,
      { REGISTRY_STORAGE_DELETE_ENABLED: "ture" },
      'storage.delete.enabled (REGISTRY_STORAGE_DELETE_ENABLED): expected true or false, got "ture"',
    ],
    // Storage.
    ["version: 0.1", {}, "storage: expected a driver, filesystem or inmemory, got none"],
    [
      "version: 0.1\nstorage: {delete: {enabled: true}}",
      {},
      "storage: expected a driver, filesystem or inmemory, got none",
    ],
    ["version: 0.1\nstorage:", {}, "storage: expected a driver, filesystem or inmemory, got nothing"],
    [
      undefined,
      { REGISTRY_STORAGE: "" },
      "storage (REGISTRY_STORAGE): expected a driver, filesystem or inmemory, got nothing",
    ],
    [
      file({}),
      { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: "/x" },
      "storage: expected one driver, got filesystem and inmemory",
    ],
    [file({ storage: "s3" }), {}, "storage.s3: Amazon S3 and what speaks like it cannot be used yet"],
    [file(at("storage.s3aws.bucket", "b")), {}, "storage.s3aws: Amazon S3"],
    [
      file({}),
      { REGISTRY_STORAGE: "s3", REGISTRY_STORAGE_S3_SECRETKEY: "hush" },
      "storage.s3 (REGISTRY_STORAGE): Amazon S3",
    ],
    [file({ storage: "azure" }), {}, "storage.azure: Azure Blob Storage cannot be used yet"],
    [file({ storage: "gcs" }), {}, "storage.gcs: "],
    [file({ storage: "swift" }), {}, "storage.swift: "],
    [file({ storage: "oss" }), {}, "storage.oss: "],
    // Authentication never falls back to none.
    [file({ auth: null }), {}, "auth: expected htpasswd with its realm and path, or none"],
    [file({ auth: {} }), {}, "auth: names nothing"],
    [file({ auth: "" }), {}, "auth: expected htpasswd with its realm and path, or none"],
    [
      file({ auth: { htpasswd: { realm: "r", path: "/p" } } }),
      { REGISTRY_AUTH: "" },
      "auth (REGISTRY_AUTH): expected htpasswd",
    ],
    [
      file({ auth: "htpasswd" }),
      {},
      "auth.htpasswd.path: expected the path of an htpasswd file, got nothing (REGISTRY_AUTH_HTPASSWD_PATH sets it too)",
    ],
    [file(at("auth.htpasswd", null)), {}, "auth.htpasswd.realm: expected the realm to name to a client, got nothing"],
    [file(at("auth.htpasswd.path", "/p")), {}, "auth.htpasswd.realm: expected"],
    [
      undefined,
      { REGISTRY_AUTH_HTPASSWD_PATH: "", REGISTRY_AUTH_HTPASSWD_REALM: "" },
      "auth.htpasswd.path (REGISTRY_AUTH_HTPASSWD_PATH): expected the path of an htpasswd file, got nothing",
    ],
    [
      file({ auth: { htpasswd: { realm: "r", path: "/p" }, none: null } }),
      {},
      "auth: expected one of htpasswd and none, got htpasswd and none",
    ],
    [file({ auth: { token: { realm: "hush" } } }), {}, "auth.token: tokens of a token server cannot be checked yet"],
    [file({ auth: "silly" }), {}, "auth.silly: silly lets in whoever sends any Authorization header"],
    // TLS never falls back to plain HTTP.
    [
      file(at("http.tls.certificate", "/c")),
      {},
      "http.tls: needs http.tls.key, without which all would be sent in clear",
    ],
    [file(at("http.tls.key", "/c")), {}, "http.tls: needs http.tls.certificate"],
    [file(at("http.tls.minimumtls", "tls1.2")), {}, "http.tls: needs http.tls.certificate and http.tls.key"],
    [
      file(at("http.tls", { certificate: "/c", key: "/k", clientauth: "require-any-client-cert" })),
      {},
      "http.tls.clientauth: needs http.tls.clientcas",
    ],
    [
      file(at("http.tls", { certificate: "/c", key: "/k", clientauth: "yes" })),
      {},
      "http.tls.clientauth: expected one of request-client-cert",
    ],
    [
      file(at("http.tls", { certificate: "/c", key: "/k", minimumtls: "ssl3" })),
      {},
      'http.tls.minimumtls: expected one of tls1.0, tls1.1, tls1.2, tls1.3, got "ssl3"',
    ],
    [
      file(at("http.tls", { certificate: "/c", key: "/k", ciphersuites: ["X"] })),
      {},
      'http.tls.ciphersuites.0: "X" is not a known cipher suite',
    ],
    [
      file(at("http.tls", { certificate: "/c", key: "/k", ciphersuites: ["TLS_RSA_WITH_RC4_128_SHA"] })),
      {},
      "is broken, and OpenSSL no longer has it",
    ],
    [
      file(at("http.tls.letsencrypt.cachefile", "/c")),
      {},
      "http.tls.letsencrypt: certificates are not fetched here; run certbot",
    ],
    [
      undefined,
      { REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS_0: "a" },
      "http.tls.letsencrypt: certificates are not fetched here",
    ],
    [file(at("http.h2c.enabled", true)), {}, "http.h2c: HTTP/2 without TLS is not served"],
    // Sections that would be missed.
    [
      file(at("middleware.storage", [{ name: "cloudfront" }])),
      {},
      "middleware: middleware of distribution cannot be loaded here",
    ],
    [
      file(at("notifications.endpoints", [{ name: "a", url: "http://x" }])),
      {},
      "notifications.endpoints: notifications cannot be sent yet",
    ],
    [
      file({ proxy: { remoteurl: "https://x", password: "hush" } }),
      {},
      "proxy: a cache of another registry cannot be served yet",
    ],
    [
      file(at("policy.repository.classes", ["image"])),
      {},
      "policy.repository.classes: classes of repositories are not enforced here",
    ],
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
  ];

  test.each(problems)("%j with %j", (yaml, env, problem) => {
    const found = problemsOf(yaml, env);
    expect(found).toEqual(expect.arrayContaining([expect.stringContaining(problem)]));
    expect(found.join("\n")).not.toContain("hush");
  });

  test("nothing is said twice", () => {
    for (const [yaml, env] of problems) {
      const found = problemsOf(yaml, env);
      expect(new Set(found).size).toBe(found.length);
    }
  });

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
      "storage.s3:",
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
});
