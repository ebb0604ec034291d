/**
 * Signed addresses: one app as the registry, another as the host for uploads, which share a storage and a secret and
 * nothing else. What each family of clients sends is taken from their sources.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { bodyTooLarge, createUploadAddresses } from "../../functions/registry/upload-addresses.ts";
import type { ApiSettings } from "../../functions/registry/request.ts";
import { UnauthorizedError, type Authenticator } from "../../shared/auth/authenticator.ts";
import { allowAll, type Authorizer } from "../../shared/auth/authorizer.ts";
import { MemoryDriver } from "../../shared/storage/memory.ts";
import { createTestApp, type Reply, type SendOptions, type TestApp } from "../support/app.ts";
import { bodyOf, pattern, sha256 } from "../support/bodies.ts";
import { snapshot } from "../support/invariants.ts";
import { pushBlob } from "../support/manifests.ts";
import { startTestServer } from "../support/server.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";

const HOST = "https://uploads.example.com";
const REGISTRY = "https://registry.example.com";
const HOUR = 3_600_000;
const START = Date.UTC(2026, 0, 1);
const bytes = pattern(4000);
const digest = sha256(bytes);

const AGENTS = {
  containerd: "containerd/v2.3.4",
  docker: "docker/29.7.2 go/go1.26 git-commit/x kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/29.7.2)",
  buildkit: "buildkit/v0.32.2",
  podman: "libpod/5.4.2",
  skopeo: "skopeo/1.18.0",
  crane: "crane/v0.21.9 go-containerregistry/v0.21.9",
  regctl: "regclient/regctl (v0.11.5)",
  oras: "oras/1.3.3",
  helm: "Helm/4.2.4",
  browser: "Mozilla/5.0 (X11; Linux x86_64)",
};

/** Lets in ann with her password, and nobody else. */
const authenticator: Authenticator = {
  challenge: 'Basic realm="r"',
  authenticate: async (authorization) => {
    if (authorization !== ANN["Authorization"]) throw new UnauthorizedError("sign in", 'Basic realm="r"');
    return await Promise.resolve({ kind: "user", name: "ann" });
  },
};
const ANN: Record<string, string> = { Authorization: "Basic YW5uOnNlY3JldA==" };

let driver: MemoryDriver;
let at: number;
beforeEach(() => {
  driver = new MemoryDriver();
  at = START;
});

interface InstanceOptions {
  readonly secrets?: readonly string[];
  /** Absent: `HOST`. Undefined: an instance that does not know its own address. */
  readonly host?: string | undefined;
  readonly clients?: readonly string[];
  readonly settings?: Partial<ApiSettings>;
  readonly authorizer?: Authorizer;
}

/** An instance of Lading of its own over the shared storage. */
function instance(options: InstanceOptions = {}): TestApp {
  const { secrets = ["current"], settings, authorizer = allowAll } = options;
  const host = "host" in options ? options.host : HOST;
  const uploads = createUploadAddresses(
    {
      secrets,
      expiryMs: HOUR,
      ...(host === undefined ? {} : { host }),
      clients: options.clients ?? ["^containerd/", "^docker/", "^buildkit/", "^libpod/", "^skopeo/", "crane", "^regc"],
    },
    () => new Date(at),
  );
  return createTestApp(driver, { settings: { uploads, ...settings }, parts: { authenticator, authorizer } });
}

/** What the client sends to the path of an absolute or relative Location. */
async function follow(app: TestApp, method: string, location: string, options: SendOptions = {}): Promise<Reply> {
  const url = new URL(location, HOST);
  const headers = { Host: url.host, ...options.headers };
  return await app.send(method, url.pathname + url.search, { ...options, headers });
}

async function start(app: TestApp, agent = AGENTS.containerd, query = ""): Promise<string> {
  const headers = { ...ANN, Host: "registry.example.com", "User-Agent": agent };
  const reply = await app.send("POST", `/v2/team/app/blobs/uploads/${query}`, { headers });
  expect(reply.status).toBe(202);
  return reply.header("location") ?? "";
}

function withQuery(location: string, ...pairs: [name: string, value: string][]): string {
  const query = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `${location}${location.includes("?") ? "&" : "?"}${query}`;
}

const isSigned = (location: string): boolean =>
  /^https:\/\/uploads\.example\.com\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}\.[A-Za-z0-9_-]{50,}$/.test(location);

