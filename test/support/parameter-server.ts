/** Systems Manager and Secrets Manager as far as Lading asks them, with signatures checked. */
import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * - `error`: 500, `throttled`: 400 ThrottlingException, `denied`: 400 AccessDeniedException
 * - `held`: no answer until it is healed; then the answer is as of that time
 * - `lost`: what is written is kept, and the answer is 500
 */
export type ParameterFault = "error" | "throttled" | "denied" | "held" | "lost";

export interface ParameterServer {
  /** Variables that send a process there, with credentials that it takes. */
  readonly env: Readonly<Record<string, string>>;
  /** Text by name, of both services. */
  readonly texts: Map<string, string>;
  /** What was asked for so far: `ssm:/name`, with the region after it. */
  readonly asked: readonly string[];
  /** Called once, just before the next write: somebody else is faster. */
  beforeWrite: (() => void) | undefined;
  /** From now on, for so many requests. */
  fail(fault: ParameterFault, times?: number): void;
  /** No faults from now on. */
  heal(): void;
  close(): Promise<void>;
}

interface ParameterInput {
  readonly Name?: string;
  readonly WithDecryption?: boolean;
  readonly Value?: string;
  readonly Overwrite?: boolean;
  readonly SecretId?: string;
}

const KEYS = { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG" };

export async function startParameterServer(): Promise<ParameterServer> {
  const texts = new Map<string, string>();
  const asked: string[] = [];
  /** Of parameters, oldest first. */
  const versions = new Map<string, string[]>();
  const versionsOf = (name: string): string[] => {
    const known = versions.get(name) ?? [];
    const text = texts.get(name);
    if (text !== undefined && known.at(-1) !== text) known.push(text);
    versions.set(name, known);
    return known;
  };
  let fault: { kind: ParameterFault; left: number } | undefined;
  let release: (() => void)[] = [];
  const heal = (): void => {
    fault = undefined;
    for (const each of release.splice(0)) each();
  };

  const answer = async (request: IncomingMessage): Promise<[status: number, body: object]> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const target = String(request.headers["x-amz-target"]);
    const service = target.startsWith("AmazonSSM.") ? "ssm" : "secretsmanager";
    const input = JSON.parse(body.toString()) as ParameterInput;
    const name = (service === "ssm" ? input.Name : input.SecretId) ?? "";
    const scope = checkSignature(request, body, service);
    asked.push(`${service}:${name} ${scope.region}`);
    if (!scope.holds) return [400, { __type: "InvalidSignatureException", message: "the signature does not match" }];
    const kind = fault !== undefined && fault.left-- > 0 ? fault.kind : undefined;
    if (kind === "held") await new Promise<void>((resolve) => release.push(resolve));
    if (kind === "error") return [500, { __type: "InternalServerError", message: "something broke" }];
    if (kind === "throttled") return [400, { __type: "ThrottlingException", message: "Rate exceeded" }];
    if (kind === "denied") {
      return [400, { __type: "AccessDeniedException", Message: `User: role is not authorized to perform on ${name}` }];
    }
    if (target === "AmazonSSM.PutParameter") {
      if (texts.has(name) && input.Overwrite !== true) return [400, { __type: "ParameterAlreadyExists" }];
      versionsOf(name);
      server.beforeWrite?.();
      server.beforeWrite = undefined;
      const written = input.Value ?? "";
      const known = versionsOf(name);
      known.push(written);
      texts.set(name, written);
      return kind === "lost" ? [500, { __type: "InternalServerError" }] : [200, { Version: known.length }];
    }
    if (service === "ssm") {
      if (!["AmazonSSM.GetParameter"].includes(target) || input.WithDecryption !== true)
        return [400, { __type: "ValidationException", message: "only GetParameter with decryption" }];
      const [, path = "", chosen] = /^((?:arn:.*:parameter)?[^:]*)(?::(\d+))?$/.exec(name) ?? [];
      const known = versionsOf(path);
      const Version = chosen === undefined ? known.length : Number(chosen);
      const Value = texts.has(path) ? known[Version - 1] : undefined;
      if (Value === undefined) return [400, { __type: "ParameterNotFound" }];
      return [200, { Parameter: { Name: path, Type: "SecureString", Value, Version } }];
    }
    const text = texts.get(name);
    if (text === undefined) return [400, { __type: "ResourceNotFoundException", Message: "can't find the secret" }];
    return [200, { Name: name, ...(text === "bytes" ? { SecretBinary: "Ynl0ZXM=" } : { SecretString: text }) }];
  };

  const http = createServer((request, response) => {
    void answer(request).then(([status, body]) => {
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const server: ParameterServer = {
    beforeWrite: undefined,
    env: {
      AWS_ENDPOINT_URL_SSM: url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: url,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: KEYS.id,
      AWS_SECRET_ACCESS_KEY: KEYS.secret,
    },
    texts,
    asked,
    fail: (kind, times = Infinity) => {
      fault = { kind, left: times };
    },
    heal,
    close: async () => {
      heal();
      release = [];
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  return server;
}

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

/** Whether a request is signed as Signature Version 4 has it, for this service. */
function checkSignature(
  { headers, method = "", url = "" }: IncomingMessage,
  body: Buffer,
  service: string,
): { readonly region: string; readonly holds: boolean } {
  const match =
    /^AWS4-HMAC-SHA256 Credential=(\w+)\/(\d{8})\/([\w-]+)\/(\w+)\/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? "",
    );
  if (match === null) return { region: "", holds: false };
  const [, id, day = "", region = "", signedFor = "", names = "", signature] = match;
  const signed = names.split(";");
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim()}\n`).join("");
  const canonical = [method, url, "", lines, names, sha256(body)].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", String(headers["x-amz-date"]), scope, sha256(canonical)].join("\n");
  const key = hmac(hmac(hmac(hmac(`AWS4${KEYS.secret}`, day), region), service), "aws4_request");
  const holds =
    id === KEYS.id &&
    signedFor === service &&
    ["host", "x-amz-date", "x-amz-target"].every((name) => signed.includes(name)) &&
    hmac(key, text).toString("hex") === signature;
  return { region, holds };
}
