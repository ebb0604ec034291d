/** What the checks of one visit share: where they ask, as whom, and what they leave behind for the others and to tidy up. */
import { ask, type Call, type Payload, type Reply } from "./client.ts";

/** What a check has to say. `fail`: something will not work. `note`: it works, and there is something to know. */
export interface Finding {
  readonly level: "pass" | "note" | "fail";
  /** What was seen, in a sentence. */
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** One thing that is looked at; `name` is what docs/assumptions.md calls it by. */
export interface Check {
  readonly name: string;
  /** Rejects only where the connection fails. */
  readonly run: (visit: Visit) => Promise<readonly Finding[]>;
}

/** Where requests go: the registry's own address, or that of its uploads. */
export interface Address {
  readonly label: "registry" | "uploads";
  /** Scheme, host and port, and no slash at the end. */
  readonly url: string;
}

/** Which registry is visited, and how. */
export interface VisitOptions {
  readonly registry: string;
  /** Where uploads are sent. Absent: where the registry sends them. */
  readonly uploads?: string;
  readonly user?: { readonly name: string; readonly password: string };
  /** Everything that is pushed goes here, and is deleted at the end. */
  readonly repository: string;
  /** How many requests are sent at one moment. */
  readonly atOnce: number;
  /** Sizes of the bodies that are tried, in bytes. */
  readonly bodies: readonly number[];
}

/** User-Agents of a client that follows a Location to another host, of one that refuses to, and of nobody known. */
export const AGENTS = {
  follows: "docker/29.0.0 go/go1.25 os/linux arch/amd64 UpstreamClient(lading-doctor)",
  stays: "oras/1.3.3 lading-doctor",
  unknown: "lading-doctor",
} as const;

/** A visit to one registry. */
export class Visit {
  readonly options: VisitOptions;
  readonly registry: Address;
  /** Known once a session was begun; the registry itself where it sends nobody anywhere. */
  uploads: Address;
  /** How often anything was asked. */
  requests = 0;
  readonly #pushed = { manifests: new Set<string>(), blobs: new Set<string>(), sessions: new Set<string>() };

  constructor(options: VisitOptions) {
    this.options = options;
    this.registry = { label: "registry", url: options.registry };
    this.uploads = { label: "uploads", url: options.uploads ?? options.registry };
  }

  /** Both addresses, or the one where they are the same. */
  addresses(): readonly Address[] {
    return this.uploads.url === this.registry.url ? [this.registry] : [this.registry, this.uploads];
  }

  /** A request with the user's credentials to an address, with a path from `/v2/` on, or to a URL that it gave out. */
  async ask(method: string, { url }: Address, path: string, call: Call = {}): Promise<Reply> {
    const { user } = this.options;
    const authorization =
      user === undefined
        ? {}
        : { authorization: `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}` };
    return await this.askAnybody(method, `${url}${path}`, {
      ...call,
      headers: { "user-agent": AGENTS.unknown, ...authorization, ...call.headers },
    });
  }

  /** A request without credentials. */
  async askAnybody(method: string, url: string, call: Call = {}): Promise<Reply> {
    this.requests++;
    return await ask(method, url, { ...call, headers: { "user-agent": AGENTS.unknown, ...call.headers } });
  }

  /** The path of something in the repository. */
  path(rest: string): string {
    return `/v2/${this.options.repository}/${rest}`;
  }

  /** Begins a session; gives where it goes on, as an absolute URL, or the answer that was none. */
  async beginUpload(
    address: Address,
    agent: string,
  ): Promise<{ readonly location: string } | { readonly refused: Reply }> {
    const reply = await this.ask("POST", address, this.path("blobs/uploads/"), {
      headers: { "user-agent": agent, "content-length": "0" },
    });
    const location = reply.header("location");
    if (reply.status !== 202 || location === undefined) return { refused: reply };
    const url = new URL(location, `${address.url}/`).href;
    this.#pushed.sessions.add(url);
    return { location: url };
  }

  /** Ends a session with a body. `authorized`: with credentials, as to the registry's own host. */
  async endUpload(location: string, body: Payload, authorized: boolean, call: Call = {}): Promise<Reply> {
    const url = `${location}${location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(body.digest)}`;
    const headers = { "content-type": "application/octet-stream", ...call.headers };
    const { origin } = new URL(url);
    const reply = authorized
      ? await this.ask("PUT", { label: "uploads", url: origin }, url.slice(origin.length), { ...call, headers, body })
      : await this.askAnybody("PUT", url, { ...call, headers, body });
    if (reply.status === 201) {
      this.pushedBlob(body.digest);
      this.#pushed.sessions.delete(location);
    }
    return reply;
  }

  /** Remembers what is to be deleted. */
  pushedBlob(digest: string): void {
    this.#pushed.blobs.add(digest);
  }

  /** Remembers what is to be deleted. */
  pushedManifest(digest: string): void {
    this.#pushed.manifests.add(digest);
  }

  /** Deletes what was pushed; gives what could not be, and the status that was the answer. */
  async tidy(): Promise<readonly { readonly what: string; readonly status: number | string }[]> {
    const left: { what: string; status: number | string }[] = [];
    const remove = async (what: string, address: Address, path: string, gone: readonly number[]): Promise<void> => {
      const status = await this.ask("DELETE", address, path).then(
        (reply) => reply.status,
        (error: unknown) => String(error),
      );
      if (typeof status === "string" || !gone.includes(status)) left.push({ what, status });
    };
    for (const url of this.#pushed.sessions) {
      const { origin } = new URL(url);
      await remove(`the session ${url}`, { label: "uploads", url: origin }, url.slice(origin.length), [204, 404]);
    }
    const { manifests, blobs } = this.#pushed;
    for (const digest of manifests) {
      await remove(`the manifest ${digest}`, this.registry, this.path(`manifests/${digest}`), [202, 404]);
    }
    for (const digest of blobs) {
      await remove(`the blob ${digest}`, this.registry, this.path(`blobs/${digest}`), [202, 404]);
    }
    return left;
  }
}
