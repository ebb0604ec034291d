/** The SDK's client for a bucket: how it connects, signs, tries again, and what it tells of itself. */
import { S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { PATIENCE, Retries } from "./retries.ts";
import type { S3Settings } from "./settings.ts";

/** A connection on which nothing moves for this long is given up. */
const SILENCE_MS = 60_000;
const CONNECT_MS = 5_000;
const SOCKETS = 256;

/** A request to the store as it ended, tries included. */
export interface S3Call {
  readonly operation: string;
  readonly key: string | undefined;
  /** Undefined where no answer came. */
  readonly status: number | undefined;
  readonly attempts: number | undefined;
}

/** Makes a client. `onCall` is told of every request, without bodies and credentials. */
export function createClient(settings: S3Settings, onCall?: (call: S3Call) => void): S3Client {
  const { endpoint, credentials, userAgent } = settings;
  const patience = { ...PATIENCE, ...settings.patience };
  const agent = { keepAlive: true, maxSockets: SOCKETS, timeout: SILENCE_MS };
  const client = new S3Client({
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    useAccelerateEndpoint: settings.accelerate,
    useDualstackEndpoint: settings.dualStack,
    useFipsEndpoint: settings.fips,
    // Each write names its own SHA-256; what the SDK would add on top is more than many stores take.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: patience.attempts,
    retryStrategy: new Retries(patience),
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      httpAgent: agent,
      httpsAgent: { ...agent, rejectUnauthorized: settings.verifyTls },
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    // A copy: the SDK writes into it.
    ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
    ...(userAgent === undefined ? {} : { customUserAgent: userAgent }),
    ...(onCall === undefined ? {} : { logger: callLogger(onCall) }),
  });
  // A body whose SHA-256 is given is signed by it too: the SDK would make the hash again.
  client.middlewareStack.add(
    (next) => async (args) => {
      const sum = (args.input as { ChecksumSHA256?: string }).ChecksumSHA256;
      const { headers } = args.request as { headers: Record<string, string> };
      if (sum !== undefined) headers["x-amz-content-sha256"] = Buffer.from(sum, "base64").toString("hex");
      return await next(args);
    },
    { step: "build", name: "signedPayload" },
  );
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { $metadata } = result.output as { $metadata: object };
      dates.set($metadata, (result.response as Answer).headers?.["date"]);
      return result;
    },
    { step: "deserialize", priority: "high", name: "dates" },
  );
  return client;
}

interface Answer {
  readonly headers?: Readonly<Record<string, string>>;
}

/** The Date of each answer that somebody still holds, by its `$metadata`. */
const dates = new WeakMap<object, string | undefined>();

/** When the store gave an answer, or an error, by its own clock, to the second. Throws where it did not say. */
export function answeredAt(answer: { readonly $metadata: object } | S3ServiceException): Date {
  const said =
    answer instanceof S3ServiceException
      ? (answer.$response as Answer | undefined)?.headers?.["date"]
      : dates.get(answer.$metadata);
  const time = new Date(said ?? NaN);
  if (Number.isNaN(time.getTime())) throw new Error("the store's answer has no date");
  return time;
}

interface Metadata {
  readonly httpStatusCode?: number;
  readonly attempts?: number;
}

/** What the SDK tells its logger of a request, in our words. */
function callLogger(
  onCall: (call: S3Call) => void,
): Record<"trace" | "debug" | "info" | "warn" | "error", (entry: unknown) => void> {
  const tell = (entry: unknown): void => {
    const {
      commandName,
      input,
      error,
      metadata = error?.$metadata,
    } = entry as {
      commandName?: string;
      input?: { Key?: string; Prefix?: string };
      error?: { $metadata?: Metadata };
      metadata?: Metadata;
    };
    if (commandName === undefined) return;
    const [operation, key] = [commandName.replace(/Command$/, ""), input?.Key ?? input?.Prefix];
    onCall({ operation, key, status: metadata?.httpStatusCode, attempts: metadata?.attempts });
  };
  const ignore = (): void => undefined;
  return { trace: ignore, debug: ignore, info: tell, warn: ignore, error: tell };
}