/** Nothing that a client could take for a question after its credentials. */
function refusedWithout401(reply: Reply, status = 404, code = "BLOB_UPLOAD_UNKNOWN"): void {
  expect([reply.status, reply.code, reply.header("www-authenticate")]).toEqual([status, code, null]);
}

async function isStored(): Promise<void> {
  const reply = await instance().send("GET", `/v2/team/app/blobs/${digest}`, { headers: ANN });
  expect([reply.status, reply.bytes.equals(bytes)]).toEqual([200, true]);
  expect([...(await snapshot(driver)).keys()].filter((key) => key.includes("_uploads"))).toEqual([]);
}

describe("who is sent to the host for uploads", () => {
  it.each<[name: keyof typeof AGENTS, sent: boolean]>([
    ["containerd", true],
    ["docker", true],
    ["buildkit", true],
    ["podman", true],
    ["skopeo", true],
    ["crane", true],
    ["regctl", true],
    ["oras", false],
    ["helm", false],
    ["browser", false],
  ])("%s: %s", async (name, sent) => {
    const location = await start(instance(), AGENTS[name]);
    if (sent) expect(location).toSatisfy(isSigned);
    else expect(location).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}$/);
  });

  it("nobody without a User-Agent, unless everybody is", async () => {
    const path = "/v2/team/app/blobs/uploads/";
    const location = async (app: TestApp): Promise<string> =>
      (await app.send("POST", path, { headers: ANN })).header("location") ?? "";
    expect(await location(instance())).not.toSatisfy(isSigned);
    expect(await location(instance({ clients: [""] }))).toSatisfy(isSigned);
    expect(await location(instance({ clients: [] }))).not.toSatisfy(isSigned);
  });

  it("nobody by an instance that was not told of another host", async () => {
    expect(await start(instance({ host: undefined }))).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}$/);
  });

  it("also after a mount that failed", async () => {
    expect(await start(instance(), AGENTS.podman, `?mount=${digest}&from=other/app`)).toSatisfy(isSigned);
    expect(await start(instance(), AGENTS.regctl, `?mount=${digest}`)).toSatisfy(isSigned);
  });

  it("below the host's path and the prefix of both", async () => {
    const app = instance({ host: `${HOST}/x`, settings: { prefix: "/p/", baseUrl: REGISTRY } });
    const headers = { ...ANN, "User-Agent": AGENTS.docker, "X-Forwarded-Prefix": "/team" };
    const location = (await app.send("POST", "/p/v2/r/blobs/uploads/", { headers })).header("location") ?? "";
    expect(location).toMatch(new RegExp(`^${HOST}/x/p/v2/r/blobs/uploads/[0-9a-f-]{36}\\.`));
    // A proxy in front of the host takes off /x.
    expect((await follow(app, "GET", location.replace("/x/", "/"))).status).toBe(204);
  });

  it("not again, once they have begun with an address that is not signed", async () => {
    const location = await start(instance(), AGENTS.oras);
    const headers = { ...ANN, "User-Agent": AGENTS.docker };
    for (const method of ["GET", "PATCH"]) {
      const reply = await instance().send(method, location, { headers });
      expect(reply.header("location")).toBe(location);
    }
  });
});

