/** `http.tls`: never does it fall back to plain HTTP. */
import { getCiphers } from "node:tls";
import { describe, expect, test } from "vitest";
import { accepts, at, file, ignores, load, refuses, warns } from "../../support/config.ts";

ignores([
  [
    "http.tls",
    { certificate: "/c", key: "/k", minimumtls: "tls1.3", ciphersuites: ["TLS_AES_128_GCM_SHA256"] },
    "http.tls.ciphersuites",
    "TLS 1.3 chooses its own",
  ],
]);

accepts([["http.tls.letsencrypt", { hosts: [], email: "" }]]);

warns([
  ["http", { addr: ":1", tls: { certificate: "", key: "" } }, "plain HTTP is served"],
  ["http", { addr: ":1", tls: { certificate: "/c", key: "/k", minimumtls: "tls1.0" } }, "broken"],
]);

refuses([
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
]);

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
