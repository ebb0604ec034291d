/**
 * The last PUT of a session whose end was cut off: a store may have deleted its state and not yet its start, so it looks new.
 * What is sent then is taken for the end of a blob that is here, and nothing else is.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { layout } from "../../shared/registry/layout.ts";
import { parseDigest } from "../../shared/oci/digest.ts";
import { parseRepositoryName } from "../../shared/oci/reference.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Reply } from "../support/app.ts";
import { pattern, sha256 } from "../support/bodies.ts";
import { withFaults } from "../support/faults.ts";
import { snapshot } from "../support/invariants.ts";
import { pushBlob } from "../support/manifests.ts";

const bytes = pattern(4000);
const digest = sha256(bytes);
const name = parseRepositoryName("r");

let driver: MemoryDriver;
let calls: string[];
let send: ReturnType<typeof createTestApp>["send"];

beforeEach(() => {
  driver = new MemoryDriver();
  calls = [];
  const recording = withFaults(driver, ({ operation, key }) => {
    calls.push(`${operation} ${key}`);
    return "pass";
  });
  send = createTestApp(recording).send;
});

const start = async (): Promise<string> => (await send("POST", "/v2/r/blobs/uploads/")).header("location") ?? "";
const put = async (location: string, body?: Uint8Array, headers: Record<string, string> = {}): Promise<Reply> =>
  await send("PUT", `${location}?digest=${digest}`, { headers, ...(body === undefined ? {} : { body }) });

/** A session that became the blob, of which only the start is left. */
async function cutOff(): Promise<string> {
  const location = await start();
  const startedAt = layout.uploadStart(name, location.split("/").at(-1) ?? "");
  const content = await driver.read(startedAt, 100);
  await send("PATCH", location, { body: bytes });
  expect((await put(location)).status).toBe(201);
  await driver.put(startedAt, content ?? new Uint8Array());
  return location;
}

describe("after a blob was made of it", () => {
  it.each<[what: string, body: Uint8Array | undefined, headers: Record<string, string>]>([
    ["without a body", undefined, {}],
    ["with its last bytes", bytes.subarray(3000), {}],
    ["with its last bytes, which say where they belong", bytes.subarray(3000), { "Content-Range": "3000-3999" }],
    ["with all of it", bytes, {}],
  ])("is answered as the first was, %s", async (_, body, headers) => {
    const location = await cutOff();
    expect((await put(location, body, headers)).status).toBe(201);
    expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
    expect([...(await snapshot(driver)).keys()].filter((key) => key.includes("_uploads"))).toEqual([]);
  });

  it("reads nothing of the blob back where all of it is sent again", async () => {
    const location = await start();
    expect((await put(location, bytes)).status).toBe(201);
    calls.length = 0;
    expect((await put(location, bytes)).status).toBe(201);
    const blob = layout.blob(parseDigest(digest));
    expect(calls).toContain(`head ${blob}`);
    expect(calls).not.toContain(`get ${blob}`);
  });
});

describe("other bytes under the digest of a blob", () => {
  it.each<[what: string, body: Uint8Array, headers: Record<string, string>, status: number]>([
    ["as many of them", pattern(4000).fill(1), {}, 400],
    ["its first bytes", bytes.subarray(0, 1000), {}, 400],
    ["more than it has", Buffer.concat([bytes, bytes]), {}, 400],
    ["at a position", pattern(1000).fill(1), { "Content-Range": "3000-3999" }, 416],
  ])("are refused: %s", async (_, body, headers, status) => {
    await pushBlob(send, "r", bytes);
    expect((await put(await start(), body, headers)).status).toBe(status);
    expect((await send("GET", `/v2/r/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
  });

  it("are refused where the blob is another repository's, its end too", async () => {
    await pushBlob(send, "other", bytes);
    expect((await put(await start(), bytes.subarray(3000))).status).toBe(400);
    expect((await put(await start())).status).toBe(400);
    expect((await send("HEAD", `/v2/r/blobs/${digest}`)).status).toBe(404);
  });
});