/** What clients make of a Location, with the query that each adds. */
const families: [name: string, agent: string, push: (location: string, app: () => TestApp) => Promise<void>][] = [
  [
    "containerd below 2.3: POST, PUT",
    AGENTS.containerd,
    async (location, app) => {
      const reply = await follow(app(), "PUT", withQuery(location, ["digest", digest]), { body: bytes });
      expect([reply.status, reply.header("docker-content-digest")]).toEqual([201, digest]);
    },
  ],
  [
    "containerd from 2.3: POST, PUT with ns",
    AGENTS.containerd,
    async (location, app) => {
      const url = withQuery(location, ["digest", digest], ["ns", "registry.example.com"]);
      for (let i = 0; i < 2; i++) expect((await follow(app(), "PUT", url, { body: bytes })).status).toBe(201);
    },
  ],
  [
    "Docker, classic: POST, PATCH without a length, PUT",
    AGENTS.docker,
    async (location, app) => {
      const patch = await follow(app(), "PATCH", location, { body: bodyOf(bytes) });
      expect([patch.status, patch.header("range")]).toEqual([202, "0-3999"]);
      const next = patch.header("location") ?? "";
      expect(next).toSatisfy(isSigned);
      expect((await follow(app(), "PUT", withQuery(next, ["digest", digest]))).status).toBe(201);
    },
  ],
  [
    "Podman: POST, PATCH, PUT, always with the user's credentials",
    AGENTS.podman,
    async (location, app) => {
      const headers = ANN;
      const patch = await follow(app(), "PATCH", location, { headers, body: bodyOf(bytes) });
      const next = patch.header("location") ?? "";
      expect((await follow(app(), "PUT", withQuery(next, ["digest", digest]), { headers })).status).toBe(201);
    },
  ],
  [
    "Podman, for nobody: with empty credentials",
    AGENTS.podman,
    async (location, app) => {
      const headers = { Authorization: "Basic Og==" };
      const patch = await follow(app(), "PATCH", location, { headers, body: bodyOf(bytes) });
      const next = patch.header("location") ?? "";
      expect((await follow(app(), "PUT", withQuery(next, ["digest", digest]), { headers })).status).toBe(201);
    },
  ],
  [
    "crane: POST, PATCH with a length, PUT",
    AGENTS.crane,
    async (location, app) => {
      const patch = await follow(app(), "PATCH", location, { body: bytes });
      const next = patch.header("location") ?? "";
      expect((await follow(app(), "PUT", withQuery(next, ["digest", digest]))).status).toBe(201);
    },
  ],
  [
    "regctl: POST, chunks that ask for the state, PUT",
    AGENTS.regctl,
    async (location, app) => {
      let next = location;
      for (const [from, to] of [
        [0, 1000],
        [1000, 3000],
        [3000, 4000],
      ] as const) {
        const headers = { "Content-Range": `${from}-${to - 1}` };
        const patch = await follow(app(), "PATCH", next, { headers, body: bytes.subarray(from, to) });
        expect([patch.status, patch.header("range")]).toEqual([202, `0-${to - 1}`]);
        const again = await follow(app(), "PATCH", next, { headers, body: bytes.subarray(from, to) });
        expect([again.status, again.header("range")]).toEqual([416, `0-${to - 1}`]);
        expect(again.header("location")).toSatisfy(isSigned);
        const state = await follow(app(), "GET", patch.header("location") ?? "");
        expect([state.status, state.header("range")]).toEqual([204, `0-${to - 1}`]);
        next = state.header("location") ?? "";
        expect(next).toSatisfy(isSigned);
      }
      expect((await follow(app(), "PUT", withQuery(next, ["digest", digest]))).status).toBe(201);
    },
  ],
];

describe.each(families)("%s", (_, agent, push) => {
  it("on another instance", async () => {
    const uploads = instance();
    await push(await start(instance(), agent), () => uploads);
    await isStored();
  });

  it("on an instance of its own for each request", async () => {
    await push(await start(instance(), agent), () => instance());
    await isStored();
  });

  it("on the instance that gave out the address", async () => {
    const app = instance();
    await push(await start(app, agent), () => app);
    await isStored();
  });

  it("while the secret is changed, on one instance after another", async () => {
    const rollout = [
      ["old", "new"],
      ["new", "old"],
      ["old", "new"],
      ["new", "old"],
    ];
    const location = await start(instance({ secrets: ["old"] }), agent);
    await push(location, () => instance({ secrets: rollout.shift() ?? ["new", "old"] }));
    await isStored();
  });

  it("that does not sign in anywhere, where nobody has to", async () => {
    const app = createTestApp(driver, {
      settings: {
        uploads: createUploadAddresses(
          { secrets: ["current"], expiryMs: HOUR, host: HOST, clients: [""] },
          () => new Date(at),
        ),
      },
    });
    await push((await app.send("POST", "/v2/team/app/blobs/uploads/")).header("location") ?? "", () => app);
    await isStored();
  });
});

describe("a host for uploads that does not know its own address", () => {
  it("goes on by relative addresses, which are signed too", async () => {
    const uploads = instance({ host: undefined });
    const patch = await follow(uploads, "PATCH", await start(instance()), { body: bytes });
    const next = patch.header("location") ?? "";
    expect(next).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}\.[A-Za-z0-9_-]{50,}$/);
    expect((await follow(uploads, "PUT", withQuery(next, ["digest", digest]))).status).toBe(201);
    await isStored();
  });
});

