/** htpasswd on the real server: who is asked, who is let in, what it costs, and what a changed file does. */
import { appendFile, rename, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import path from "node:path";
import { hash as bcrypt } from "bcryptjs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sha256, type Credentials } from "../support/api.ts";
import { runChild, startChild, type Child } from "../support/child.ts";
import { until } from "../support/process.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";

const COMPARISONS = "registry_auth_bcrypt_comparisons_total";
const REALM = 'Our "registry"';

const ann: Credentials = { name: "ann", password: "secret" };
const longest: Credentials = { name: "long", password: "x".repeat(72) };

/** One line of the file. A low cost: what it takes is tested with a high one below. */
const lineFor = async ({ name, password }: Credentials, cost = 4): Promise<string> =>
  `${name}:${await bcrypt(password, cost)}\n`;

const basic = ({ name, password }: Credentials): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
});

let folder: string;
let file: string;
let original: string;
let server: Child;
const settings = (htpasswd: string): Record<string, string> => ({
  REGISTRY_AUTH: JSON.stringify({ htpasswd: { realm: REALM, path: htpasswd } }),
});
beforeAll(async () => {
  folder = await fastTemporaryFolder();
  file = path.join(folder, "htpasswd");
  original = (await lineFor(ann)) + (await lineFor(longest));
  await writeFile(file, original);
  server = await startChild(settings(file));
});
afterAll(async () => {
  await server.stop();
  await removeFolder(folder);
});

/** The status of `GET /v2/` with these credentials. */
const statusOf = async (user: Credentials, at = server): Promise<number> =>
  (await at.api.call("GET", "/v2/", { headers: basic(user) })).status;

describe("without credentials", () => {
  it.each([
    ["GET", "/v2/"],
    ["HEAD", "/v2/"],
    ["GET", "/v2"],
    ["GET", "/v2/_catalog"],
    ["GET", "/v2/r/tags/list"],
    ["GET", "/v2/r/manifests/v1"],
    ["PUT", "/v2/r/manifests/v1"],
    ["DELETE", "/v2/r/manifests/v1"],
    ["GET", `/v2/r/blobs/${sha256("x")}`],
    ["POST", "/v2/r/blobs/uploads/"],
    ["PATCH", "/v2/r/blobs/uploads/00000000-0000-8000-8000-000000000000"],
    ["GET", "/v2/no/such/path"],
    ["GET", "/v2/NOT-A-NAME/tags/list"],
  ])("%s %s is answered with 401, the realm and an error", async (method, target) => {
    const reply = await server.api.call(method, target);
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toBe('Basic realm="Our \\"registry\\""');
    expect(reply.headers["docker-distribution-api-version"]).toBe("registry/2.0");
    expect(reply.headers["content-type"]).toBe("application/json");
    if (method === "HEAD") return;
    const { errors } = JSON.parse(reply.body.toString()) as { errors: { code: string; message: string }[] };
    expect(errors).toEqual([{ code: "UNAUTHORIZED", message: "a user name and a password are needed" }]);
  });

  it("GET / and OPTIONS need none", async () => {
    expect((await server.api.call("GET", "/")).status).toBe(200);
    for (const target of ["/v2/", `/v2/r/blobs/${sha256("x")}`]) {
      expect((await server.api.call("OPTIONS", target)).status).toBe(200);
    }
  });
});

describe("with credentials", () => {
  it("those of the file push and pull", async () => {
    for (const user of [ann, longest]) {
      const headers = basic(user);
      const digest = sha256("layer");
      const pushed = await server.api.call("POST", `/v2/r/blobs/uploads/?digest=${digest}`, { headers, body: "layer" });
      expect(pushed.status).toBe(201);
      expect((await server.api.call("GET", `/v2/r/blobs/${digest}`, { headers })).body.toString()).toBe("layer");
    }
  });

  it.each<[what: string, headers: Record<string, string>]>([
    ["a wrong password", basic({ ...ann, password: "Secret" })],
    ["an empty password", basic({ ...ann, password: "" })],
    ["an unknown name", basic({ ...ann, name: "nobody" })],
    ["a name of another case", basic({ ...ann, name: "Ann" })],
    ["a password of 73 bytes", basic({ ...longest, password: `${longest.password}x` })],
    ["a password with a NUL", basic({ ...ann, password: `${ann.password}\0` })],
    ["a bearer token", { Authorization: "Bearer abc" }],
    ["what is not base64", { Authorization: "Basic !!!" }],
  ])("%s is refused", async (_, headers) => {
    const reply = await server.api.call("GET", "/v2/", { headers });
    expect([reply.status, reply.headers["www-authenticate"]]).toEqual([401, 'Basic realm="Our \\"registry\\""']);
    expect(reply.body.toString()).toContain("UNAUTHORIZED");
  });

  it("the log names who came, and never a password", async () => {
    await server.api.call("GET", "/v2/?who", { headers: basic(ann) });
    await until("it is logged", () => server.accessLines().some((line) => line.includes("/v2/?who")));
    expect(server.accessLines().find((line) => line.includes("/v2/?who"))).toContain("auth.user.name=ann");
    const secrets = [ann.password, ...[ann, longest].map((user) => basic(user)["Authorization"]?.slice(6) ?? "")];
    for (const secret of secrets) expect(server.daemon.lines.join("\n")).not.toContain(secret);
  });
});

