/** The real server, as `npm start` runs it, in a process of its own. */
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import path from "node:path";
import { hash } from "bcryptjs";
import { Api, type Credentials } from "./api.ts";
import { run, runAny, startDaemon, until, type Finished } from "./process.ts";
import type { S3Access } from "./s3-servers.ts";

export interface LadingOptions {
  /** A folder for its configuration, and for its data unless `root` says where. */
  readonly folder: string;
  readonly driver?: "filesystem" | "inmemory";
  readonly signIn?: "none" | "htpasswd";
  /** Where users sign in, anybody may pull. */
  readonly anonymousPull?: boolean;
  readonly host?: "http" | "https";
  /** The root of the storage. */
  readonly root?: string;
  /** A bucket instead of a driver; `root` is below it. */
  readonly bucket?: Bucket;
  /** Blobs are streamed, and nobody is sent to the bucket for them. */
  readonly streams?: boolean;
}

/** A bucket of a test server. */
export interface Bucket {
  readonly access: S3Access;
  readonly name: string;
}

/** One line of the access log. */
export interface LoggedRequest {
  readonly method: string;
  /** The address that it came to. */
  readonly host: string | undefined;
  readonly uri: string;
  readonly status: number;
  readonly user: string | undefined;
  readonly userAgent: string | undefined;
}

export interface Lading {
  /** Host and port, as they stand before a repository's name. */
  readonly host: string;
  /** Host and port of a second address, which takes bodies of any size where the first does not. */
  readonly uploadsHost?: string;
  readonly plainHttp: boolean;
  /** The CA that clients have to be given. */
  readonly caFile: string | undefined;
  readonly user: Credentials | undefined;
  /** The root of its storage, or its bucket. */
  readonly root: string;
  readonly api: Api;
  /** All requests that were answered so far. */
  requests(): Promise<LoggedRequest[]>;
  /** The requests that were answered while `work` ran. */
  during(work: () => Promise<unknown>): Promise<LoggedRequest[]>;
  stop(): Promise<void>;
}

/** Who may sign in, where somebody has to. */
export const USER: Credentials = { name: "ann", password: "secret" };