describe("a signed address", () => {
  let location: string;
  let uploads: TestApp;
  beforeEach(async () => {
    location = await start(instance());
    uploads = instance();
  });

  it.each<[what: string, change: (query: [string, string][]) => [string, string][]]>([
    ["the digest alone", (query) => query],
    ["the digest twice, as containerd adds it to what is there", (query) => [...query, ...query]],
    ["ns before it", (query) => [["ns", "registry.example.com"], ...query]],
    ["ns after it", (query) => [...query, ["ns", "registry.example.com"]]],
    ["parameters that nobody knows, around it", (query) => [["a", ""], ...query, ["z", "a b&c"], ["", "x"]]],
  ])("takes %s", async (_, change) => {
    const url = withQuery(location, ...change([["digest", digest]]));
    expect((await follow(uploads, "PUT", url, { body: bytes })).status).toBe(201);
    await isStored();
  });

  it.each<[what: string, encode: (path: string) => string]>([
    ["the full stop encoded", (path) => path.replace(/\.(?=[^/]*$)/, "%2E")],
    ["that in lower case", (path) => path.replace(/\.(?=[^/]*$)/, "%2e")],
    ["dashes and underscores encoded, in mixed case", (path) => path.replace(/-/g, "%2d").replace(/_/g, "%5F")],
    ["everything encoded but the slashes", (path) => path.replace(/[^/]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)],
  ])("may come with %s", async (_, encode) => {
    const { pathname } = new URL(location);
    // The beginning is what a host or a gateway routes by.
    const path = `/v2${encode(pathname.slice("/v2".length))}`;
    const reply = await uploads.send("PUT", `${path}?digest=${digest}`, { body: bytes });
    expect(reply.status).toBe(201);
    await isStored();
  });

  it.each<[what: string, headers: Record<string, string>]>([
    ["none", {}],
    ["of another user", { Authorization: "Basic Ym9iOng=" }],
    ["with a wrong password", { Authorization: "Basic YW5uOndyb25n" }],
    ["of nobody", { Authorization: "Basic Og==" }],
    ["for another registry", { Authorization: "Bearer eyJhbGciOiJub25lIn0.e30." }],
    ["that are none", { Authorization: "\u00ff" }],
    ["longer than any", { Authorization: `Basic ${"A".repeat(8000)}` }],
  ])("asks for no credentials and looks at none: %s", async (_, headers) => {
    const patch = await follow(uploads, "PATCH", location, { headers, body: bytes });
    expect(patch.status).toBe(202);
    const put = withQuery(patch.header("location") ?? "", ["digest", digest]);
    expect((await follow(uploads, "PUT", put, { headers })).status).toBe(201);
    expect(uploads.reports.map(({ principal }) => principal)).toEqual(Array(2).fill({ kind: "user", name: "ann" }));
    await isStored();
  });

  it("may be PUT again after a lost answer, and then names another digest in vain", async () => {
    const url = withQuery(location, ["digest", digest]);
    for (let i = 0; i < 3; i++) expect((await follow(instance(), "PUT", url, { body: bytes })).status).toBe(201);
    refusedWithout401(await follow(uploads, "PUT", withQuery(location, ["digest", sha256("x")]), { body: "x" }));
    await isStored();
  });

  it("may be PUT again after wrong bytes", async () => {
    const url = withQuery(location, ["digest", digest]);
    const wrong = await follow(uploads, "PUT", url, { body: bytes.subarray(1) });
    refusedWithout401(wrong, 400, "DIGEST_INVALID");
    expect((await follow(uploads, "PUT", url, { body: bytes })).status).toBe(201);
    await isStored();
  });

  it("tells the session's state, and cancels it", async () => {
    for (const method of ["GET", "HEAD"]) expect((await follow(uploads, method, location)).status).toBe(204);
    expect((await follow(uploads, "DELETE", location)).status).toBe(204);
    refusedWithout401(await follow(uploads, "GET", location));
    refusedWithout401(await follow(uploads, "DELETE", location));
    expect(await snapshot(driver)).toEqual(new Map());
  });

  it("is left out of what is logged, and the session is not", async () => {
    const { pathname } = new URL(location);
    const [session, capability] = (pathname.split("/").at(-1) ?? "").split(".");
    await follow(uploads, "PATCH", location, { body: bytes });
    await follow(uploads, "PUT", withQuery(location, ["digest", digest]));
    await follow(uploads, "PUT", location.replace("team", "TEAM"));
    await uploads.send("GET", pathname.replace(".", "%2E"));
    for (const { uri } of uploads.reports) expect(uri).not.toContain(capability);
    expect(uploads.reports[0]?.uri).toBe(`/v2/team/app/blobs/uploads/${session}.-`);
    expect(uploads.reports[1]?.uri).toBe(
      `/v2/team/app/blobs/uploads/${session}.-?digest=${encodeURIComponent(digest)}`,
    );
    expect(uploads.reports.map(({ kind }) => kind)).toEqual(["upload", "upload", "unknown", "upload"]);
  });

  describe("is refused, without a question after credentials,", () => {
    const capability = (): string => location.slice(location.lastIndexOf(".") + 1);
    const session = (): string => /uploads\/([^.]*)\./.exec(location)?.[1] ?? "";
    const everyMethod = async (url: string, headers: Record<string, string> = {}): Promise<Reply[]> => {
      const before = await snapshot(driver);
      const replies: Reply[] = [];
      for (const method of ["GET", "PATCH", "PUT", "DELETE", "POST", "PURGE"]) {
        const options = method === "PATCH" || method === "PUT" ? { body: bytes } : {};
        replies.push(await follow(uploads, method, withQuery(url, ["digest", digest]), { ...options, headers }));
      }
      expect(await snapshot(driver)).toEqual(before);
      return replies;
    };

    it.each<[what: string, change: () => string | Promise<string>]>([
      ["for another repository", () => location.replace("team/app", "team/other")],
      ["for a repository above it", () => location.replace("team/app", "team")],
      ["for a repository below it", () => location.replace("team/app", "team/app/x")],
      ["for another session", async () => location.replace(session(), await otherSession())],
      ["for a session that does not exist", () => location.replace(session(), crypto.randomUUID())],
      ["for a session in other letters", () => location.replace(session(), session().toUpperCase())],
      ["for something that is no session", () => location.replace(session(), "startedat")],
      ["for no session", () => location.replace(session(), "")],
      ["with nothing after the full stop", () => location.slice(0, location.lastIndexOf(".") + 1)],
      ["with another letter at its end", () => location.slice(0, -1) + (location.endsWith("A") ? "E" : "A")],
      [
        "with another letter at its beginning",
        () => location.replace(`.${capability()}`, `.B${capability().slice(1)}`),
      ],
      ["with its end cut off", () => location.slice(0, -1)],
      ["with more at its end", () => `${location}A`],
      ["with padding", () => `${location}=`],
      ["in other letters", () => location.replace(capability(), capability().toLowerCase())],
      ["twice", () => `${location}.${capability()}`],
      ["of nothing", () => location.replace(capability(), "A".repeat(52))],
      ["as long as a URL can be", () => location + "A".repeat(7000)],
    ])("%s", async (_, change) => {
      for (const reply of await everyMethod(await change())) refusedWithout401(reply);
    });

    const otherSession = async (): Promise<string> => /uploads\/([^.]*)\./.exec(await start(instance()))?.[1] ?? "";

    it("where the repository can be none", async () => {
      for (const reply of await everyMethod(location.replace("team", "TEAM"))) {
        refusedWithout401(reply, 400, "NAME_INVALID");
      }
      for (const reply of await everyMethod(location.replace("team", "%zz"))) {
        refusedWithout401(reply, 400, "NAME_INVALID");
      }
    });

    it("with the credentials of a user too", async () => {
      for (const reply of await everyMethod(`${location}A`, ANN)) refusedWithout401(reply);
    });

    it("once it has expired, with the sentence that says so", async () => {
      at = START + HOUR - 1;
      expect((await follow(uploads, "GET", location)).status).toBe(204);
      at = START + HOUR;
      for (const reply of await everyMethod(location)) {
        refusedWithout401(reply);
        expect(reply.bytes.toString()).toContain("has expired; start a new upload");
      }
      for (const reply of await everyMethod(`${location}A`)) {
        refusedWithout401(reply);
        expect(reply.bytes.toString()).not.toContain("expired");
      }
    });

    it("once its secret is accepted no more", async () => {
      uploads = instance({ secrets: ["new", "old"] });
      for (const reply of await everyMethod(location)) refusedWithout401(reply);
    });

    it("by an instance without a secret", async () => {
      uploads = createTestApp(driver, { parts: { authenticator } });
      for (const reply of await everyMethod(location)) refusedWithout401(reply);
    });

    it("where its user may no longer push: 403", async () => {
      const authorizer: Authorizer = { ...allowAll, authorize: (who) => who.kind !== "user" || who.name !== "ann" };
      uploads = instance({ authorizer });
      const reply = await follow(uploads, "PATCH", location, { body: bytes });
      refusedWithout401(reply, 403, "DENIED");
    });

    it("for other methods than a session has: 405", async () => {
      refusedWithout401(await follow(uploads, "POST", location), 405, "UNSUPPORTED");
    });

    it("while the registry is read-only: 405", async () => {
      uploads = instance({ settings: { readOnly: true } });
      for (const method of ["PATCH", "PUT", "DELETE"]) {
        refusedWithout401(await follow(uploads, method, location, { body: bytes }), 405, "UNSUPPORTED");
      }
      expect((await follow(uploads, "GET", location)).status).toBe(204);
    });
  });

  it("is renewed by each request that goes on with it", async () => {
    let next = location;
    for (let i = 0; i < 5; i++) {
      at += HOUR - 1000;
      const reply = await follow(uploads, i % 2 === 0 ? "GET" : "PATCH", next, i % 2 === 0 ? {} : { body: "x" });
      next = reply.header("location") ?? "";
      expect(next).toSatisfy(isSigned);
    }
    refusedWithout401(await follow(uploads, "GET", location));
    expect((await follow(uploads, "DELETE", next)).status).toBe(204);
  });

  it("cancels its session where deleting is not enabled", async () => {
    uploads = instance({ settings: { deleteEnabled: false } });
    expect((await follow(uploads, "DELETE", location)).status).toBe(204);
  });

  it("gives nothing else: what it is put into asks for credentials, or is nothing", async () => {
    await pushBlobAs(instance());
    const capability = location.slice(location.lastIndexOf(".") + 1);
    const id = /uploads\/([^.]*)\./.exec(location)?.[1] ?? "";
    for (const method of ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"]) {
      for (const path of [
        "/v2/",
        "/v2/_catalog",
        "/v2/team/app/tags/list",
        `/v2/team/app/blobs/${digest}`,
        `/v2/team/app/blobs/${digest}.${capability}`,
        `/v2/team/app/blobs/${digest}?capability=${capability}`,
        `/v2/team/app/manifests/latest.${capability}`,
        `/v2/team/app/referrers/${digest}.${capability}`,
        `/v2/team/app/blobs/uploads/?${capability}`,
        `/v2/team/app/blobs/uploads/${id}`,
        `/v2/team/app/blobs/uploads/${id}?${capability}`,
        `/v2/team/app/blobs/uploads/${id}/${capability}`,
        `/v2/team/app/blobs/uploads/${id}.${capability}/../../${digest}`,
        `/v2/team/app/blobs/uploads/${id}.${capability}/blobs/${digest}`,
        `/v2/blobs/uploads/${id}.${capability}/blobs/${digest}`,
        `/v2/_catalog.${capability}`,
      ]) {
        const reply = await uploads.send(method, path);
        expect(reply.status, `${method} ${path}`).toBe(401);
      }
    }
  });
});

