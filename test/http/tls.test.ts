/** TLS on the real server, with certificates made here. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { request } from "node:https";
import path from "node:path";
import type { ConnectionOptions } from "node:tls";
import { connect } from "node:tls";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Api } from "../support/api.ts";
import { run } from "../support/process.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";

let folder: string;
const at = (name: string): string => path.join(folder, name);
const read = (name: string): string => readFileSync(at(name), "utf8");

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

async function makeCa(name: string): Promise<void> {
  const subject = ["-subj", `/CN=Test CA ${name}`];
  await run(
    ["openssl", "req", "-x509", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.crt`, "-days", "2", ...subject],
    { cwd: folder },
  );
}

async function makeCertificate(name: string, ca: string, extensions: string): Promise<void> {
  await writeFile(at(`${name}.ext`), extensions);
  await run(["openssl", "req", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`], {
    cwd: folder,
  });
  await run(
    [
      ...["openssl", "x509", "-req", "-in", `${name}.csr`, "-CA", `${ca}.crt`, "-CAkey", `${ca}.key`],
      ...["-CAcreateserial", "-out", `${name}.crt`, "-days", "2", "-extfile", `${name}.ext`],
    ],
    { cwd: folder },
  );
}

beforeAll(async () => {
  folder = await fastTemporaryFolder();
  await Promise.all(["ca", "other-ca"].map(makeCa));
  await makeCertificate("server", "ca", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
  await makeCertificate("ours", "ca", "extendedKeyUsage=clientAuth\n");
  await makeCertificate("stranger", "other-ca", "extendedKeyUsage=clientAuth\n");
});
afterAll(async () => {
  await removeFolder(folder);
});

/** The server with these keys of `http.tls` beside its certificate. */
async function start(tls: Record<string, unknown> = {}): Promise<TestServer> {
  return await startTestServer({
    REGISTRY_STORAGE: "inmemory",
    REGISTRY_HTTP_TLS: JSON.stringify({ certificate: at("server.crt"), key: at("server.key"), ...tls }),
  });
}

