import type * as z from "zod";
import type { UploadsConfig } from "./config.ts";
import { readParameter } from "./parameters.ts";
import type { Report } from "./report.ts";
import { duration, httpUrl, patternFault, section, setting, texts } from "./values.ts";

/** `http.uploads`, our own section. */
export const uploads = section({
  host: setting(httpUrl("an absolute URL of http or https with no user, query or fragment", { query: false })),
  clients: setting(texts("a list of regular expressions")),
  expiry: setting(duration({ least: 1 })),
  previoussecrets: setting(texts("a list of texts")),
});

/**
 * The User-Agents of clients that take a Location on another host. Those built on oras-go (oras, Helm) refuse one since
 * 2.6.1, and of unknown clients nothing is known: they stay on the registry's own host.
 */
const defaultClients: readonly string[] = [
  "^containerd/", // ctr, nerdctl, Kubernetes
  "^docker/", // both image stores
  "^buildkit/",
  "^(?:libpod|skopeo|buildah)/",
  "github\\.com/containers/image", // programs that name nothing of their own
  "go-containerregistry", // crane, ko, kaniko, cosign
  "^regclient/", // regctl, regsync, regbot
];
/** Longer than the slowest push of one layer: a client that sends it again uses the same address. */
const defaultExpiryMs = 12 * 3_600_000;
/** Shorter texts could be found by trying, by anybody who has seen one address that they signed. */
const shortestSecret = 16;

/**
 * What `http.secret` and `http.uploads` ask for. `baseUrl` is `http.host`. Undefined: no address is signed, and none is
 * accepted.
 */
export function readUploads(
  input: z.infer<typeof uploads>,
  { secret, baseUrl }: { secret: string | null | undefined; baseUrl: URL | null | undefined },
  report: Report,
): UploadsConfig | undefined {
  const { host, clients, expiry } = input ?? {};
  const previous = input?.previoussecrets ?? [];
  for (const [index, source] of (clients ?? []).entries()) {
    const fault = patternFault(source);
    if (fault) report.problem(["http", "uploads", "clients", index], `${JSON.stringify(source)} ${fault}`);
  }
  for (const [index, text] of previous.entries()) {
    if (isTooShort(text)) report.problem(["http", "uploads", "previoussecrets", index], `is ${tooShort}`);
  }
  if (clients && !host) report.noEffect(["http", "uploads", "clients"], "http.uploads.host is not set");
  const parameter = secret ? readParameter(secret, ["http", "secret"], report) : undefined;
  if (!secret || (parameter === undefined && isTooShort(secret))) {
    if (host) report.problem(["http", "secret"], secret ? `is ${tooShort}` : missing);
    else if (secret) report.noEffect(["http", "secret"], `it is ${tooShort}`);
    else if (previous.length > 0) report.noEffect(["http", "uploads", "previoussecrets"], "http.secret is not set");
    return undefined;
  }
  return {
    secrets: parameter ? previous : [secret, ...previous],
    ...(parameter ? { secretParameter: parameter } : {}),
    expiryMs: expiry ?? defaultExpiryMs,
    ...(host ? { host: host.href.replace(/\/+$/, "") } : {}),
    // A Location on the registry's own host is followed by everybody.
    clients: clients ?? (host && host.origin === baseUrl?.origin ? [""] : defaultClients),
  };
}

/**
 * The secrets in a text, one on each line that is not empty; what they are for is as of `http.secret`. Throws with a sentence
 * that quotes none of them where one cannot be used, or there is none.
 */
export function secretsIn(text: string): readonly string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const secrets = lines.filter((line) => line !== "");
  if (secrets.length === 0) throw new Error("it holds no secret; openssl rand -hex 32 makes one");
  const short = lines.findIndex((line) => line !== "" && isTooShort(line));
  if (short >= 0) throw new Error(`line ${String(short + 1)} is ${tooShort}`);
  return secrets;
}

function isTooShort(secret: string): boolean {
  return secret.length < shortestSecret;
}

const tooShort = `too short to sign addresses with, having fewer than ${String(shortestSecret)} characters`;
const missing =
  "is not set, and http.uploads.host needs it, the same one on every instance, to sign the addresses that clients are " +
  "sent to; openssl rand -hex 32 makes one";