async function pushBlobAs(app: TestApp): Promise<void> {
  const send: TestApp["send"] = async (method, path, options = {}) =>
    await app.send(method, path, { ...options, headers: { ...ANN, ...options.headers } });
  await pushBlob(send, "team/app", bytes);
}

describe("the host for uploads, for clients that come to it by themselves", () => {
  it.each(["uploads.example.com", "uploads.example.com:443", "UPLOADS.example.com"])(
    "keeps oras and Helm there, as %s",
    async (host) => {
      const uploads = instance({ settings: { baseUrl: REGISTRY } });
      const headers = { ...ANN, Host: host, "User-Agent": AGENTS.oras };
      const reply = await uploads.send("POST", "/v2/team/app/blobs/uploads/", { headers });
      const location = reply.header("location") ?? "";
      expect(location).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}$/);
      const put = await uploads.send("PUT", `${location}?digest=${digest}`, { headers, body: bytes });
      expect([put.status, put.header("location")]).toEqual([201, `/v2/team/app/blobs/${digest}`]);
      await isStored();
    },
  );

  it.each(["registry.example.com", "uploads.example.com:8443", "uploads.example.com.", ""])(
    "names the registry's own address to those who come as %j",
    async (host) => {
      const app = instance({ settings: { baseUrl: REGISTRY } });
      const headers = { ...ANN, Host: host, "User-Agent": AGENTS.oras };
      const { headers: got } = await app.send("POST", "/v2/team/app/blobs/uploads/", { headers });
      expect(got.get("location")).toMatch(new RegExp(`^${REGISTRY}/v2/`));
    },
  );

  it("asks for credentials there as everywhere", async () => {
    const uploads = instance();
    for (const [method, path] of [
      ["GET", "/v2/"],
      ["POST", "/v2/team/app/blobs/uploads/"],
      ["PATCH", `/v2/team/app/blobs/uploads/${crypto.randomUUID()}`],
      ["GET", `/v2/team/app/blobs/${digest}`],
    ] as const) {
      const reply = await uploads.send(method, path, { headers: { Host: "uploads.example.com" } });
      expect([reply.status, reply.header("www-authenticate")]).toEqual([401, 'Basic realm="r"']);
    }
  });
});

