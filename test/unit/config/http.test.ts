/** `http`, but for its sections that have files of their own. */
import { accepts, at, file, honours, ignores, refuses, warns } from "../../support/config.ts";

honours([
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
  ["http.debug", { addr: ":1", prometheus: { enabled: true } }, (c) => c.http.debug?.prometheus, { path: "/metrics" }],
]);

ignores([
  ["http.secret", "s", "http.secret", "too short to sign addresses with"],
  ["http.relativeurls", false, "http.relativeurls", "every client resolves it"],
  ["http.http2.disabled", false, "http.http2", "only HTTP/1.1 is served"],
  ["http.debug.prometheus.enabled", true, "http.debug.prometheus", "http.debug.addr"],
]);

accepts([
  ["http.relativeurls", true],
  ["http.http2.disabled", true],
  ["http.h2c.enabled", false],
]);

warns([["http", {}, "http.addr: is not set, so only this machine"]]);

refuses([
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
  [file(at("http.h2c.enabled", true)), {}, "http.h2c: HTTP/2 without TLS is not served"],
]);
