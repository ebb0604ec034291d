/**
 * The composition root: puts the parts together as the configuration says, for whichever host. It holds no rules of the
 * registry, and knows neither sockets nor events.
 */
import { setTimeout as delay } from "node:timers/promises";
import { anonymousAuthenticator, type Authenticator } from "../../shared/auth/authenticator.ts";
import { admittingAnonymous, anonymousPull } from "../../shared/auth/anonymous-pull.ts";
import { allowAll } from "../../shared/auth/authorizer.ts";
import { HtpasswdAuthenticator } from "../../shared/auth/htpasswd-authenticator.ts";
import type { Config, ParameterReference } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";
import { selectsTag } from "../../shared/oci/name-pattern.ts";
import { gcTimes, type GcTimes } from "../../shared/registry/gc-times.ts";
import { Registry } from "../../shared/registry/registry.ts";
import { AwsTexts } from "../../shared/reloading/aws.ts";
import { fileSource } from "../../shared/reloading/file.ts";
import { parameterSource } from "../../shared/reloading/parameter.ts";
import type { TextSource } from "../../shared/reloading/reloading.ts";
import type { StorageDriver } from "../../shared/storage/driver.ts";
import { observed } from "../../shared/storage/observed.ts";
import { logAccess, type AccessEntry } from "../../shared/telemetry/access-log.ts";
import { startHealth, type Health } from "../../shared/telemetry/health.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";
import { noMetrics, type Metrics } from "../../shared/telemetry/metrics.ts";
import { createApp, type AppParts, type HostBindings, type RequestReport } from "./app.ts";
import { openStorage } from "./open-storage.ts";
import { createRedirects } from "./redirects.ts";
import { createUploadAddresses, openSecrets, type Secrets } from "./upload-addresses.ts";

/** How often closing looks whether all requests have ended. */
const POLL_MS = 5;

/** The parts of a registry, put together; what a host needs of them. */
export interface Composition {
  readonly driver: StorageDriver;
  readonly registry: Registry;
  readonly health: Health;
  /** Answers a request. Counts it, and logs it when the last byte of its answer was handed on. Never rejects. */
  fetch(request: Request, host: HostBindings): Response | Promise<Response>;
  /** Frees everything. Requests that were cut get a moment to clean up behind themselves and to be logged. */
  close(): Promise<void>;
}

/**
 * Puts the parts together. Throws with a sentence that says what is wrong when it cannot. `times` are those of garbage
 * collection, for tests; else they follow from the configuration.
 */
export async function compose(
  config: Config,
  logger: Logger,
  metrics: Metrics = noMetrics,
  times: GcTimes = gcTimes(config.storage.gc.graceMs),
): Promise<Composition> {
  const aws = new AwsTexts();
  const parameter = ({ service, name }: ParameterReference): TextSource => {
    return parameterSource({
      name: `parameter ${service}:${name}`,
      read: async () => await aws.read({ service, name }),
    });
  };
  const [authenticator, secrets] = await Promise.all([
    createAuthenticator(config, parameter, logger, metrics),
    readSecrets(config, parameter, logger),
  ]);
  const driver = await openStorage(config.storage, logger);
  const registry = new Registry({
    driver: metrics.enabled ? observed(driver, (call) => metrics.storageOperation(call)) : driver,
    policy: manifestPolicy(config.validation),
    now: () => new Date(),
    times,
    tagConcurrency: config.storage.tagConcurrency,
    isImmutable: selectsTag(config.storage.immutableTags),
    recordPulls: config.storage.readOnly ? "never" : config.storage.gc.recordPulls,
    tagsExpire: config.storage.gc.retention.some(({ keep }) => keep !== undefined),
    // Each folder is a request there. Who may not write walks all the same.
    catalog: config.storage.driver.kind === "s3" && !config.storage.readOnly ? "index" : "walk",
  });
  const health = startHealth(healthSettings(config.health), {
    probeStorage: async () => {
      await driver.list("", { delimiter: "/", limit: 1 });
    },
    onChange: (check, failure) => {
      if (failure === undefined) logger.info("health check passes again", { check });
      else logger.error("health check fails", { check, reason: failure });
    },
  });
  let unfinished = 0;
  const requestEnded = (): void => {
    unfinished--;
  };
  const app = createApp(appParts(config, { registry, authenticator, secrets, health, metrics, logger, requestEnded }));
  return {
    driver,
    registry,
    health,
    fetch: (request, host) => {
      unfinished++;
      metrics.requestStarted();
      return app.fetch(request, host);
    },
    close: async () => {
      if (authenticator instanceof HtpasswdAuthenticator) await authenticator.close();
      const end = performance.now() + limits.settleMs;
      while (unfinished > 0 && performance.now() < end) await delay(POLL_MS);
      await registry.settled();
      health.close();
      driver.close?.();
      await aws.close();
    },
  };
}

type ParameterSource = (parameter: ParameterReference) => TextSource;

