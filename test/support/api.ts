/** A registry as seen by plain HTTP: to check what clients did, and to do what no client does. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

export interface Access {
  /** Scheme, host and port. */
  readonly url: string;
  readonly ca?: string | undefined;
  readonly user?: Credentials | undefined;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Without the credentials. */
  readonly anonymous?: boolean;
  /** Takes the body away as it comes, in the place of `Reply.body`. */
  readonly onChunk?: (chunk: Buffer) => void;
  /** Give the 307 itself, and not what it leads to. */
  readonly stay?: boolean;
}

export const sha256 = (bytes: Uint8Array | string): string => digest("sha256", bytes);
export const sha512 = (bytes: Uint8Array | string): string => digest("sha512", bytes);

export function digest(algorithm: string, bytes: Uint8Array | string): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** The digest of a file's bytes. */
export async function digestOfFile(file: string, algorithm = "sha256"): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return `${algorithm}:${hash.digest("hex")}`;
}

export const MANIFEST_TYPES = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

export class Api {
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
  }

  /** One request, on a connection of its own. Where a blob is to be had somewhere else, it is asked for there. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    const reply = await this.#send(method, path, options);
    const { location } = reply.headers;
    if (reply.status !== 307 || location === undefined || options.stay === true) return reply;
    return await this.#send(method, location, { ...options, anonymous: true });
  }

  async #send(method: string, path: string, options: CallOptions): Promise<Reply> {
    const { url, ca, user } = this.#access;
    const target = new URL(path, url);
    const send = target.protocol === "https:" ? httpsRequest : httpRequest;
    const authorization =
      user === undefined || options.anonymous === true
        ? {}
        : { Authorization: `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}` };
    return await new Promise((resolve, reject) => {
      const outgoing = send(
        target,
        {
          method,
          agent: false,
          headers: { ...authorization, ...options.headers },
          ...(ca === undefined ? {} : { ca }),
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", options.onChunk ?? ((chunk: Buffer) => chunks.push(chunk)));
          incoming.once("error", reject);
          incoming.once("end", () =>
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
          );
        },
      );
      outgoing.once("error", reject);
      outgoing.end(options.body);
    });
  }

  /** A request that must be answered with this status. */
  async expect(status: number, method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    const reply = await this.call(method, path, options);
    if (reply.status !== status) {
      throw new Error(`${method} ${path}: ${reply.status}, not ${status}: ${reply.body.toString().slice(0, 1000)}`);
    }
    return reply;
  }

  async json(path: string): Promise<unknown> {
    return JSON.parse((await this.expect(200, "GET", path)).body.toString()) as unknown;
  }

  /** Starts an upload session; gives where it goes on. */
  async startUpload(repository: string, query = ""): Promise<string> {
    const { headers } = await this.expect(202, "POST", `/v2/${repository}/blobs/uploads/${query}`);
    return headers.location ?? "";
  }

  /** Sends a blob as one PUT, or, in chunks, as a PATCH for each. Gives its digest. */
  async pushBlob(repository: string, bytes: Uint8Array, algorithm = "sha256", chunks = 0): Promise<string> {
    const name = digest(algorithm, bytes);
    let location = await this.startUpload(repository);
    const size = Math.ceil(bytes.byteLength / Math.max(chunks, 1));
    for (let i = 0; i < chunks; i++) {
      const body = bytes.subarray(i * size, (i + 1) * size);
      const headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": String(body.byteLength),
        "Content-Range": `${i * size}-${i * size + body.byteLength - 1}`,
      };
      location = (await this.expect(202, "PATCH", location, { headers, body })).headers.location ?? "";
    }
    const body = chunks > 0 ? new Uint8Array() : bytes;
    const headers = { "Content-Type": "application/octet-stream", "Content-Length": String(body.byteLength) };
    await this.expect(201, "PUT", withQuery(location, "digest", name), { headers, body });
    return name;
  }

  async putManifest(
    repository: string,
    reference: string,
    bytes: Uint8Array,
    type = MANIFEST_TYPES[0],
  ): Promise<Reply> {
    const headers = { "Content-Type": type ?? "", "Content-Length": String(bytes.byteLength) };
    return await this.call("PUT", `/v2/${repository}/manifests/${reference}`, { headers, body: bytes });
  }

  /** A manifest's bytes and digest. */
  async manifest(repository: string, reference: string): Promise<Reply & { digest: string }> {
    const headers = { Accept: MANIFEST_TYPES.join(", ") };
    const reply = await this.expect(200, "GET", `/v2/${repository}/manifests/${reference}`, { headers });
    return { ...reply, digest: String(reply.headers["docker-content-digest"]) };
  }

  /** Reads a blob and gives the digest and number of the bytes that came, by the algorithm of the digest asked for. */
  async hashBlob(repository: string, name: string): Promise<{ digest: string; size: number }> {
    const algorithm = name.split(":")[0] ?? "";
    const hash = createHash(algorithm);
    let size = 0;
    await this.expect(200, "GET", `/v2/${repository}/blobs/${name}`, {
      onChunk: (chunk) => {
        size += chunk.byteLength;
        hash.update(chunk);
      },
    });
    return { digest: `${algorithm}:${hash.digest("hex")}`, size };
  }

  async tags(repository: string): Promise<string[]> {
    return ((await this.json(`/v2/${repository}/tags/list`)) as { tags: string[] }).tags;
  }

  async catalog(): Promise<string[]> {
    return ((await this.json("/v2/_catalog?n=1000")) as { repositories: string[] }).repositories;
  }
}

/** A URL or path with one more parameter. */
export function withQuery(location: string, key: string, value: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}${key}=${encodeURIComponent(value)}`;
}
