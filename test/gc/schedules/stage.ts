/** Where a schedule is played: a store with something old in it, clients, collectors, and what must hold. */
import { Collector, type CollectorOptions } from "../../../shared/gc/collector.ts";
import { retentionByRules } from "../../../shared/gc/retention-rules.ts";
import { deleteUntagged, keepAll, type Retention } from "../../../shared/gc/retention.ts";
import type { Summary } from "../../../shared/gc/summary.ts";
import type { Digest } from "../../../shared/oci/digest.ts";
import type { GcTimes } from "../../../shared/registry/gc-times.ts";
import { layout } from "../../../shared/registry/layout.ts";
import { writeLink } from "../../../shared/registry/link.ts";
import type { RegistryParts } from "../../../shared/registry/registry.ts";
import type { StorageDriver } from "../../../shared/storage/driver.ts";
import type { Tag } from "../../../shared/oci/reference.ts";
import { createTestApp } from "../../support/app.ts";
import { sha256 } from "../../support/bodies.ts";
import { CONFIG_TYPE, descriptorOf, imageOf, indexOf } from "../../support/manifests.ts";
import { DEFAULTS, nameOf, TIMES } from "../support.ts";
import type { Focus } from "./choose.ts";
import { Client } from "./client.ts";
import { Ledger, type Image, type Takes } from "./ledger.ts";
import { Random } from "./random.ts";
import { Process, Schedule, Violation, type Kind } from "./schedule.ts";
import { driverTo, Store, type Backend } from "./store.ts";

const SECOND = 1000;
const DAY = 24 * 60 * 60 * SECOND;
const UPLOAD_AGE_MS = 2 * DAY;

/** The protocol with one of its rules broken. */
export interface Mutation {
  /** As the registry has it. */
  readonly pushTimes?: Partial<GcTimes>;
  /** As the collector has it. */
  readonly runTimes?: Partial<GcTimes>;
  /** How long the store carries out deletes. */
  readonly permitMs?: number;
  /** What comes between a process and the store. */
  readonly push?: (driver: StorageDriver, stage: Stage) => StorageDriver;
  readonly run?: (driver: StorageDriver, stage: Stage) => StorageDriver;
}

export interface StageSettings {
  readonly backend: Backend;
  readonly takes: Takes;
  readonly mutation: Mutation;
  readonly focus?: Focus;
}

export class Stage {
  readonly random: Random;
  readonly store: Store;
  readonly schedule: Schedule;
  readonly ledger: Ledger;
  readonly collected = { runs: 0, failed: 0, condemned: 0, deleted: 0, refused: 0, lost: 0 };
  readonly #takes: Takes;
  readonly #mutation: Mutation;
  readonly #focus: Focus;
  /** Does the clock of processes go on with the store's, or stand still? Nothing safe may rest on it. */
  readonly #clockStands: boolean;
  readonly #began: number;
  /** Does nobody wait for long? */
  readonly #hurries: boolean;

  constructor(seed: number, { backend, takes, mutation, focus = {} }: StageSettings) {
    this.#focus = focus;
    this.random = new Random(seed);
    this.store = new Store(backend, mutation.permitMs ?? TIMES.permitMs);
    this.schedule = new Schedule(this.store);
    this.ledger = new Ledger(this.store, TIMES, takes);
    this.#takes = takes;
    this.#mutation = mutation;
    this.#hurries = this.random.chance(0.4);
    this.#clockStands = focus.clockStands ?? this.random.chance(0.3);
    this.#began = this.store.time;
    this.schedule.onEffect = (process, call) => {
      if (!/^(?:head|look|read|get|list|wait)$/.test(call.operation)) this.ledger.after(process, call);
    };
  }

  client(name: string, kind?: Kind): Client {
    return new Client(this, name, kind);
  }

  process(actor: string, kind: Kind): Process {
    return new Process(actor, kind);
  }

  driverOf(process: Process): StorageDriver {
    const driver = driverTo(this.store, this.schedule.gateOf(process));
    const mutate =
      process.kind === "run" ? this.#mutation.run : process.kind !== "user" ? this.#mutation.push : undefined;
    return mutate?.(driver, this) ?? driver;
  }

  /** The store without a gate. */
  get driver(): StorageDriver {
    return driverTo(this.store, async (_, effect) => effect());
  }