async function readSecrets(
  { http: { uploads } }: Config,
  source: ParameterSource,
  logger: Logger,
): Promise<Secrets | undefined> {
  if (uploads === undefined) return undefined;
  return await openSecrets(uploads, source, (error) => {
    logger.error("http.secret cannot be read anew; what was read last stays in force until it can", { err: error });
  });
}

async function createAuthenticator(
  { auth }: Config,
  source: ParameterSource,
  logger: Logger,
  metrics: Metrics,
): Promise<Authenticator> {
  switch (auth.kind) {
    case "none":
      return anonymousAuthenticator;
    case "htpasswd": {
      const authenticator = await HtpasswdAuthenticator.create({
        source: auth.users.kind === "file" ? fileSource(auth.users.path) : source(auth.users),
        realm: auth.realm,
        logError: (message, fields) => logger.error(message, fields),
      });
      metrics.bcryptSource(() => authenticator.counters);
      return authenticator;
    }
  }
}

function manifestPolicy({
  allowSparseManifests,
  allowSparseIndexes,
  urls,
}: Config["validation"]): ConstructorParameters<typeof Registry>[0]["policy"] {
  const compile = (sources: readonly string[]): RegExp[] => sources.map((source) => new RegExp(source, "u"));
  const [allow, deny] = [compile(urls.allow), compile(urls.deny)];
  return {
    allowSparse: allowSparseManifests,
    allowSparseIndexes: allowSparseIndexes || allowSparseManifests,
    urlAllowed: (url) => {
      // Without rules any URL will do: distribution takes none then, and with it no image that names one.
      if (!urls.checked || allow.length + deny.length === 0) return true;
      if (!/^https?:\/\/[^#]+$/.test(url) || deny.some((pattern) => pattern.test(url))) return false;
      return allow.length === 0 || allow.some((pattern) => pattern.test(url));
    },
  };
}

function healthSettings(health: Config["health"]): Parameters<typeof startHealth>[0] {
  return {
    storage: health.storage,
    file: health.file.map(({ file, intervalMs }) => ({ path: file, intervalMs })),
    http: health.http,
    tcp: health.tcp.map((check) => ({ ...check, addr: `${check.host}:${check.port}` })),
  };
}

interface Parts {
  readonly registry: Registry;
  readonly authenticator: Authenticator;
  readonly secrets: Secrets | undefined;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly requestEnded: () => void;
}

function appParts(config: Config, parts: Parts): AppParts {
  const { registry, authenticator, secrets, health, metrics, logger, requestEnded } = parts;
  const { auth, http, storage, catalog, tags, log } = config;
  const forAll = auth.kind === "htpasswd" && auth.anonymousPull;
  const redirects = createRedirects(storage.redirect);
  return {
    registry,
    authenticator: forAll ? admittingAnonymous(authenticator) : authenticator,
    authorizer: forAll ? anonymousPull : allowAll,
    clock: () => performance.now(),
    settings: {
      prefix: http.prefix,
      ...(http.baseUrl === undefined ? {} : { baseUrl: http.baseUrl }),
      ...(http.uploads === undefined
        ? {}
        : { uploads: createUploadAddresses(http.uploads, () => new Date(), secrets) }),
      ...(redirects === undefined ? {} : { redirects }),
      headers: http.headers,
      deleteEnabled: storage.deleteEnabled,
      readOnly: storage.readOnly,
      catalogMaxEntries: catalog.maxEntries,
      tagsMaxEntries: tags.maxEntries,
    },
    unavailable: () => {
      const failing = Object.keys(health.status());
      return failing.length === 0 ? undefined : `the registry is out of service: ${failing.join(", ")}`;
    },
    onRequest: (report) => {
      requestEnded();
      metrics.requestEnded({
        method: report.method,
        route: report.kind,
        status: report.status,
        durationSeconds: report.durationMs / 1000,
      });
      if (report.kind === "upload" || report.kind === "uploads") metrics.uploadedBytes(report.received);
      if (log.accessLog) logAccess(logger, accessEntry(report));
    },
    onFault: (error, requestId) => logger.error("request failed", { "http.request.id": requestId, err: error }),
  };
}

/** Field by field: this runs for every request, and copying an object costs more than writing the line. */
function accessEntry(report: RequestReport): AccessEntry {
  const { header, host, principal } = report;
  const forwarded = header("x-forwarded-for")?.split(",")[0]?.trim();
  return {
    requestId: report.requestId,
    method: report.method,
    uri: report.uri,
    status: report.status,
    bytes: report.bytes,
    durationMs: report.durationMs,
    host: header("host"),
    remoteAddress: forwarded === undefined || forwarded === "" ? host.remoteAddress : forwarded,
    userAgent: header("user-agent"),
    user: principal.kind === "user" ? principal.name : undefined,
    proto: host.httpVersion === undefined ? undefined : `HTTP/${host.httpVersion}`,
  };
}