export async function startLading(options: LadingOptions): Promise<Lading> {
  const { folder, driver = "filesystem", signIn = "none", host = "http", root = path.join(folder, "data") } = options;
  const { bucket, streams = false, anonymousPull = false } = options;
  const address = host === "https" ? outsideAddress() : "127.0.0.1";
  const certificate = host === "https" ? await makeCertificate(folder, address) : undefined;
  const htpasswd = signIn === "htpasswd" ? await writeHtpasswd(folder) : "";

  // JSON is YAML.
  const config = {
    version: 0.1,
    log: { level: "info", formatter: "json" },
    storage: {
      ...(bucket !== undefined
        ? storageSection({ bucket, root: options.root })
        : driver === "filesystem"
          ? storageSection({ root })
          : { inmemory: {} }),
      delete: { enabled: true },
      redirect: { disable: streams },
    },
    http: {
      addr: `${address}:0`,
      ...(certificate === undefined ? {} : { tls: { certificate: certificate.file, key: certificate.key } }),
    },
    ...(signIn === "none"
      ? {}
      : { auth: { htpasswd: { realm: "lading", path: htpasswd }, anonymous: anonymousPull ? "pull" : "none" } }),
  };
  const file = path.join(folder, "config.yml");
  await writeFile(file, JSON.stringify(config));

  const announced = /"msg":"serving [^"]* on (https?:\/\/[^/"]+)/;
  // The title keeps it from whoever ends the other servers of this machine by their name.
  const daemon = await startDaemon([process.execPath, "--title=registry-under-test", "lading.js", "serve", file], {
    cwd: "dist",
    ready: ({ lines }) => lines.some((line) => announced.test(line)),
  });
  const url = daemon.lines.map((line) => announced.exec(line)?.[1]).find((found) => found !== undefined) ?? "";
  const user = signIn === "none" ? undefined : USER;
  const ca = certificate === undefined ? undefined : await readFile(certificate.ca, "utf8");
  const api = new Api({ url, ca, user });

  const requests = async (): Promise<LoggedRequest[]> => {
    // The log is in order: once our own request is in it, so are all that were answered before.
    const mark = `/v2/?mark=${randomUUID()}`;
    await api.call("GET", mark, { anonymous: true });
    let logged: LoggedRequest[] = [];
    await until("the access log is written", () => {
      if (!daemon.running()) throw new Error(`the server ended:\n${daemon.lines.slice(-20).join("\n")}`);
      logged = daemon.lines.map(readAccessLine).filter((line) => line !== undefined);
      return logged.some(({ uri }) => uri === mark);
    });
    return logged.filter(({ uri }) => !uri.startsWith("/v2/?mark="));
  };
  return {
    host: new URL(url).host,
    plainHttp: host === "http",
    caFile: certificate?.ca,
    user,
    root,
    api,
    requests,
    during: async (work) => {
      const { length } = await requests();
      await work();
      return (await requests()).slice(length);
    },
    stop: async () => {
      const early = !daemon.running();
      const code = await daemon.stop();
      if (early) throw new Error(`the server had ended by itself:\n${daemon.lines.slice(-20).join("\n")}`);
      if (code !== 0) throw new Error(`the server ended with ${String(code)}:\n${daemon.lines.slice(-20).join("\n")}`);
      const faults = daemon.lines.filter((line) => line.includes('"level":"error"'));
      if (faults.length > 0) throw new Error(`the server logged errors:\n${faults.join("\n")}`);
    },
  };
}

/** Writes a file that lets in `USER`; gives its path. */
export async function writeHtpasswd(folder: string): Promise<string> {
  const file = path.join(folder, "htpasswd");
  await writeFile(file, `${USER.name}:${await hash(USER.password, 5)}\n`);
  return file;
}

/** The part of a configuration, ours or another registry's, that says where the storage is. */
export function storageSection({
  root,
  bucket,
}: {
  readonly root?: string | undefined;
  readonly bucket?: Bucket | undefined;
}): Record<string, unknown> {
  const rootDirectory = root === undefined ? {} : { rootdirectory: root };
  return bucket === undefined ? { filesystem: rootDirectory } : { s3: { ...bucketSection(bucket), ...rootDirectory } };
}

/** Runs a command of ours to its end, with a configuration that names the storage and is written into `folder`. */
export async function runLading(
  { folder, root, bucket }: Pick<LadingOptions, "folder" | "root" | "bucket">,
  ...args: readonly string[]
): Promise<Finished> {
  const file = path.join(folder, "command.yml");
  await writeFile(file, JSON.stringify({ version: 0.1, storage: storageSection({ root, bucket }) }));
  return await runAny([process.execPath, "dist/lading.js", ...args, file], { env: {} });
}

/** `storage.s3` for a bucket; registries of the distribution read the same. */
export function bucketSection({ access, name }: Bucket): Record<string, unknown> {
  const { endpoint, region, accessKeyId, secretAccessKey } = access;
  return {
    bucket: name,
    region,
    regionendpoint: endpoint,
    forcepathstyle: true,
    accesskey: accessKeyId,
    secretkey: secretAccessKey,
  };
}

/** What a line of the log says of a request, if it is about one. */
export function readAccessLine(line: string): LoggedRequest | undefined {
  if (!line.includes('"response completed"')) return undefined;
  const entry = JSON.parse(line) as Record<string, unknown>;
  const text = (key: string): string | undefined => (typeof entry[key] === "string" ? entry[key] : undefined);
  return {
    method: text("http.request.method") ?? "",
    host: text("http.request.host"),
    uri: text("http.request.uri") ?? "",
    status: Number(entry["http.response.status"]),
    user: text("auth.user.name"),
    userAgent: text("http.request.useragent"),
  };
}

/**
 * An address of this machine that no client takes for the machine itself: on loopback addresses some speak plain HTTP, or
 * accept any certificate, whatever they are told.
 */
function outsideAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  if (found === undefined) {
    throw new Error("no address outside 127.0.0.0/8, which HTTPS is tried on: ip addr add 192.0.2.1/32 dev lo");
  }
  return found.address;
}

/** A CA of our own and a certificate by it. */
async function makeCertificate(folder: string, address: string): Promise<{ ca: string; file: string; key: string }> {
  const at = (name: string): string => path.join(folder, name);
  const openssl = async (...args: string[]): Promise<string> => await run(["openssl", ...args], { cwd: folder });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Test CA");
  await openssl("req", ...newKey, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=registry");
  await writeFile(at("server.ext"), `subjectAltName=IP:${address}\nextendedKeyUsage=serverAuth\n`);
  await openssl(
    ...["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-out", "server.crt", "-days", "2", "-extfile", "server.ext"],
  );
  return { ca: at("ca.crt"), file: at("server.crt"), key: at("server.key") };
}
