import type * as z from "zod";
import type { ClientAuth, TlsConfig } from "./config.ts";
import type { Report } from "./report.ts";
import { choice, isEmpty, refused, section, setting, text, texts } from "./values.ts";

const path = ["http", "tls"];

export const tls = section({
  certificate: setting(text("the path of a PEM file")),
  key: setting(text("the path of a PEM file")),
  clientcas: setting(texts("a list of paths of PEM files")),
  clientauth: setting(
    choice(
      "request-client-cert",
      "require-any-client-cert",
      "verify-client-cert-if-given",
      "require-and-verify-client-cert",
    ),
  ),
  minimumtls: setting(choice("tls1.0", "tls1.1", "tls1.2", "tls1.3")),
  ciphersuites: setting(texts("a list of names of cipher suites")),
  letsencrypt: refused(
    "certificates are not fetched here; run certbot and give http.tls.certificate and http.tls.key, " +
      "or put a reverse proxy that fetches them in front",
    isEmpty,
  ),
});

const versions = { "tls1.0": "TLSv1", "tls1.1": "TLSv1.1", "tls1.2": "TLSv1.2", "tls1.3": "TLSv1.3" } as const;

/** The suites distribution names, in OpenSSL's words. */
const cipherSuites: Readonly<Record<string, string>> = {
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
  TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_AES_128_GCM_SHA256: "TLS_AES_128_GCM_SHA256",
  TLS_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384",
  TLS_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
};
const brokenSuite = /_(?:RC4|3DES)_/;

/**
 * Absent: plain HTTP. Distribution serves plain HTTP whenever there is no certificate, whatever
 * else the section asks for; here that is a problem.
 */
export function readTls(input: z.infer<typeof tls>, report: Report): TlsConfig | undefined {
  const { certificate, key } = input ?? {};
  const names = suites(input?.ciphersuites ?? [], report);
  const clientCAs = input?.clientcas ?? [];
  if (input?.clientauth && clientCAs.length === 0) {
    report.problem([...path, "clientauth"], "needs http.tls.clientcas, without which every client would be let in");
  }
  if (!certificate || !key) {
    const asked = Object.entries(input ?? {}).filter(([, value]) => !isEmpty(value));
    if (asked.length > 0) {
      const missing = [certificate ? "" : "http.tls.certificate", key ? "" : "http.tls.key"].filter(Boolean);
      report.problem(path, `needs ${missing.join(" and ")}, without which all would be sent in clear`);
    } else if (input && ("certificate" in input || "key" in input)) {
      report.notice(path, "certificate and key are empty, so plain HTTP is served");
    }
    return undefined;
  }
  const minimumVersion = versions[input?.minimumtls ?? "tls1.2"];
  if (minimumVersion === "TLSv1" || minimumVersion === "TLSv1.1") {
    report.notice(
      [...path, "minimumtls"],
      "TLS 1.0 and 1.1 are broken, and OpenSSL may refuse them whatever is set here",
    );
  }
  const onlyTls13 = minimumVersion === "TLSv1.3";
  if (onlyTls13 && names.length > 0) {
    report.noEffect([...path, "ciphersuites"], "TLS 1.3 chooses its own, as in distribution");
  }
  const clientAuth: ClientAuth =
    clientCAs.length > 0 ? (input?.clientauth ?? "require-and-verify-client-cert") : "none";
  return {
    certificate,
    key,
    clientCAs,
    clientAuth,
    minimumVersion,
    ...(names.length > 0 && !onlyTls13 ? { cipherSuites: names } : {}),
  };
}

function suites(names: readonly string[], report: Report): string[] {
  return names.flatMap((name, index) => {
    const suite = Object.hasOwn(cipherSuites, name) ? cipherSuites[name] : undefined;
    if (suite !== undefined) return [suite];
    const why = brokenSuite.test(name) ? "is broken, and OpenSSL no longer has it" : "is not a known cipher suite";
    report.problem([...path, "ciphersuites", index], `${JSON.stringify(name)} ${why}`);
    return [];
  });
}