async function withServer(tls: Record<string, unknown>, use: (server: TestServer) => Promise<void>): Promise<void> {
  const server = await start(tls);
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

/** The status of `GET /v2/`; undefined where the connection was refused. */
async function statusFor(server: TestServer, options: ConnectionOptions): Promise<number | undefined> {
  return await new Promise((resolve) => {
    request(`${server.url}/v2/`, { agent: false, ca: read("ca.crt"), ...options }, (incoming) => {
      incoming.resume();
      resolve(incoming.statusCode);
    })
      .once("error", () => resolve(undefined))
      .end();
  });
}

describe("HTTPS", () => {
  it("serves pushes and pulls, and says https in its address", async () => {
    await withServer({}, async (server) => {
      expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
      const api = new Api({ url: server.url, ca: read("ca.crt") });
      const bytes = Buffer.alloc(300_000, "tls");
      const digest = await api.pushBlob("r", bytes, "sha256", 3);
      expect(await api.hashBlob("r", digest)).toEqual({ digest, size: bytes.length });
    });
  });

  it("is not trusted without its CA, and a plain request on its port harms nobody", async () => {
    await withServer({}, async (server) => {
      await expect(new Api({ url: server.url }).call("GET", "/v2/")).rejects.toThrow(/certificate/);
      await expect(new Api({ url: server.url.replace("https", "http") }).call("GET", "/v2/")).rejects.toThrow();
      expect(await statusFor(server, {})).toBe(200);
    });
  });
});

describe("minimumtls", () => {
  const versionWith = async (server: TestServer, maxVersion: "TLSv1.1" | "TLSv1.2" | "TLSv1.3"): Promise<string> =>
    await new Promise((resolve) => {
      // SECLEVEL=0: without it this client itself refuses what is old.
      const options = { port: server.port, ca: read("ca.crt"), minVersion: "TLSv1", maxVersion } as const;
      const socket = connect({ host: "127.0.0.1", ciphers: "DEFAULT@SECLEVEL=0", ...options }, () => {
        resolve(socket.getProtocol() ?? "none");
        socket.destroy();
      });
      socket.once("error", () => resolve("refused"));
    });

  it.each<[setting: string | undefined, answers: string[]]>([
    [undefined, ["refused", "TLSv1.2", "TLSv1.3"]],
    ["tls1.2", ["refused", "TLSv1.2", "TLSv1.3"]],
    ["tls1.3", ["refused", "refused", "TLSv1.3"]],
  ])("%s: clients of TLS 1.1, 1.2 and 1.3 get %j", async (minimumtls, answers) => {
    await withServer(minimumtls === undefined ? {} : { minimumtls }, async (server) => {
      const got = [];
      for (const most of ["TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) got.push(await versionWith(server, most));
      expect(got).toEqual(answers);
    });
  });

  it("ciphersuites are the only ones offered below TLS 1.3", async () => {
    const [only, another] = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    await withServer({ ciphersuites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] }, async (server) => {
      expect(await statusFor(server, { maxVersion: "TLSv1.2", ciphers: only })).toBe(200);
      expect(await statusFor(server, { maxVersion: "TLSv1.2", ciphers: another })).toBeUndefined();
    });
  });
});

describe("a client's certificate", () => {
  // Admitted without a certificate, with one of the right CA, with one of another CA.
  it.each<[mode: string, none: boolean, ours: boolean, stranger: boolean]>([
    ["none", true, true, true],
    ["request-client-cert", true, true, true],
    ["require-any-client-cert", false, true, true],
    ["verify-client-cert-if-given", true, true, false],
    ["require-and-verify-client-cert", false, true, false],
    ["the default with clientcas", false, true, false],
  ])("%s: none %s, of the CA %s, of another %s", async (mode, ...admitted) => {
    const clientcas = [at("ca.crt")];
    const settings =
      mode === "none" ? {} : mode.startsWith("the default") ? { clientcas } : { clientcas, clientauth: mode };
    await withServer(settings, async (server) => {
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const got = [];
        for (const name of [undefined, "ours", "stranger"]) {
          const given = name === undefined ? {} : { cert: read(`${name}.crt`), key: read(`${name}.key`) };
          got.push((await statusFor(server, { ...given, minVersion: version, maxVersion: version })) === 200);
        }
        expect(got, version).toEqual(admitted);
      }
      // Whoever was refused left no trace in the API.
      const served = server.lines.filter((line) => line.includes("response completed"));
      expect(served).toHaveLength(2 * admitted.filter(Boolean).length);
    });
  });

  it("may be of any of several CAs", async () => {
    await withServer({ clientcas: [at("ca.crt"), at("other-ca.crt")] }, async (server) => {
      for (const name of ["ours", "stranger"]) {
        expect(await statusFor(server, { cert: read(`${name}.crt`), key: read(`${name}.key`) }), name).toBe(200);
      }
      expect(await statusFor(server, {})).toBeUndefined();
    });
  });
});

describe("a file that cannot be used stops the start and is named with its key", () => {
  beforeAll(async () => {
    await mkdir(at("folder"));
    await writeFile(at("garbage"), "no certificate\n");
    await copyFile(at("stranger.key"), at("wrong.key"));
  });

  it.each<[key: string, settings: (file: string) => Record<string, unknown>]>([
    ["http.tls.certificate", (certificate) => ({ certificate })],
    ["http.tls.key", (key) => ({ key })],
    ["http.tls.clientcas.1", (ca) => ({ clientcas: [at("ca.crt"), ca] })],
  ])("%s", async (key, settings) => {
    // The tests may run as root, who can read every file: a folder cannot be read by anybody.
    for (const [file, reason] of [
      ["missing", "cannot be read"],
      ["folder", "cannot be read"],
      ["garbage", "cannot be used"],
    ] as const) {
      await expect(start(settings(at(file)))).rejects.toThrow(`${key}: the file ${at(file)} ${reason}: `);
    }
  });

  it("a key of another certificate", async () => {
    await expect(start({ key: at("wrong.key") })).rejects.toThrow(
      `http.tls.key: the file ${at("wrong.key")} cannot be used: `,
    );
  });
});