describe("the sentence for a body that is too large", () => {
  const uploads = (host?: string): ApiSettings["uploads"] =>
    createUploadAddresses(
      { secrets: ["current"], expiryMs: HOUR, clients: [], ...(host === undefined ? {} : { host }) },
      () => new Date(at),
    );
  it("names the host for uploads, where there is one", () => {
    expect(bodyTooLarge(4_400_000, uploads(HOST))).toContain(`at most 4400000 bytes here; push to ${HOST}`);
    for (const none of [undefined, uploads()]) expect(bodyTooLarge(1, none)).toContain("(http.uploads.host)");
  });
});

it("a body that its host cannot take is refused with that sentence", async () => {
  const app = instance();
  const reply = await app.send("PATCH", await start(app, AGENTS.oras), {
    headers: ANN,
    body: bytes,
    limits: { requestBytes: 1000, answerBytes: 1000, headBodies: false },
  });
  expect([reply.status, reply.bytes.toString()]).toEqual([413, expect.stringContaining(`push to ${HOST}`)]);
});

describe("two servers over one folder, as they are configured", () => {
  const secret = "of at least 16 characters";
  it("take a push between them, and say in the log whose it is, without the capability", async () => {
    const folder = await fastTemporaryFolder();
    const shared = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder, REGISTRY_LOG_FORMATTER: "json" };
    const uploads = await startTestServer({ ...shared, REGISTRY_HTTP_SECRET: secret });
    const registry = await startTestServer({
      ...shared,
      REGISTRY_HTTP_SECRET: "the one that is taken in its place",
      REGISTRY_HTTP_UPLOADS_PREVIOUSSECRETS: `[${secret}]`,
      REGISTRY_HTTP_UPLOADS_HOST: uploads.url,
    });
    try {
      const begin = async (from: string): Promise<string> => {
        const headers = { "User-Agent": AGENTS.docker };
        const reply = await fetch(`${from}/v2/team/app/blobs/uploads/`, { method: "POST", headers });
        return reply.headers.get("location") ?? "";
      };
      const session = await begin(registry.url);
      expect(session).toMatch(new RegExp(`^${uploads.url}/v2/team/app/blobs/uploads/[0-9a-f-]{36}\\.`));
      const body = new Uint8Array(bytes);
      // The host for uploads has not been told of the new secret: what a rotation in the wrong order looks like.
      expect((await fetch(session, { method: "PATCH", body })).status).toBe(404);
      const told = await startTestServer({
        ...shared,
        REGISTRY_HTTP_SECRET: secret,
        REGISTRY_HTTP_UPLOADS_PREVIOUSSECRETS: "[the one that is taken in its place]",
      });
      try {
        const patch = await fetch(session.replace(uploads.url, told.url), { method: "PATCH", body });
        expect(patch.status).toBe(202);
        const next = `${told.url}${patch.headers.get("location") ?? ""}?digest=${digest}`;
        for (let i = 0; i < 2; i++) expect((await fetch(next, { method: "PUT" })).status).toBe(201);
        const blob = await fetch(`${registry.url}/v2/team/app/blobs/${digest}`);
        expect(Buffer.from(await blob.arrayBuffer()).equals(bytes)).toBe(true);
        const capability = session.slice(session.lastIndexOf(".") + 1);
        for (const { lines } of [registry, uploads, told]) expect(lines.join("")).not.toContain(capability);
      } finally {
        await told.close();
      }
    } finally {
      await Promise.all([registry.close(), uploads.close()]);
      await removeFolder(folder);
    }
  });
});
