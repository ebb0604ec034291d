/** `health`. */
import { at, file, honours, refuses } from "../../support/config.ts";

honours([
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
]);

refuses([
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
]);
