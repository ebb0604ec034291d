/** A client of the soak: pushes, deletes and reads by plain HTTP, and knows what it must be told. */
import { setTimeout as delay } from "node:timers/promises";
import { sha256, withQuery, type Api, type Reply } from "../../support/api.ts";
import { held, type Entry, type Ledger } from "./ledger.ts";
import { TIMES } from "./settings.ts";
import type { Artifact, Blob, Stock } from "./stock.ts";

/** What happened, in numbers. */
export interface Tally {
  pushes: number;
  /** Of what was acknowledged before and still there. */
  again: number;
  uploads: number;
  mounts: number;
  /** Blobs that a HEAD found, or a mount was told of. */
  promised: number;
  deletedManifests: number;
  deletedTags: number;
  deletedBlobs: number;
  abandoned: number;
  /** 429: what was pushed was being deleted. */
  waits: number;
  /** Pushes that took longer than the grace period, and lost a blob to it. */
  late: number;
  reads: number;
}

export function noTally(): Tally {
  return {
    ...{ pushes: 0, again: 0, uploads: 0, mounts: 0, promised: 0, deletedManifests: 0, deletedTags: 0 },
    ...{ deletedBlobs: 0, abandoned: 0, waits: 0, late: 0, reads: 0 },
  };
}

/** What all clients have in common. */
export interface Common {
  /** One for each server. */
  readonly apis: readonly Api[];
  readonly stock: Stock;
  readonly ledger: Ledger;
  readonly tally: Tally;
  /** Digests that a collection is after, the one that it takes next first. */
  readonly prey: () => readonly string[];
}

const REPOSITORIES = ["one", "two/of", "two/of-three"];
const TAGS = ["v1", "v2", "v3", "latest", "edge"];
/** More manifests than this are not kept, so that there is garbage. */
const KEPT = 25;
const OCTETS = "application/octet-stream";
/** How long a client waits that is told to come again. */
const AGAIN_MS = 500;
/** Far longer than any deletion takes, and than a collector that was killed keeps a mark. */
const TRIES = 120;

/** A promise that was broken: what the soak looks for. */
export class BrokenPromiseError extends Error {
  override readonly name = "BrokenPromiseError";
}

export class Client {
  readonly #common: Common;
  readonly #next: () => number;

  constructor(common: Common, next: () => number) {
    this.#common = common;
    this.#next = next;
  }