describe("what it costs", () => {
  it("1,000 requests of one user are one comparison, also when the first 100 come at once", async () => {
    const user = { name: "bob", password: "costly" };
    await appendFile(file, await lineFor(user, 10));
    const before = await server.metric(COMPARISONS);
    const first = await Promise.all(Array.from({ length: 100 }, async () => await statusOf(user)));
    expect(new Set(first)).toEqual(new Set([200]));
    expect((await server.metric(COMPARISONS)) - before).toBe(1);

    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    try {
      const one = async (): Promise<number | undefined> =>
        await new Promise((resolve, reject) => {
          request(`${server.url}/v2/`, { agent, headers: basic(user) }, (incoming) => {
            incoming.resume().once("end", () => resolve(incoming.statusCode));
          })
            .once("error", reject)
            .end();
        });
      expect(new Set(await Promise.all(Array.from({ length: 1000 }, one)))).toEqual(new Set([200]));
    } finally {
      agent.destroy();
    }
    expect((await server.metric(COMPARISONS)) - before).toBe(1);
  });

  it("while it is paid others are answered, and who would wait too long is told when to come back", async () => {
    const slow = path.join(folder, "slow");
    // A cost at which no comparison ever ends.
    await writeFile(slow, (await lineFor(ann)).replace("$04$", "$31$"));
    const busy = await startChild(settings(slow));
    try {
      // 15 more than run and wait together, each another one, so that none shares the comparison of another.
      const answers: { status: number; retryAfter: string | undefined; body: string }[] = [];
      const attempts = Array.from({ length: 80 }, async (_, i) => {
        const headers = basic({ ...ann, password: `guess ${i}` });
        const reply = await busy.api.call("GET", "/v2/", { headers });
        answers.push({
          status: reply.status,
          retryAfter: reply.headers["retry-after"],
          body: reply.body.toString(),
        });
      });
      const all = Promise.allSettled(attempts);
      const refused = (): typeof answers => answers.filter(({ status }) => status === 429);
      await until("the queue is full", () => refused().length === 15);
      for (const { retryAfter, body } of refused()) {
        expect(Number(retryAfter)).toBeGreaterThan(0);
        expect(body).toContain("TOOMANYREQUESTS");
      }
      expect(await busy.metric("registry_auth_bcrypt_rejected_total")).toBe(15);

      // Dozens still wait; whoever needs no comparison is not among them.
      expect((await busy.api.call("GET", "/")).status).toBe(200);
      expect((await busy.api.call("GET", "/v2/")).status).toBe(401);
      expect((await busy.api.call("OPTIONS", "/v2/")).status).toBe(200);
      expect(answers).toHaveLength(15);
      expect(await busy.metric(COMPARISONS)).toBe(1);
      expect(await busy.stop()).toBe(0);
      await all;
      expect(answers.every(({ status }) => status !== 200)).toBe(true);
    } finally {
      if (busy.daemon.running()) await busy.stop();
    }
  });
});

describe("a changed file", () => {
  beforeEach(async () => {
    await writeFile(file, original);
    // The server looks when it is asked, and what it saw last is what stays in force.
    expect(await statusOf(longest)).toBe(200);
  });

  it("ends the old password at once and takes the new one", async () => {
    expect(await statusOf(ann)).toBe(200);
    const changed = { ...ann, password: "new secret" };
    await writeFile(file, await lineFor(changed));
    expect([await statusOf(ann), await statusOf(changed)]).toEqual([401, 200]);
  });

  it("lets in who is added, and out who is removed, also when it is another file under the old name", async () => {
    const carl = { name: "carl", password: "hello" };
    expect(await statusOf(carl)).toBe(401);
    await appendFile(file, await lineFor(carl));
    expect([await statusOf(carl), await statusOf(ann)]).toEqual([200, 200]);
    await writeFile(`${file}.new`, await lineFor(ann));
    await rename(`${file}.new`, file);
    expect([await statusOf(carl), await statusOf(ann)]).toEqual([401, 200]);
  });

  it("that is broken or gone leaves the old content in force, and is said in the log once", async () => {
    const complaints = (): string[] => server.daemon.lines.filter((line) => line.includes("cannot be read anew"));
    const before = complaints().length;
    await writeFile(file, `${original}eve:plain-text\n`);
    for (let i = 0; i < 3; i++) expect([await statusOf(ann), await statusOf(longest)]).toEqual([200, 200]);
    await until("it is logged", () => complaints().length > before);
    expect(complaints().at(-1)).toMatch(/level=error .*line=3/);
    expect(complaints().at(-1)).not.toContain("plain-text");
    await rename(file, `${file}.away`);
    for (let i = 0; i < 3; i++) expect(await statusOf(ann)).toBe(200);
    await until("it is logged", () => complaints().length > before + 1);

    await writeFile(file, await lineFor(longest));
    expect([await statusOf(ann), await statusOf(longest)]).toEqual([401, 200]);
    expect(complaints()).toHaveLength(before + 2);
  });
});

