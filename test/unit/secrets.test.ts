/** The function that makes and changes the secret, with the SDK's own client over a small Parameter Store. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { SSMClient } from "@aws-sdk/client-ssm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ResourceEvent } from "../../functions/secrets/custom-resource.ts";
import { createHandler, type RotateEvent } from "../../functions/secrets/handler.ts";

const NAMES = { secret: "/lading/registry/secret", htpasswd: "/lading/registry/htpasswd" };
const DAY_MS = 24 * 60 * 60 * 1000;

interface Parameter {
  readonly value: string;
  readonly type: string;
  readonly modified: number;
}
interface Answer {
  readonly Status: string;
  readonly PhysicalResourceId: string;
  readonly Reason?: string;
}

let server: Server;
let address: string;
let parameters: Map<string, Parameter>;
let calls: string[];
let answers: Answer[];
/** Called before each request to Parameter Store is answered: may say that the answer is lost, or another status. */
let fault: (operation: string) => "lost" | number | undefined;
let cloudFormation: (attempt: number) => number;
let now: number;
let handler: (event: ResourceEvent | RotateEvent) => Promise<void>;
let ssm: SSMClient;

beforeEach(async () => {
  parameters = new Map();
  calls = [];
  answers = [];
  fault = () => undefined;
  cloudFormation = () => 200;
  now = Date.parse("2026-11-21T04:00:00Z");
  server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  ssm = new SSMClient({
    region: "eu-central-1",
    endpoint: address,
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
    maxAttempts: 3,
  });
  handler = createHandler({ ssm, now: () => new Date(now), log: () => undefined, pauseMs: 0 });
});

afterEach(async () => {
  ssm.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
  if (request.method === "PUT") {
    answers.push(body as unknown as Answer);
    expect(request.headers["content-type"] ?? "").toBe("");
    response.writeHead(cloudFormation(answers.length)).end();
    return;
  }
  const operation = String(request.headers["x-amz-target"]).replace("AmazonSSM.", "");
  calls.push(operation);
  const wrong = fault(operation);
  const { status, answer } = typeof wrong === "number" ? { status: wrong, answer: {} } : store(operation, body);
  if (wrong === "lost") request.socket.destroy();
  else response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(answer));
}

function store(operation: string, body: Record<string, unknown>): { status: number; answer: object } {
  const name = String(body["Name"]);
  const found = parameters.get(name);
  const error = (__type: string): { status: number; answer: object } => ({ status: 400, answer: { __type } });
  switch (operation) {
    case "PutParameter":
      if (found !== undefined && body["Overwrite"] !== true) return error("ParameterAlreadyExists");
      parameters.set(name, {
        value: String(body["Value"]),
        type: (body["Type"] as string | undefined) ?? found?.type ?? "",
        modified: now,
      });
      return { status: 200, answer: { Version: 1 } };
    case "GetParameter":
      if (found === undefined) return error("ParameterNotFound");
      expect(body["WithDecryption"]).toBe(true);
      return {
        status: 200,
        answer: { Parameter: { Name: name, Value: found.value, LastModifiedDate: found.modified / 1000 } },
      };
    case "DeleteParameter":
      if (!parameters.delete(name)) return error("ParameterNotFound");
      return { status: 200, answer: {} };
    default:
      return error("UnknownOperation");
  }
}

function event(RequestType: ResourceEvent["RequestType"], Removal = "retain"): ResourceEvent {
  return {
    RequestType,
    ResponseURL: `${address}/answer?signed`,
    StackId: "stack",
    RequestId: "request",
    LogicalResourceId: "Parameters",
    ...(RequestType === "Create" ? {} : { PhysicalResourceId: NAMES.secret }),
    ResourceProperties: { Secret: NAMES.secret, Htpasswd: NAMES.htpasswd, Removal },
  };
}

const secret = (): string => parameters.get(NAMES.secret)?.value ?? "";

