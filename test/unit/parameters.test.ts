/** Texts that AWS keeps: how they are asked for, what is said when they cannot be had, and when they are read again. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { checkSigned, createUploadAddresses, openSecrets } from "../../functions/registry/upload-addresses.ts";
import type { RepositoryName } from "../../shared/oci/reference.ts";
import { AwsTexts, type AwsText } from "../../shared/reloading/aws.ts";
import { parameterSource } from "../../shared/reloading/parameter.ts";
import type { Reloading } from "../../shared/reloading/reloading.ts";
import { startParameterServer, type ParameterServer } from "../support/parameter-server.ts";

const NAME = "/lading/main/text";
const ARN = "arn:aws:secretsmanager:us-west-2:123456789012:secret:lading/main-AbCdEf";
const ssm: AwsText = { service: "ssm", name: NAME };

let server: ParameterServer;
let aws: AwsTexts;
beforeAll(async () => {
  server = await startParameterServer();
  for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
  aws = new AwsTexts();
});
afterEach(() => {
  server.heal();
  server.texts.clear();
});
afterAll(async () => {
  await aws.close();
  await server.close();
  vi.unstubAllEnvs();
});

describe("a text of AWS", () => {
  it.each<[text: AwsText, region: string]>([
    [ssm, "eu-central-1"],
    [{ service: "ssm", name: `arn:aws:ssm:eu-west-1:123456789012:parameter${NAME}` }, "eu-west-1"],
    [{ service: "secretsmanager", name: "lading/main" }, "eu-central-1"],
    [{ service: "secretsmanager", name: ARN }, "us-west-2"],
  ])("%j is asked for in %s, signed", async (text, region) => {
    server.texts.set(text.name, "one\ntwö\n");
    expect(await aws.read(text)).toBe("one\ntwö\n");
    expect(server.asked.at(-1)).toBe(`${text.service}:${text.name} ${region}`);
  });

  it.each<[what: string, text: AwsText, prepare: () => void, message: string, requests: number]>([
    ["is not there", ssm, () => undefined, `ssm:${NAME} cannot be read: ParameterNotFound`, 1],
    [
      "is not there",
      { service: "secretsmanager", name: ARN },
      () => undefined,
      `secretsmanager:${ARN} cannot be read: ResourceNotFoundException: can't find the secret`,
      1,
    ],
    [
      "may not be read",
      ssm,
      () => server.fail("denied"),
      `ssm:${NAME} cannot be read: AccessDeniedException: User: role is not authorized to perform on ${NAME} (it takes the right to ssm:GetParameter`,
      1,
    ],
    [
      "fails, again and again",
      ssm,
      () => server.fail("error"),
      `ssm:${NAME} cannot be read: InternalServerError: something broke`,
      2,
    ],
    ["is throttled", ssm, () => server.fail("throttled"), "ThrottlingException: Rate exceeded", 2],
    [
      "is bytes",
      { service: "secretsmanager", name: "b" },
      () => server.texts.set("b", "bytes"),
      "secretsmanager:b cannot be read: it holds no text",
      1,
    ],
  ])("that %s: %j", async (_, text, prepare, message, requests) => {
    prepare();
    const before = server.asked.length;
    await expect(aws.read(text)).rejects.toThrow(message);
    expect(server.asked.length - before).toBe(requests);
  });

  it.each(["error", "throttled"] as const)("is asked for again after one %s", async (fault) => {
    server.texts.set(NAME, "text");
    server.fail(fault, 1);
    expect(await aws.read(ssm)).toBe("text");
  });

  it("says where nobody listens", async () => {
    vi.stubEnv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1");
    try {
      await expect(aws.read(ssm)).rejects.toThrow(`ssm:${NAME} cannot be read: fetch failed`);
    } finally {
      vi.stubEnv("AWS_ENDPOINT_URL_SSM", server.env["AWS_ENDPOINT_URL_SSM"] ?? "");
    }
  });
});

describe("a parameter", () => {
  let now = 0;
  const complaints: unknown[] = [];
  const open = async (): Promise<Reloading<{ text: string }>> => {
    complaints.length = 0;
    return await parameterSource({ name: "p", read: async () => await aws.read(ssm), clock: () => now }).open({
      maxBytes: 20,
      parse: (text) => {
        if (text === "bad") throw new Error("it is bad");
        return { text };
      },
      onBadChange: (error) => complaints.push(error),
    });
  };
  const readings = async (work: () => Promise<unknown>): Promise<number> => {
    const before = server.asked.length;
    await work();
    return server.asked.length - before;
  };

  it("is read once a minute, however many ask, and is the same value while its text is", async () => {
    server.texts.set(NAME, "one");
    const value = await open();
    const first = await value.current();
    const all = async (): Promise<unknown> => await Promise.all(Array.from({ length: 50 }, () => value.current()));
    now += 59_999;
    expect(await readings(all)).toBe(0);
    now += 1;
    expect(await readings(all)).toBe(1);
    expect(await value.current()).toBe(first);
    server.texts.set(NAME, "two");
    now += 59_999;
    expect((await value.current()).text).toBe("one");
    now += 1;
    expect(await readings(async () => expect((await value.current()).text).toBe("two"))).toBe(1);
  });

  it.each([
    ["fails", () => server.fail("error"), "something broke"],
    ["may not be read any more", () => server.fail("denied"), "ssm:GetParameter"],
    ["is gone", () => server.texts.clear(), "ParameterNotFound"],
    ["is bad", () => server.texts.set(NAME, "bad"), "it is bad"],
    ["is too large", () => server.texts.set(NAME, "x".repeat(21)), "it is larger than 20 bytes"],
  ])("that %s leaves its last value in force, and says so once a minute", async (_, breakIt, complaint) => {
    server.texts.set(NAME, "one");
    const value = await open();
    breakIt();
    for (let minute = 1; minute <= 3; minute++) {
      now += 60_000;
      for (let request = 0; request < 10; request++) expect((await value.current()).text).toBe("one");
      expect(complaints).toHaveLength(minute);
    }
    expect(String(complaints[0])).toContain(complaint);
    server.heal();
    server.texts.set(NAME, "two");
    now += 60_000;
    expect((await value.current()).text).toBe("two");
  });

  it("that is slow keeps nobody for long: the last value is used until the new one is there", async () => {
    server.texts.set(NAME, "one");
    const value = await open();
    server.texts.set(NAME, "two");
    server.fail("held", 1);
    now += 60_000;
    const before = server.asked.length;
    // Nothing but patience ends this.
    expect((await value.current()).text).toBe("one");
    for (let request = 0; request < 100; request++) expect((await value.current()).text).toBe("one");
    expect(server.asked.length - before).toBe(1);
    server.heal();
    await expect.poll(async () => (await value.current()).text).toBe("two");
    expect(complaints).toEqual([]);
  });

  it.each<[what: string, prepare: () => unknown, message: string]>([
    ["is not there", () => undefined, "ParameterNotFound"],
    ["is bad", () => server.texts.set(NAME, "bad"), "it is bad"],
    ["is too large", () => server.texts.set(NAME, "x".repeat(21)), "it is larger than 20 bytes"],
  ])("that %s at first is an error", async (_, prepare, message) => {
    prepare();
    await expect(open()).rejects.toThrow(message);
  });
});

describe("secrets in a parameter", () => {
  const [first, second, third] = ["1", "2", "3"].map((digit) => digit.repeat(16)) as [string, string, string];
  const grant = { right: "push", repository: "r", session: "s" } as const;
  const ann = { kind: "user", name: "ann" } as const;
  let now = 0;
  const complaints: string[] = [];
  const config = {
    secrets: [],
    secretParameter: { kind: "parameter", service: "ssm", name: NAME },
    expiryMs: 1000,
    clients: [],
  } as const;
  const open = async () => {
    const source = parameterSource({ name: "parameter p", read: async () => await aws.read(ssm), clock: () => now });
    const secrets = await openSecrets(
      config,
      () => source,
      (error) => complaints.push(String(error)),
    );
    return createUploadAddresses(config, () => new Date(0), secrets);
  };
  const write = (...lines: readonly string[]): void => {
    server.texts.set(NAME, lines.join("\n"));
    now += 60_000;
  };

  it("sign with the first line and take all, as they are now", async () => {
    write(first, "", ` ${second} `);
    const uploads = await open();
    const { capabilities } = uploads;
    const old = capabilities.mint(grant, ann);
    write(second, first);
    await uploads.refresh();
    const rotated = capabilities.mint(grant, ann);
    expect(capabilities.verify(old, grant).kind).toBe("granted");
    write(third, second);
    await uploads.refresh();
    expect(capabilities.verify(old, grant).kind).toBe("refused");
    expect(capabilities.verify(rotated, grant)).toEqual({ kind: "granted", principal: ann });
    expect(complaints).toEqual([]);
    write(third, "hush");
    await uploads.refresh();
    expect(capabilities.verify(rotated, grant).kind).toBe("granted");
    expect(complaints).toEqual([expect.stringMatching(/line 2 is too short/)]);
    expect(complaints.join("\n")).not.toContain("hush");
  });

  it("that are new are known as soon as another instance signs with one, and whatever comes they are read each ten seconds at most", async () => {
    write(first);
    const [one, other] = [await open(), await open()];
    server.texts.set(NAME, [second, first].join("\n"));
    now += 10_000;
    await one.refresh(true);
    const [name, id] = ["r", "s"] as [RepositoryName, string];
    const capability = one.capabilities.mint(grant, ann);
    // What nobody has signed makes the other look, and again only later.
    const before = server.asked.length;
    for (let guess = 0; guess < 20; guess++)
      await expect(checkSigned(other, { name, id, capability: "x" })).rejects.toThrow("not the address of an upload");
    expect(server.asked.length - before).toBe(1);
    expect(await checkSigned(other, { name, id, capability })).toEqual(ann);
    server.texts.set(NAME, [third, second].join("\n"));
    now += 10_000;
    await one.refresh(true);
    const next = one.capabilities.mint(grant, ann);
    expect(await checkSigned(other, { name, id, capability: next })).toEqual(ann);
    now += 9_999;
    const looked = server.asked.length;
    await expect(checkSigned(other, { name, id, capability: "x" })).rejects.toThrow();
    expect(server.asked.length).toBe(looked);
  });

  it.each([
    ["", "it holds no secret"],
    ["\n \n", "it holds no secret"],
    [`${first}\nhush`, "line 2 is too short to sign addresses with"],
  ])("%j is nothing to start with", async (text, message) => {
    write(text);
    await expect(open()).rejects.toThrow(`http.secret, parameter p: ${message}`);
  });
});
