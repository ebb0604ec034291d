/** Variables, beside a file and without one. */
import { describe, expect, test } from "vitest";
import type { Config } from "../../../shared/config/config.ts";
import { loadConfig } from "../../../shared/config/load.ts";
import { load, refuses, type Env } from "../../support/config.ts";

refuses([
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
]);

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
    [{ REGISTRY_STORAGE_MAINTENANCE_GC_GRACE: "2h" }, (c) => c.storage.gc.graceMs, 7_200_000],
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
      { kind: "htpasswd", realm: "R: s", anonymousPull: false, users: { kind: "file", path: "/p" } },
    ],
    [
      { REGISTRY_AUTH_HTPASSWD_REALM: "R", REGISTRY_AUTH_HTPASSWD_PATH: "/p" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "R", anonymousPull: false, users: { kind: "file", path: "/p" } },
    ],
    [
      { REGISTRY_AUTH: "{htpasswd: {realm: x, path: /y}}" },
      (c) => c.auth,
      { kind: "htpasswd", realm: "x", anonymousPull: false, users: { kind: "file", path: "/y" } },
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
      { kind: "htpasswd", realm: "r", anonymousPull: false, users: { kind: "file", path: "/q" } },
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