describe("where anybody may pull", () => {
  const layer = "a layer for everybody";
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest: sha256(layer), size: layer.length },
    layers: [],
  });
  const session = "00000000-0000-8000-8000-000000000000";
  let open: Child;
  beforeAll(async () => {
    open = await startChild({ ...settings(file), REGISTRY_AUTH_ANONYMOUS: "pull" });
    await writeFile(file, original);
    const headers = { ...basic(ann), "Content-Type": "application/vnd.oci.image.manifest.v1+json" };
    const { status } = await open.api.call("POST", `/v2/r/blobs/uploads/?digest=${sha256(layer)}`, {
      headers: basic(ann),
      body: layer,
    });
    const put = await open.api.call("PUT", "/v2/r/manifests/v1", { headers, body: manifest });
    expect([status, put.status]).toEqual([201, 201]);
  });
  afterAll(async () => {
    await open.stop();
  });

  const nobody: [who: string, headers: Record<string, string>][] = [
    ["no header", {}],
    ["an empty header", { Authorization: "" }],
    ["an empty name, as podman sends it", { Authorization: "Basic Og==" }],
  ];
  describe.each(nobody)("with %s", (_, headers) => {
    it.each([
      ["GET", "/v2/r/manifests/v1", 200],
      ["HEAD", "/v2/r/manifests/v1", 200],
      ["GET", `/v2/r/manifests/${sha256(manifest)}`, 200],
      ["GET", `/v2/r/blobs/${sha256(layer)}`, 200],
      ["HEAD", `/v2/r/blobs/${sha256(layer)}`, 200],
      ["GET", "/v2/r/tags/list", 200],
      ["GET", `/v2/r/referrers/${sha256(manifest)}`, 200],
      ["GET", "/v2/r/manifests/v2", 404],
      ["GET", "/v2/other/tags/list", 404],
      ["GET", "/", 200],
    ])("%s %s is answered with %i", async (method, target, status) => {
      expect((await open.api.call(method, target, { headers })).status).toBe(status);
    });

    it.each([
      ["GET", "/v2/"],
      ["HEAD", "/v2/"],
      ["GET", "/v2"],
      ["GET", "/v2/_catalog"],
      ["PUT", "/v2/r/manifests/v1"],
      ["DELETE", "/v2/r/manifests/v1"],
      ["PATCH", "/v2/r/manifests/v1"],
      ["DELETE", `/v2/r/blobs/${sha256(layer)}`],
      ["POST", "/v2/r/blobs/uploads/"],
      ["POST", `/v2/other/blobs/uploads/?mount=${sha256(layer)}&from=r`],
      ["GET", `/v2/r/blobs/uploads/${session}`],
      ["PATCH", `/v2/r/blobs/uploads/${session}`],
      ["PUT", `/v2/r/blobs/uploads/${session}?digest=${sha256(layer)}`],
      ["DELETE", `/v2/r/blobs/uploads/${session}`],
      ["GET", "/v2/no/such/path"],
      ["GET", "/v2/NOT-A-NAME/tags/list"],
    ])("%s %s asks for credentials", async (method, target) => {
      const reply = await open.api.call(method, target, { headers });
      expect([reply.status, reply.headers["www-authenticate"]]).toEqual([401, 'Basic realm="Our \\"registry\\""']);
      if (method !== "HEAD") expect(reply.body.toString()).toContain("UNAUTHORIZED");
    });
  });

  it.each([
    ["a wrong password", basic({ ...ann, password: "Secret" })],
    ["a bearer token", { Authorization: "Bearer abc" }],
  ])("%s is refused all the same", async (_, headers) => {
    expect((await open.api.call("GET", "/v2/r/manifests/v1", { headers })).status).toBe(401);
  });

  it("users do what they did", async () => {
    const statuses = ["/v2/", "/v2/_catalog", "/v2/r/manifests/v1"].map(
      async (target) => (await open.api.call("GET", target, { headers: basic(ann) })).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 200]);
  });
});

describe("a file that cannot be used stops the start", () => {
  it.each<[what: string, content: () => string | undefined, message: RegExp]>([
    ["a broken line", () => `# people\n${original}eve\n`, /htpasswd file .*broken, line 4: .*htpasswd -B/],
    ["another kind of hash", () => `eve:{SHA}x\n${original}`, /htpasswd file .*broken, line 1: .*bcrypt/],
    ["no file", () => undefined, /htpasswd file .*missing does not exist; make it with/],
  ])("%s", async (_, content, message) => {
    const text = content();
    const name = path.join(folder, text === undefined ? "missing" : "broken");
    if (text !== undefined) await writeFile(name, text);
    const { code, stderr } = await runChild(settings(name));
    expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
  });
});