  get pushTimes(): GcTimes {
    return { ...TIMES, ...this.#mutation.pushTimes };
  }

  registryOf(process: Process): Partial<RegistryParts> {
    return {
      times: this.pushTimes,
      now: () => new Date(this.#clockStands ? this.#began : this.store.time),
      pause: async (ms) => await this.schedule.wait(process, ms),
      tagsExpire: this.#takes === "tags",
    };
  }

  collectorOf(driver: StorageDriver, more: Partial<CollectorOptions> = {}): Collector {
    let ticks = 0;
    return new Collector(driver, {
      ...DEFAULTS,
      times: { ...TIMES, ...this.#mutation.runTimes },
      retention: RETENTIONS[this.#takes],
      uploadAgeMs: UPLOAD_AGE_MS,
      leaseMs: 0, // nothing safe rests on it
      elapsed: () => (ticks += 1),
      ...more,
    });
  }

  /** For how long a client does something else: often about as long as one of the times of the protocol. */
  rest(): number {
    if (this.#focus.rests !== undefined) return this.random.of(this.#focus.rests);
    const { promiseMs, takeoverMs, settleMs, freshMs, graceMs, horizonMs } = TIMES;
    const short = [0, 0, SECOND, promiseMs / 2, promiseMs + SECOND];
    if (this.#hurries) return this.random.of(short);
    const middle = [takeoverMs + SECOND, settleMs, settleMs + SECOND, 3 * settleMs];
    const long = [freshMs + SECOND, graceMs - 3 * settleMs, graceMs - promiseMs, graceMs, horizonMs + 2 * SECOND];
    return this.random.of(this.random.of([short, middle, long]));
  }

  /** For how long a collector does nothing: mostly as long as it takes until it may delete something. */
  #pause(): number {
    if (this.#focus.pauses !== undefined) return this.random.of(this.#focus.pauses);
    const { permitMs, takeoverMs, settleMs, horizonMs } = TIMES;
    const short = [0, 0, SECOND, SECOND, permitMs + SECOND];
    if (this.#hurries) return this.random.of(short);
    const middle = [takeoverMs + SECOND, settleMs + SECOND, settleMs + SECOND, settleMs + SECOND];
    return this.random.of(this.random.of([short, middle, middle, [horizonMs + 2 * SECOND]]));
  }

  /** Runs of a collector, each by a process of its own, at once or in parts; a fault or death ends one. */
  async collects(name: string, runs: number): Promise<void> {
    for (let run = 0; run < runs; run++) {
      const process = this.process(name, "run");
      const collector = this.collectorOf(this.driverOf(process));
      if (run > 0 || (this.#focus.pauses === undefined && this.random.chance(0.5)))
        await this.#alive(process, this.schedule.wait(process, this.#pause()));
      const ms = this.random.chance(0.7) ? Infinity : 1 + this.random.upTo(30);
      for (let part = 0; part < 20 && process.isAlive; part++) {
        if (await this.#steps(process, collector, ms)) break;
        if (this.random.chance(0.3)) await this.#alive(process, this.schedule.wait(process, this.#pause()));
      }
    }
  }

  /** One run, at once. */
  async collectsOnce(name: string): Promise<void> {
    const process = this.process(name, "run");
    await this.#steps(process, this.collectorOf(this.driverOf(process)), Infinity);
  }

  /** True: the run is at its end. */
  async #steps(process: Process, collector: Collector, ms: number): Promise<boolean> {
    const { length } = process.failed;
    const outcome = await this.#alive(
      process,
      collector.step({ ms }).catch((error: unknown) => error as Error),
    );
    if (outcome === undefined) return true;
    const faults = process.failed.slice(length).map(({ step }) => step);
    const hasFailed = outcome instanceof Error || (outcome.state === "done" && outcome.summary.outcome === "failed");
    if (!hasFailed && faults.some((step) => MARKING.has(step ?? ""))) {
      throw new Violation(`4: a run goes on after a fault in: ${faults.join(", ")}`);
    }
    const text =
      outcome instanceof Error ? outcome.message : outcome.state === "done" ? textOf(outcome.summary) : outcome.state;
    this.schedule.note(process.actor, text);
    if (!(outcome instanceof Error) && outcome.state === "done") this.#count(outcome.summary);
    return hasFailed || (!(outcome instanceof Error) && outcome.state !== "more");
  }

  async #alive<T>(process: Process, work: Promise<T>): Promise<T | undefined> {
    return await Promise.race([work, process.died.then(() => undefined)]);
  }

  #count({ outcome, condemned, deleted, deletedManifests, deletedTags, refused, lost }: Summary): void {
    const { collected } = this;
    collected.runs++;
    if (outcome === "failed") collected.failed++;
    collected.condemned += condemned;
    collected.deleted += deleted + deletedManifests + deletedTags;
    collected.refused += refused;
    collected.lost += lost;
  }

  /** A run that nobody disturbs, between two calls of all others. */
  async night(ms: number): Promise<void> {
    const summary = await this.collectorOf(this.driver).run();
    this.#count(summary);
    this.schedule.note("night", textOf(summary));
    this.ledger.check();
    this.store.time += ms;
    if (summary.outcome === "failed" && !this.ledger.isBroken && !/another registry/.test(summary.reason ?? "")) {
      throw new Violation(`a run that nobody disturbs fails: ${summary.reason}`);
    }
  }

  /** 3: nobody does anything any more, and what nothing refers to goes; what is relied on can be read. */
  async rests(): Promise<void> {
    const night = TIMES.horizonMs + DAY;
    this.store.time += night;
    // The first may only end what was left half done.
    const nights = 1 + { blobs: 2, untagged: 4, tags: 6 }[this.#takes];
    for (let i = 0; i < nights; i++) await this.night(night);
    if (!this.ledger.isBroken) {
      const [left] = this.ledger.garbage();
      if (left !== undefined) throw new Violation(`3: garbage is left: ${this.nameIn(left)}`);
      for (let i = 0; i < 2; i++) await this.night(night);
      const mark = [...this.store.objects.keys()].find((key) => key.includes("/_gc/marks/"));
      if (mark !== undefined) throw new Violation(`3: a mark stays for ever: ${this.nameIn(mark)}`);
    } else this.ledger.counts.broken++;
    const { send } = createTestApp(this.driver);
    for (const { name, repository, manifest, blobs } of this.ledger.reliedOn) {
      const reply = await send("GET", `/v2/${repository}/manifests/${manifest.digest}`);
      if (sha256(reply.bytes) !== manifest.digest) throw new Violation(`1: ${name} cannot be pulled: ${reply.status}`);
      for (const blob of blobs) {
        const { status, bytes } = await send("GET", `/v2/${repository}/blobs/${blob}`);
        if (sha256(bytes) !== blob) throw new Violation(`1: a blob of ${name} cannot be pulled: ${status}`);
      }
    }
  }

  nameIn(path: string): string {
    return this.schedule.named(path);
  }

  /** Some bytes. */
  content(name: string): string {
    const content = `{"content":"${name}"}`;
    this.schedule.name(sha256(content), name);
    return content;
  }

  /** An image whose only blobs are these: the first is its configuration. */
  image(name: string, repository: string, contents: readonly string[], subject?: Image): Image {
    const [config = "{}", ...layers] = contents;
    const manifest = imageOf(layers, {
      config: descriptorOf(config, CONFIG_TYPE),
      annotations: { name },
      ...(subject === undefined ? {} : { subject: subject.manifest.descriptor }),
    });
    return this.#named({ name, manifest, blobs: contents.map((it) => sha256(it)), children: [], subject }, repository);
  }

  index(name: string, repository: string, children: readonly Image[]): Image {
    const manifest = indexOf(children.map((child) => child.manifest));
    return this.#named({ name, manifest, blobs: [], children, subject: undefined }, repository);
  }

  #named(image: Omit<Image, "repository">, repository: string): Image {
    this.schedule.name(image.manifest.digest, image.name);
    return { ...image, repository: nameOf(repository) };
  }

  /** What was there before: bytes and link. */
  async holds(repository: string, ...contents: readonly string[]): Promise<void> {
    for (const content of contents) {
      const digest: Digest = sha256(content);
      await this.driver.put(layout.blob(digest), Buffer.from(content));
      await writeLink(this.driver, layout.layerLink(nameOf(repository), digest), digest);
    }
  }

  /** What a push leaves that came too late, and died: a link, and no bytes. */
  async holdsLink(repository: string, content: string): Promise<void> {
    const digest: Digest = sha256(content);
    await writeLink(this.driver, layout.layerLink(nameOf(repository), digest), digest);
  }

  /** What was pushed before, its blobs aside. */
  async holdsImage({ repository, manifest: { digest, bytes }, subject }: Image, tag?: string): Promise<void> {
    await this.driver.put(layout.blob(digest), bytes);
    await writeLink(this.driver, layout.revisionLink(repository, digest), digest);
    if (subject !== undefined) {
      await writeLink(this.driver, layout.referrerLink(repository, subject.manifest.digest, digest), digest);
    }
    if (tag === undefined) return;
    await writeLink(this.driver, layout.tagLink(repository, tag as Tag), digest);
    await writeLink(this.driver, layout.tagHistoryLink(repository, tag as Tag, digest), digest);
  }
}

/** Steps of a run in which it finds out what may go. */
const MARKING: ReadonlySet<string> = new Set([
  "list marks",
  "list blobs",
  "list repositories",
  "read manifests",
  "read tags",
]);

const RETENTIONS: Readonly<Record<Takes, Retention>> = {
  blobs: keepAll,
  untagged: deleteUntagged,
  tags: retentionByRules([
    { repositories: ["**"], tags: ["*"], except: [], keep: { last: 1 }, expireUntaggedMs: SECOND },
  ]),
};

function textOf({
  outcome,
  reason,
  condemned,
  deleted,
  deletedManifests,
  deletedTags,
  lost,
  refused,
}: Summary): string {
  if (outcome === "failed") return `run failed: ${reason}`;
  return (
    `run done: ${condemned} condemned, ${deleted} blobs, ${deletedManifests} manifests, ${deletedTags} tags deleted, ` +
    `${lost} lost, ${refused} refused`
  );
}