  /** Acts until `isOver`. Throws when a promise is broken, or a server fails. */
  async act(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const done = await this.#once();
      if (!done) await delay(5); // others hold what was wanted
    }
  }

  /** Reads a manifest and all that it needs: its blobs, children, tags, and its place among the referrers of its subject. */
  async read({ repository, artifact }: Entry): Promise<boolean> {
    const { ledger } = this.#common;
    const tags = ledger.tagsOf(repository, artifact.digest);
    const shared = [
      held.manifest(repository, artifact.digest),
      ...tags.map((tag) => held.tag(repository, tag)),
      ...artifact.blobs.map(({ digest }) => held.blob(repository, digest)),
    ];
    return await ledger.holding(shared, [], async () => {
      if (!ledger.isRequired(repository, artifact.digest)) return;
      this.#common.tally.reads++;
      await this.#readHeld(repository, artifact);
      for (const child of artifact.children) await this.#readHeld(repository, child);
      for (const tag of tags) {
        const { status, body } = await this.#call("GET", `/v2/${repository}/manifests/${tag}`);
        this.#demand(status === 200 && sha256(body) === artifact.digest, `${repository}:${tag} is ${status}`);
      }
      if (artifact.subject === undefined) return;
      const { status, body } = await this.#call("GET", `/v2/${repository}/referrers/${artifact.subject}`);
      const listed = status === 200 && body.toString().includes(artifact.digest);
      this.#demand(listed, `${repository}@${artifact.digest} is no referrer of its subject: ${status}`);
    });
  }

  async #readHeld(repository: string, { digest, blobs }: Artifact): Promise<void> {
    const name = `${repository}@${digest}`;
    const { status, body } = await this.#call("GET", `/v2/${repository}/manifests/${digest}`);
    this.#demand(status === 200 && sha256(body) === digest, `${name} is ${status}`);
    for (const blob of blobs) {
      const reply = await this.#call("GET", `/v2/${repository}/blobs/${blob.digest}`);
      const whole = reply.status === 200 && sha256(reply.body) === blob.digest;
      this.#demand(whole, `${name}: its blob ${blob.digest} is ${reply.status}`);
    }
  }

  async #once(): Promise<boolean> {
    const { ledger, tally } = this.#common;
    const { entries } = ledger;
    const repository = this.#pick(REPOSITORIES);
    const chance = this.#next();
    const some = entries.length === 0 ? undefined : this.#pick(entries);
    if (some !== undefined && chance < 0.2) return await this.read(some);
    if (some !== undefined && chance < 0.3) return await this.#tagAgain(some);
    if (some !== undefined && (entries.length > KEPT || chance < 0.4)) return await this.#deleteManifest(some);
    if (chance < 0.44) return await this.#deleteTag();
    if (chance < 0.5) return await this.#deleteBlob(repository);
    if (chance < 0.52) {
      const location = await this.#api.startUpload(repository);
      const body = this.#pick(this.#common.stock.blobs).bytes;
      await this.#api.expect(202, "PATCH", location, { headers: headersOf(body), body });
      tally.abandoned++;
      return true;
    }
    if (chance < 0.6) return await this.#pushLoneBlob(repository);
    const tag = this.#next() < 0.6 ? this.#pick(TAGS) : undefined;
    return await this.#push(repository, this.#wanted(), tag);
  }

  /** Mostly what a collection is about to take. */
  #wanted(): Artifact {
    const { artifacts } = this.#common.stock;
    const hunted = this.#next() < 0.7 ? this.#hunted() : undefined;
    const users = artifacts.filter(({ digest, blobs }) => {
      return hunted !== undefined && [digest, ...blobs.map((blob) => blob.digest)].includes(hunted);
    });
    return this.#pick(users.length > 0 ? users : artifacts);
  }

  #hunted(): string | undefined {
    const prey = this.#common.prey().slice(0, 12);
    return prey.length === 0 ? undefined : this.#pick(prey);
  }

  async #push(repository: string, artifact: Artifact, tag: string | undefined): Promise<boolean> {
    const { ledger } = this.#common;
    const all = [artifact, ...artifact.children];
    const shared = [
      ...all.map(({ digest }) => held.manifest(repository, digest)),
      ...all.flatMap(({ blobs }) => blobs.map(({ digest }) => held.blob(repository, digest))),
    ];
    return await ledger.holding(shared, tag === undefined ? [] : [held.tag(repository, tag)], async () => {
      await this.#pushHeld(repository, artifact, tag);
    });
  }

  async #pushHeld(repository: string, artifact: Artifact, tag: string | undefined): Promise<void> {
    const { ledger, tally } = this.#common;
    for (let tries = 0; tries < TRIES; tries++) {
      const begun = performance.now();
      for (const child of artifact.children) {
        if (!ledger.isRequired(repository, child.digest)) await this.#pushHeld(repository, child, undefined);
      }
      for (const blob of artifact.blobs) await this.#bring(repository, blob);
      const elapsed = performance.now() - begun;
      const reply = await this.#put(repository, artifact, tag);
      if (reply.status === 201) {
        tally.pushes++;
        ledger.pushed(repository, artifact, tag);
        return;
      }
      const what = `${repository}@${artifact.digest} after ${Math.round(elapsed)} ms`;
      this.#demand(
        reply.status === 404 && elapsed > TIMES.graceMs,
        `PUT ${what}: ${reply.status} ${reply.body.toString()}`,
      );
      tally.late++;
    }
    throw new BrokenPromiseError(`${repository}@${artifact.digest} could not be pushed in ${TRIES} tries`);
  }

  /** What is there can be pushed again at any time, without its blobs. */
  async #tagAgain({ repository, artifact }: Entry): Promise<boolean> {
    const { ledger, tally } = this.#common;
    const tag = this.#pick(TAGS);
    const shared = [
      ...[artifact, ...artifact.children].map(({ digest }) => held.manifest(repository, digest)),
      ...artifact.blobs.map(({ digest }) => held.blob(repository, digest)),
    ];
    return await ledger.holding(shared, [held.tag(repository, tag)], async () => {
      if (!ledger.isRequired(repository, artifact.digest)) return;
      const reply = await this.#put(repository, artifact, tag);
      this.#demand(
        reply.status === 201,
        `${repository}@${artifact.digest} again: ${reply.status} ${reply.body.toString()}`,
      );
      tally.again++;
      ledger.pushed(repository, artifact, tag);
    });
  }

  async #put(repository: string, { digest, bytes, type }: Artifact, tag: string | undefined): Promise<Reply> {
    const headers = { "Content-Type": type, "Content-Length": String(bytes.byteLength) };
    return await this.#call("PUT", `/v2/${repository}/manifests/${tag ?? digest}`, { headers, body: bytes });
  }

  /** A blob that nothing refers to, or is about to. */
  async #pushLoneBlob(repository: string): Promise<boolean> {
    const blob = this.#pick(this.#common.stock.blobs);
    return await this.#common.ledger.holding([held.blob(repository, blob.digest)], [], async () => {
      await this.#bring(repository, blob);
    });
  }

  /** Asks whether a blob is there, mounts it or uploads it, until one of it is so. */
  async #bring(repository: string, blob: Blob): Promise<void> {
    const { tally } = this.#common;
    const way = this.#next();
    if (way < 0.5) {
      const { status } = await this.#call("HEAD", `/v2/${repository}/blobs/${blob.digest}`);
      this.#demand(status === 200 || status === 404, `HEAD ${blob.digest}: ${status}`);
      if (status === 200) {
        tally.promised++;
        return;
      }
    }
    let query = "";
    if (way > 0.3 && way < 0.8) query = `?mount=${blob.digest}&from=${this.#pick(REPOSITORIES)}`;
    else if (way > 0.95) query = `?digest=${blob.digest}`;
    const begin = `/v2/${repository}/blobs/uploads/${query}`;
    const isWhole = query.startsWith("?digest");
    const options = isWhole ? { headers: headersOf(blob.bytes), body: blob.bytes } : {};
    const begun = await this.#call("POST", begin, options);
    this.#demand(begun.status === 201 || (begun.status === 202 && !isWhole), `POST ${begin}: ${begun.status}`);
    if (begun.status === 201) {
      if (isWhole) tally.uploads++;
      else tally.mounts++;
      return;
    }
    const inChunks = this.#next() < 0.3;
    let location = begun.headers.location ?? "";
    if (inChunks) {
      const sent = await this.#call("PATCH", location, { headers: headersOf(blob.bytes), body: blob.bytes });
      this.#demand(sent.status === 202, `PATCH ${location}: ${sent.status} ${sent.body.toString()}`);
      location = sent.headers.location ?? "";
    }
    const body = inChunks ? Buffer.alloc(0) : blob.bytes;
    const ended = await this.#call("PUT", withQuery(location, "digest", blob.digest), {
      headers: headersOf(body),
      body,
    });
    this.#demand(ended.status === 201, `PUT ${location}: ${ended.status} ${ended.body.toString()}`);
    tally.uploads++;
  }

  async #deleteManifest({ repository, artifact: { digest } }: Entry): Promise<boolean> {
    const { ledger, tally } = this.#common;
    if (ledger.isNeededBy(repository, digest)) return false;
    const tags = ledger.tagsOf(repository, digest);
    const own = [held.manifest(repository, digest), ...tags.map((tag) => held.tag(repository, tag))];
    return await ledger.holding([], own, async () => {
      const isRequired = ledger.isRequired(repository, digest);
      const { status } = await this.#call("DELETE", `/v2/${repository}/manifests/${digest}`);
      this.#demand(status === 202 || (status === 404 && !isRequired), `DELETE ${repository}@${digest}: ${status}`);
      ledger.deleted(repository, digest);
      tally.deletedManifests++;
    });
  }

  async #deleteTag(): Promise<boolean> {
    const { ledger, tally } = this.#common;
    if (ledger.tags.length === 0) return false;
    const { repository, tag } = this.#pick(ledger.tags);
    return await ledger.holding([], [held.tag(repository, tag)], async () => {
      const { status } = await this.#call("DELETE", `/v2/${repository}/manifests/${tag}`);
      this.#demand(status === 202, `DELETE ${repository}:${tag}: ${status}`);
      ledger.untagged(repository, tag);
      tally.deletedTags++;
    });
  }

  async #deleteBlob(repository: string): Promise<boolean> {
    const { ledger, tally, stock } = this.#common;
    const { digest } = this.#pick(stock.blobs);
    if (ledger.isNeededBy(repository, digest)) return false;
    return await ledger.holding([], [held.blob(repository, digest)], async () => {
      const { status } = await this.#call("DELETE", `/v2/${repository}/blobs/${digest}`);
      this.#demand(status === 202 || status === 404, `DELETE blob ${repository}@${digest}: ${status}`);
      if (status === 202) tally.deletedBlobs++;
    });
  }

  /** A request; what is being deleted just now is asked for again. */
  async #call(...[method, path, options]: Parameters<Api["call"]>): Promise<Reply> {
    for (let tries = 0; tries < TRIES; tries++) {
      const reply = await this.#api.call(method, path, options);
      if (reply.status !== 429) return reply;
      this.#demand(reply.headers["retry-after"] !== undefined, `${method} ${path}: 429 without Retry-After`);
      this.#common.tally.waits++;
      await delay(AGAIN_MS);
    }
    throw new BrokenPromiseError(`${method} ${path}: 429 in ${TRIES} tries`);
  }

  get #api(): Api {
    return this.#pick(this.#common.apis);
  }

  #demand(holds: boolean, otherwise: string): void {
    if (!holds) throw new BrokenPromiseError(otherwise);
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#next() * from.length)] as T;
  }
}

function headersOf(body: Uint8Array): Record<string, string> {
  return { "Content-Type": OCTETS, "Content-Length": String(body.byteLength) };
}