describe("with the stack", () => {
  it("makes a secret, and a parameter for users that has none", async () => {
    await handler(event("Create"));
    expect(secret()).toMatch(/^[0-9a-f]{64}$/);
    expect(parameters.get(NAMES.htpasswd)?.value).toMatch(/^# .*\n$/);
    expect([...parameters.values()].map(({ type }) => type)).toEqual(["SecureString", "SecureString"]);
    expect(answers).toEqual([
      {
        Status: "SUCCESS",
        PhysicalResourceId: NAMES.secret,
        StackId: "stack",
        RequestId: "request",
        LogicalResourceId: "Parameters",
      },
    ]);
  });

  it("keeps what is there, whichever of the two it is", async () => {
    parameters.set(NAMES.htpasswd, { value: "ann:hash", type: "SecureString", modified: now });
    await handler(event("Create"));
    const made = secret();
    await handler(event("Create"));
    await handler(event("Update"));
    expect(secret()).toBe(made);
    expect(parameters.get(NAMES.htpasswd)?.value).toBe("ann:hash");
    expect(answers.map(({ Status }) => Status)).toEqual(["SUCCESS", "SUCCESS", "SUCCESS"]);
  });

  it("makes one secret where the answer of Parameter Store is lost, and the SDK asks again", async () => {
    let lost = 0;
    fault = () => (lost++ === 0 ? "lost" : undefined);
    await handler(event("Create"));
    expect(calls).toEqual(["PutParameter", "PutParameter", "PutParameter"]);
    expect(secret()).toMatch(/^[0-9a-f]{64}$/);
    expect(answers[0]?.Status).toBe("SUCCESS");
  });

  it("tells CloudFormation why it failed, and is not called again", async () => {
    fault = () => 400;
    await handler(event("Create"));
    expect(answers).toHaveLength(1);
    expect(answers[0]).toMatchObject({ Status: "FAILED", PhysicalResourceId: "Parameters-failed" });
    expect(answers[0]?.Reason).not.toBe("");
  });

  it("tells it again where it does not take the answer, and throws where it never does", async () => {
    cloudFormation = (attempt) => (attempt < 3 ? 503 : 200);
    await handler(event("Create"));
    expect(answers).toHaveLength(3);
    cloudFormation = () => 503;
    await expect(handler(event("Update"))).rejects.toThrow("CloudFormation answered 503");
  });

  it("leaves the parameters when it goes, unless they are to go with it", async () => {
    await handler(event("Create"));
    await handler(event("Delete"));
    expect(parameters.size).toBe(2);
    await handler(event("Delete", "destroy"));
    expect(parameters.size).toBe(0);
    await handler(event("Delete", "destroy"));
    expect(answers.map(({ Status }) => Status)).toEqual(["SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS"]);
  });

  it("removes nothing when its own making failed", async () => {
    await handler(event("Create"));
    await handler({ ...event("Delete", "destroy"), PhysicalResourceId: "Parameters-failed" });
    expect(parameters.size).toBe(2);
    expect(answers.at(-1)?.Status).toBe("SUCCESS");
  });
});

describe("each month", () => {
  const rotate: RotateEvent = { rotate: true, secret: NAMES.secret };

  it("signs with a new secret, and keeps the one before, and no other", async () => {
    await handler(event("Create"));
    const first = secret();
    now += 30 * DAY_MS;
    await handler(rotate);
    const [second = "", ...before] = secret().split("\n");
    expect(second).toMatch(/^[0-9a-f]{64}$/);
    expect(before).toEqual([first]);
    now += 30 * DAY_MS;
    await handler(rotate);
    expect(secret().split("\n").slice(1)).toEqual([second]);
    expect(parameters.get(NAMES.secret)?.type).toBe("SecureString");
  });

  it("changes it once where the schedule calls twice, so that no address that holds is refused", async () => {
    await handler(event("Create"));
    now += 30 * DAY_MS;
    await handler(rotate);
    const changed = secret();
    now += 60_000;
    await handler(rotate);
    expect(secret()).toBe(changed);
    now += DAY_MS;
    await handler(rotate);
    expect(secret()).not.toBe(changed);
  });

  it("throws where there is no secret, so that it is tried again and told of", async () => {
    await expect(handler(rotate)).rejects.toThrow();
    parameters.set(NAMES.secret, { value: " ", type: "SecureString", modified: 0 });
    await expect(handler(rotate)).rejects.toThrow("holds no secret");
    expect(answers).toEqual([]);
  });

  it("keeps both where the write's answer is lost: the SDK writes the same again", async () => {
    await handler(event("Create"));
    const first = secret();
    now += 30 * DAY_MS;
    let lost = 0;
    fault = (operation) => (operation === "PutParameter" && lost++ === 0 ? "lost" : undefined);
    await handler(rotate);
    expect(secret().split("\n")[1]).toBe(first);
  });
});
