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

/** The calls that read, of both services, and where the text is in their answers. */
const READS = {
  ssm: {
    target: "AmazonSSM.GetParameter",
    right: "ssm:GetParameter, and kms:Decrypt with a key of your own",
    input: (name: string) => ({ Name: name, WithDecryption: true }),
    text: (answer: Answer) => answer.Parameter?.Value,
  },
  secretsmanager: {
    target: "secretsmanager.GetSecretValue",
    right: "secretsmanager:GetSecretValue, and kms:Decrypt with a key of your own",
    input: (name: string) => ({ SecretId: name }),
    text: (answer: Answer) => answer.SecretString,
  },
} as const;
const WRITE = {
  target: "AmazonSSM.PutParameter",
  right: "ssm:PutParameter, and kms:GenerateDataKey with a key of your own",
} as const;
const ENDPOINTS = {
  ssm: "AWS_ENDPOINT_URL_SSM",
  secretsmanager: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
} as const;

interface Answer {
  readonly Parameter?: { readonly Value?: string; readonly Version?: number };
  readonly SecretString?: string;
  readonly Version?: number;
  /** Of an error. */
  readonly __type?: string;
  readonly message?: string;
  readonly Message?: string;
}

/** A request to a service, and what messages say of it. */
interface Call extends AwsText {
  readonly target: string;
  readonly input: object;
  /** What goes before the reason: `cannot be read`. */
  readonly failed: string;
  /** What it takes the right to. */
  readonly right: string;
}

/** The service said no, or nothing sensible. */
class RefusedError extends Error {
  readonly passing: boolean;

  constructor(message: string, passing: boolean) {
    super(message);
    this.passing = passing;
  }
}

/** A parameter of Systems Manager as it was at one of its versions, which are counted from 1. */
export interface ParameterVersion {
  readonly text: string;
  readonly version: number;
}

/** Reads texts with the credentials that the SDK finds, and in the region: of the function's role and its place. */
export class AwsTexts {
  readonly #region: string | undefined;
  #sdk: Promise<S3Client> | undefined;

  /** `region`: where to look for what has no ARN; by default what the SDK finds. */
  constructor(region?: string) {
    this.#region = region;
  }

  /** A text as it is now. Throws a sentence that names it, and what is wrong or missing. */
  async read(text: AwsText): Promise<string> {
    const { service, name } = text;
    const { target, input, right, text: textOf } = READS[service];
    const answer = await this.#call({ service, name, target, right, input: input(name), failed: "cannot be read" });
    return textOf(answer) ?? unusable(text, "cannot be read: it holds no text");
  }

  /** A parameter of Systems Manager with its version: the last, or the one that is asked for. Throws as `read`. */
  async readParameter(name: string, version?: number): Promise<ParameterVersion> {
    const { target, input, right } = READS.ssm;
    const place = version === undefined ? name : `${name}:${version}`;
    const { Parameter } = await this.#call({
      service: "ssm",
      name,
      target,
      right,
      input: input(place),
      failed: "cannot be read",
    });
    const { Value: text, Version } = Parameter ?? {};
    if (text === undefined || Version === undefined) {
      return unusable({ service: "ssm", name }, "cannot be read: it holds no text, or has no version");
    }
    return { text, version: Version };
  }

  /** Writes a parameter that is there, of its type. Gives the version that it made. Throws as `read`. */
  async writeParameter(name: string, text: string): Promise<number> {
    const input = { Name: name, Value: text, Overwrite: true };
    const { Version } = await this.#call({ service: "ssm", name, ...WRITE, input, failed: "cannot be written" });
    return Version ?? unusable({ service: "ssm", name }, "was written, but the answer names no version");
  }

  /** Lets go of what it keeps. */
  async close(): Promise<void> {
    (await this.#sdk?.catch(() => undefined))?.destroy();
  }

  async #call(call: Call): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(call);
      } catch (error) {
        const passing = error instanceof RefusedError ? error.passing : true;
        if (!passing || tries === TRIES) throw new Error(describe(call, error), { cause: error });
      }
    }
  }

  async #ask({ service, name, target, input }: Call): Promise<Answer> {
    const { config } = await (this.#sdk ??= this.#load());
    const region = /^arn:[^:]*:[^:]*:([^:]+):/.exec(name)?.[1] ?? (await config.region());
    const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
    // As the SDK's own clients have it: a service's own address wins over one for all.
    const given = [process.env[ENDPOINTS[service]], process.env["AWS_ENDPOINT_URL"]].find(
      (url) => url !== undefined && url !== "",
    );
    const url = new URL(given ?? `https://${service}.${region}.${domain}`);
    const body = JSON.stringify(input);
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
    return answer;
  }

  async #load(): Promise<S3Client> {
    const { S3Client } = await import("@aws-sdk/client-s3");
    return new S3Client(this.#region === undefined ? {} : { region: this.#region });
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

function unusable({ service, name }: AwsText, what: string): never {
  throw new Error(`${service}:${name} ${what}`);
}

function describe({ service, name, failed, right }: Call, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  const missing = /^AccessDenied/.test(reason) ? ` (it takes the right to ${right})` : "";
  return `${service}:${name} ${failed}: ${reason}${cause}${missing}`;
}
