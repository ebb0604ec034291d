/**
 * Texts that AWS keeps: parameters of Systems Manager, decrypted, and secrets of Secrets Manager. One request each, signed
 * by what the SDK's client for S3 brings along: a client for each of the two services would be a quarter more of a
 * function's code and 25 ms of each cold start (docs/adr/0001-dependencies.md).
 */
import type { S3Client } from "@aws-sdk/client-s3";

/** Which text. */
export interface AwsText {
  readonly service: "ssm" | "secretsmanager";
  /** Name or ARN. */
  readonly name: string;
}

/** How long one try may take, in milliseconds. */
const TRY_MS = 3_000;
const TRIES = 2;

/** The calls of both services, and where the text is in their answers. */
const CALLS = {
  ssm: {
    target: "AmazonSSM.GetParameter",
    right: "ssm:GetParameter, and kms:Decrypt with a key of your own",
    endpoint: "AWS_ENDPOINT_URL_SSM",
    input: (name: string) => ({ Name: name, WithDecryption: true }),
    text: (answer: Answer) => answer.Parameter?.Value,
  },
  secretsmanager: {
    target: "secretsmanager.GetSecretValue",
    right: "secretsmanager:GetSecretValue, and kms:Decrypt with a key of your own",
    endpoint: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    input: (name: string) => ({ SecretId: name }),
    text: (answer: Answer) => answer.SecretString,
  },
} as const;

interface Answer {
  readonly Parameter?: { readonly Value?: string };
  readonly SecretString?: string;
  /** Of an error. */
  readonly __type?: string;
  readonly message?: string;
  readonly Message?: string;
}

/** The service said no, or nothing sensible. */
class RefusedError extends Error {
  readonly passing: boolean;

  constructor(message: string, passing: boolean) {
    super(message);
    this.passing = passing;
  }
}

/** Reads texts with the credentials and in the region that the SDK finds: of the function's role and its place. */
export class AwsTexts {
  #sdk: Promise<S3Client> | undefined;

  /** A text as it is now. Throws a sentence that names it, and what is wrong or missing. */
  async read(text: AwsText): Promise<string> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(text);
      } catch (error) {
        const passing = error instanceof RefusedError ? error.passing : true;
        if (!passing || tries === TRIES) throw new Error(describe(text, error), { cause: error });
      }
    }
  }

  /** Lets go of what it keeps. */
  async close(): Promise<void> {
    (await this.#sdk?.catch(() => undefined))?.destroy();
  }

  async #ask({ service, name }: AwsText): Promise<string> {
    const { target, endpoint, input, text } = CALLS[service];
    const { config } = await (this.#sdk ??= import("@aws-sdk/client-s3").then(({ S3Client }) => new S3Client({})));
    const region = /^arn:[^:]*:[^:]*:([^:]+):/.exec(name)?.[1] ?? (await config.region());
    const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
    // As the SDK's own clients have it: a service's own address wins over one for all.
    const given = [process.env[endpoint], process.env["AWS_ENDPOINT_URL"]].find(
      (url) => url !== undefined && url !== "",
    );
    const url = new URL(given ?? `https://${service}.${region}.${domain}`);
    const body = JSON.stringify(input(name));
    const signer = await config.signer();
    const { headers } = await signer.sign(
      {
        method: "POST",
        protocol: url.protocol,
        hostname: url.hostname,
        ...(url.port === "" ? {} : { port: Number(url.port) }),
        path: url.pathname,
        query: {},
        headers: { host: url.host, "content-type": "application/x-amz-json-1.1", "x-amz-target": target },
        body,
      },
      { signingService: service, signingRegion: region },
    );
    const reply = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(TRY_MS) });
    const answer = answerFrom(await reply.text());
    if (!reply.ok) {
      const code = answer.__type?.replace(/^.*#/, "") ?? "";
      const words = [code, answer.message ?? answer.Message].filter(Boolean).join(": ");
      const passing = reply.status >= 500 || reply.status === 429 || code === "ThrottlingException";
      throw new RefusedError(words === "" ? `the service answered ${reply.status}` : words, passing);
    }
    const value = text(answer);
    if (value === undefined) throw new RefusedError("it holds no text", false);
    return value;
  }
}

function answerFrom(text: string): Answer {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === "object" && answer !== null ? answer : {};
  } catch {
    return {};
  }
}

function describe({ service, name }: AwsText, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  const missing = /^AccessDenied/.test(reason) ? ` (it takes the right to ${CALLS[service].right})` : "";
  return `${service}:${name} cannot be read: ${reason}${cause}${missing}`;
}
