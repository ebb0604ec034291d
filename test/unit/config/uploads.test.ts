/** `http.uploads`. */
import { describe, expect, test } from "vitest";
import type { Config } from "../../../shared/config/config.ts";
import { file, ignores, load, problemsOf, type Env } from "../../support/config.ts";

ignores([
  ["http.uploads.clients", ["^x/"], "http.uploads.clients", "http.uploads.host is not set"],
  ["http.uploads.previoussecrets", ["0123456789abcdef"], "http.uploads.previoussecrets", "http.secret is not set"],
]);

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
    [
      { secret: "ssm:/lading/main/secret", uploads: { host, previoussecrets: ["the one before this"] } },
      {
        secrets: ["the one before this"],
        secretParameter: { kind: "parameter", service: "ssm", name: "/lading/main/secret" },
      },
    ],
    [
      { secret: "secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:lading/main-AbCdEf" },
      {
        secrets: [],
        secretParameter: {
          kind: "parameter",
          service: "secretsmanager",
          name: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:lading/main-AbCdEf",
        },
      },
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
    [{ secret: "ssm:a b", uploads: { host } }, "http.secret: expected the name or ARN of a parameter after ssm:"],
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
