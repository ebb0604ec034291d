/** `lading doctor` against the functions as they are bundled: all is well, and then one thing after the other is not. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { hashSync } from "bcryptjs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BODY_SIZES, CHECKS, examine, type Observation } from "../../shared/doctor/doctor.ts";
import { GATEWAY_QUIRKS } from "../cloud/api-gateway.ts";
import { startCloud, type Cloud } from "../cloud/cloud.ts";
import { HOSTNAMES } from "../cloud/names.ts";
import { freePort } from "../support/free-port.ts";
import { run } from "../support/process.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { FAULTS } from "./faults.ts";
import { startFaultyProxy, type FaultyProxy } from "./faulty.ts";

const user = { name: "ann", password: "secret" };
const quick = BODY_SIZES.filter((size) => size <= 8_000_000);
const folder = await fastTemporaryFolder();
let cloud: Cloud;
let proxies: Record<"api" | "uploads" | "store", FaultyProxy>;

beforeAll(async () => {
  const htpasswd = path.join(folder, "htpasswd");
  writeFileSync(htpasswd, `ann:${hashSync("secret", 5)}\n`);
  const access = await sharedVersitygw();
  const store = await startFaultyProxy(access.endpoint, { keepHost: true });
  // Where uploads are sent has to be known before the cloud starts, and what is behind it only afterwards.
  const behind = await freePort();
  const uploads = await startFaultyProxy(`http://${HOSTNAMES.uploads}:${behind}`);
  cloud = await startCloud({
    bucket: { access: { ...access, endpoint: store.url }, name: await access.freshBucket() },
    concurrency: 12,
    ports: { api: 0, uploads: behind },
    env: {
      REGISTRY_AUTH_HTPASSWD_REALM: "lading",
      REGISTRY_AUTH_HTPASSWD_PATH: htpasswd,
      REGISTRY_HTTP_UPLOADS_HOST: uploads.url,
    },
  });
  proxies = { store, uploads, api: await startFaultyProxy(`http://${cloud.api}`) };
});
afterEach(() => {
  Object.assign(cloud.gateway.quirks, GATEWAY_QUIRKS);
  for (const proxy of Object.values(proxies)) proxy.spoil = undefined;
});
afterAll(async () => {
  await cloud.close();
  for (const proxy of Object.values(proxies)) await proxy.close();
  await removeFolder(folder);
});

const visit = async (bodies: readonly number[] = quick): Promise<readonly Observation[]> =>
  await examine({ registry: proxies.api.url, user, repository: "lading/doctor", atOnce: 4, bodies }, () => undefined);
const faultsOf = (seen: readonly Observation[]): string[] =>
  seen.filter(({ level }) => level === "fail").map(({ check, text }) => `${check}: ${text}`);

describe("a deployment as it should be", () => {
  it("passes, at both addresses, and nothing is left of the visit", { timeout: 300_000 }, async () => {
    Object.assign(cloud.gateway.quirks, { cutsAtQuestionMark: false });
    const seen = await visit();
    expect(faultsOf(seen)).toEqual([]);
    expect(seen.filter(({ check, level }) => level === "note" && check !== "tls").map(({ text }) => text)).toEqual([
      "registry: a body of 8 MB is refused with 413, as behind API Gateway",
    ]);
    expect(new Set(seen.map(({ check }) => check))).toEqual(new Set(CHECKS.map(({ name }) => name)));
    const api = `${proxies.api.url}/v2/lading/doctor`;
    const headers = { authorization: `Basic ${Buffer.from("ann:secret").toString("base64")}` };
    expect((await fetch(`${api}/tags/list`, { headers })).status).toBe(404);
  });

  it("needs a user where it asks for one", async () => {
    const seen = await examine(
      { registry: proxies.api.url, repository: "lading/doctor", atOnce: 4, bodies: [] },
      () => undefined,
    );
    expect(faultsOf(seen)).toEqual(["sign-in: registry: answers 401 without a user"]);
    const wrong = { name: "ann", password: "wrong" };
    const refused = await examine(
      { registry: proxies.api.url, user: wrong, repository: "lading/doctor", atOnce: 4, bodies: [] },
      () => undefined,
    );
    expect(faultsOf(refused)[0]).toContain("answers 401 to this user");
  });
});

describe("a fault is found:", () => {
  it.each(FAULTS)("$what ($at)", { timeout: 300_000 }, async ({ at, check, level, says, spoil, quirks = {} }) => {
    Object.assign(cloud.gateway.quirks, { cutsAtQuestionMark: false, ...quirks });
    proxies[at].spoil = spoil;
    const found = (await visit()).filter((seen) => seen.check === check && seen.level === level);
    expect(found.map(({ text }) => text).join("\n")).toMatch(says);
    for (const { advice } of found) expect(advice).toMatch(/\w{3}/);
  });

  it("nothing listens", async () => {
    const seen = await examine(
      { registry: "http://127.0.0.1:1", repository: "r", atOnce: 4, bodies: [] },
      () => undefined,
    );
    expect(faultsOf(seen).join()).toMatch(/^tls|challenge: the connection failed: .*ECONNREFUSED/);
    expect(seen.at(-1)?.check).toBe("challenge");
  });
});

describe("the command", () => {
  const lading = async (args: string[], env: Record<string, string> = {}): Promise<{ code: number; out: string }> => {
    try {
      const out = await run([process.execPath, "dist/lading.js", "doctor", ...args], { env });
      return { code: 0, out };
    } catch (error) {
      return { code: 1, out: String(error) };
    }
  };

  it("prints each check and a sum, and what a certificate is worth", async () => {
    await run(
      [
        ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3"],
        ...[
          "-keyout",
          "key.pem",
          "-out",
          "cert.pem",
          "-subj",
          "/CN=localhost",
          "-addext",
          "subjectAltName=DNS:localhost",
        ],
      ],
      { cwd: folder },
    );
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => readFileSync(path.join(folder, name)));
    const tls = await startFaultyProxy(`http://${cloud.api}`, { hostname: "localhost", tls: { key, cert } });
    const env = { LADING_USER: user.name, LADING_PASSWORD: user.password };
    try {
      const trusted = { ...env, NODE_EXTRA_CA_CERTS: path.join(folder, "cert.pem") };
      // As many as there are processes: more are refused or not by how fast these are.
      const soon = await lading(["--quick", "--at-once", "12", tls.url.replace("https://", "")], trusted);
      expect(soon.code).toBe(1);
      expect(soon.out).toMatch(/FAIL {2}tls +registry: the certificate ends in [23] days/);
      expect(soon.out).toMatch(/\d+ passed, \d+ to know, 1 failed/);
      expect((await lading(["--quick", tls.url], env)).out).toMatch(/self-signed certificate/);
    } finally {
      await tls.close();
    }
  });

  it("says how it is called", async () => {
    expect((await lading(["--help"])).out).toMatch(/^usage: lading doctor/);
    for (const args of [[], ["a", "b"], ["--what"], ["http://"], ["a", "--at-once", "0"]])
      expect((await lading(args)).out).toMatch(/usage:/);
  });
});

describe("docs/assumptions.md", () => {
  const page = readFileSync("docs/assumptions.md", "utf8");
  it("says of each check what it is for", () => {
    const named = new Set([...page.matchAll(/doctor: `([a-z-]+)`/g)].map(([, name]) => name));
    expect([...named].sort()).toEqual(CHECKS.map(({ name }) => name).sort());
  });
});
