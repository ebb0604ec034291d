/** A client of the registry, and the server that it talks to: both may fail at any call. */
import type { Digest } from "../../../shared/oci/digest.ts";
import type { Tag } from "../../../shared/oci/reference.ts";
import { createTestApp, type Reply, type SendOptions } from "../../support/app.ts";
import { sha256 } from "../../support/bodies.ts";
import type { Image } from "./ledger.ts";
import type { Kind, Process } from "./schedule.ts";
import type { Stage } from "./stage.ts";

/** How often a client sends a request that was not answered, or with a failure of the server. */
const TRIES = 3;

export class Client {
  readonly name: string;
  readonly #stage: Stage;
  readonly #kind: Kind;
  #server: { readonly process: Process; readonly send: ReturnType<typeof createTestApp>["send"] } | undefined;

  constructor(stage: Stage, name: string, kind: Kind = "push") {
    this.#stage = stage;
    this.name = name;
    this.#kind = kind;
  }

  /** Was told that a blob is there. */
  async has(repository: string, blob: Digest): Promise<boolean> {
    return await this.#promised(repository, blob, async () => {
      const reply = await this.#request("HEAD", `/v2/${repository}/blobs/${blob}`);
      return reply?.status === 200;
    });
  }

  async mounts(from: string, to: string, blob: Digest): Promise<boolean> {
    return await this.#promised(to, blob, async () => {
      const reply = await this.#request("POST", `/v2/${to}/blobs/uploads/?mount=${blob}&from=${from}`);
      return reply?.status === 201;
    });
  }

  /** In one request, or as a session that is committed by a request of its own. */
  async uploads(repository: string, content: string, inSession = false): Promise<boolean> {
    const blob = sha256(content);
    return await this.#promised(repository, blob, async () => {
      if (!inSession) {
        const path = `/v2/${repository}/blobs/uploads/?digest=${blob}`;
        return (await this.#request("POST", path, { body: content }))?.status === 201;
      }
      const location = (await this.#request("POST", `/v2/${repository}/blobs/uploads/`))?.header("location");
      if (location === null || location === undefined) return false;
      const session = new URL(location, "http://registry.test").pathname;
      await this.rests();
      if ((await this.#request("PATCH", session, { body: content }))?.status !== 202) return false;
      await this.rests();
      return (await this.#request("PUT", `${session}?digest=${blob}`, { body: "" }))?.status === 201;
    });
  }

  /** Begins an upload and never ends it. */
  async leavesUpload(repository: string, content: string): Promise<void> {
    const location = (await this.#request("POST", `/v2/${repository}/blobs/uploads/`))?.header("location");
    await this.rests();
    if (location == null) return;
    await this.#request("PATCH", new URL(location, "http://registry.test").pathname, { body: content });
  }

  /** HEAD, and an upload where that says no. */
  async brings(repository: string, content: string): Promise<boolean> {
    return (await this.has(repository, sha256(content))) || (await this.uploads(repository, content));
  }

  /** Sends a manifest; true: it was taken. */
  async pushes(image: Image, tag?: string): Promise<boolean> {
    const { ledger } = this.#stage;
    const { repository, manifest } = image;
    for (let tries = 0; tries < TRIES; tries++) {
      const sent = ledger.sends(this.name, image);
      const reply = await this.#once("PUT", `/v2/${repository}/manifests/${tag ?? manifest.digest}`, {
        headers: { "Content-Type": manifest.mediaType },
        body: manifest.bytes,
      });
      if (reply?.status === 201) {
        ledger.acknowledge(this.name, image, tag as Tag | undefined, sent);
        return true;
      }
      if (reply?.code === "MANIFEST_BLOB_UNKNOWN") {
        ledger.refuse(this.name, image, sent);
        return false;
      }
      if (this.#givesUp()) return false;
    }
    return false;
  }

  async deletes(images: readonly Image[], path: string): Promise<void> {
    await this.#stage.ledger.deletes(images, async () => await this.#once("DELETE", path));
  }

  /** Does something else for a while. */
  async rests(): Promise<void> {
    const { process } = this.#running();
    await Promise.race([this.#stage.schedule.wait(process, this.#stage.rest()), process.died]);
  }

  /** Work of this client that no server does for it, as undo: what it gives, or undefined where its process died. */
  async works<T>(work: (process: Process) => Promise<T>): Promise<T | undefined> {
    const process = this.#stage.process(this.name, this.#kind);
    return await Promise.race([work(process).catch(() => undefined), process.died.then(() => undefined)]);
  }

  async #promised(repository: string, blob: Digest, ask: () => Promise<boolean>): Promise<boolean> {
    const { epoch } = this.#stage.ledger;
    const isThere = await ask();
    if (isThere) this.#stage.ledger.promise(this.name, repository, blob, epoch);
    return isThere;
  }

  /** Tries again where the server does not answer, or cannot. */
  async #request(method: string, path: string, options?: SendOptions): Promise<Reply | undefined> {
    for (let tries = 1; ; tries++) {
      const reply = await this.#once(method, path, options);
      const isFailure = reply === undefined || reply.status >= 500 || reply.status === 429;
      if (!isFailure || tries === TRIES || this.#givesUp()) return reply;
    }
  }

  #givesUp(): boolean {
    return this.#stage.random.chance(0.2);
  }

  async #once(method: string, path: string, options?: SendOptions): Promise<Reply | undefined> {
    const { process, send } = this.#running();
    const reply = await Promise.race([send(method, path, options), process.died.then(() => undefined)]);
    this.#stage.schedule.note(this.name, `${method} ${this.#stage.nameIn(path)} → ${reply?.status ?? "no answer"}`);
    return reply;
  }

  #running(): { process: Process; send: ReturnType<typeof createTestApp>["send"] } {
    if (this.#server?.process.isAlive !== true) {
      const process = this.#stage.process(this.name, this.#kind);
      const { send } = createTestApp(this.#stage.driverOf(process), { registry: this.#stage.registryOf(process) });
      this.#server = { process, send };
    }
    return this.#server;
  }
}
