/** A client of one repository, with the calls that clients make. */
import { randomBytes } from "node:crypto";
import type { Reply, Send, SendOptions } from "../../support/app.ts";
import { bodyOf, sha256 } from "../../support/bodies.ts";
import { CONFIG_TYPE, descriptorOf, imageOf, type TestManifest } from "../../support/manifests.ts";

const OCTETS = { "Content-Type": "application/octet-stream" };
/** What a client that reads manifests says. */
const ACCEPT = { Accept: "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json" };

export interface TestImage {
  readonly config: Buffer;
  readonly layers: readonly Buffer[];
  readonly manifest: TestManifest;
}

export class Client {
  readonly repository: string;
  readonly #send: Send;

  constructor(send: Send, repository: string) {
    this.#send = send;
    this.repository = repository;
  }

  /** The same repository through another process. */
  through(send: Send): Client {
    return new Client(send, this.repository);
  }

  /** Another repository through the same process. */
  of(repository: string): Client {
    return new Client(this.#send, repository);
  }

  /** One request, `path` below the repository. Throws on a status that is not among those that are expected. */
  async ask(expected: readonly number[], method: string, path: string, options: SendOptions = {}): Promise<Reply> {
    const url = path.startsWith("/") ? path : `/v2/${this.repository}/${path}`;
    const reply = await this.#send(method, url, options);
    if (!expected.includes(reply.status)) {
      throw new Error(`${method} ${url}: ${reply.status} ${reply.bytes.toString().slice(0, 500)}`);
    }
    return reply;
  }

  async ping(): Promise<void> {
    await this.ask([200], "GET", "/v2/");
  }

  async head(bytes: Buffer, status = 200): Promise<void> {
    await this.ask([status, status === 200 ? 307 : status], "HEAD", `blobs/${sha256(bytes)}`);
  }

  /** Follows a redirect as a client does: then the store is asked by the client. */
  async pullBlob(digest: string): Promise<void> {
    const reply = await this.ask([200, 307], "GET", `blobs/${digest}`);
    if (reply.status === 307) await (await fetch(reply.header("location") ?? "")).arrayBuffer();
  }

  /** Starts a session; gives where it goes on. */
  async start(query = ""): Promise<string> {
    return locationOf(await this.ask([202], "POST", `blobs/uploads/${query}`));
  }

  async patch(location: string, bytes: Buffer, how: "whole" | "streamed" | { start: number } = "whole") {
    const range: Record<string, string> =
      typeof how === "string" ? {} : { "Content-Range": `${how.start}-${how.start + bytes.length - 1}` };
    const body = how === "streamed" ? bodyOf(bytes) : bytes;
    return locationOf(await this.ask([202], "PATCH", location, { headers: { ...OCTETS, ...range }, body }));
  }

  /** The last PUT, with all bytes of the blob, or with none where they were sent before. */
  async finish(location: string, bytes: Buffer, body: Buffer = Buffer.alloc(0)): Promise<void> {
    await this.ask([201], "PUT", withDigest(location, bytes), { headers: OCTETS, body });
  }

  /** POST, PUT. */
  async put(bytes: Buffer): Promise<void> {
    await this.finish(await this.start(), bytes, bytes);
  }

  /** One POST; where the registry does not take that, the PUT that it asks for then. */
  async post(bytes: Buffer): Promise<void> {
    const path = `blobs/uploads/?digest=${sha256(bytes)}`;
    const reply = await this.ask([201, 202], "POST", path, { headers: OCTETS, body: bytes });
    if (reply.status === 202) await this.finish(locationOf(reply), bytes, bytes);
  }

  async putManifest(reference: string, { bytes, mediaType }: TestManifest): Promise<Reply> {
    const headers = { "Content-Type": mediaType };
    return await this.ask([201], "PUT", `manifests/${reference}`, { headers, body: bytes });
  }

  async manifest(method: "GET" | "HEAD", reference: string, status = 200): Promise<void> {
    await this.ask([status], method, `manifests/${reference}`, { headers: ACCEPT });
  }

  /** Pushes an image under a tag. */
  async pushImage(image: TestImage, tag = "v1"): Promise<void> {
    for (const bytes of blobsOf(image)) await this.put(bytes);
    await this.putManifest(tag, image.manifest);
  }
}

export function locationOf(reply: Reply): string {
  const location = reply.header("location") ?? "";
  return location.startsWith("/") ? location : location.replace(/^[a-z]+:\/\/[^/]+/, "");
}

function withDigest(location: string, bytes: Buffer): string {
  return `${location}${location.includes("?") ? "&" : "?"}digest=${sha256(bytes)}`;
}

/** An image with fresh content: a configuration of 2 KB, and layers of these sizes in bytes. */
export function freshImage(sizes: readonly number[], more: object = {}): TestImage {
  const layers = sizes.map((size) => randomBytes(size));
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", note: randomBytes(1000).toString("hex") }),
  );
  return { layers, config, manifest: imageOf(layers, { config: descriptorOf(config, CONFIG_TYPE), ...more }) };
}

export const blobsOf = ({ layers, config }: TestImage): Buffer[] => [...layers, config];
