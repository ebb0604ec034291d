/** Collectors in processes of their own, which are killed and begun anew. */
import { fileURLToPath } from "node:url";
import { startDaemon, type Daemon } from "../../support/process.ts";
import type { Summary } from "../../../shared/gc/summary.ts";
import type { SoakSettings } from "./settings.ts";

/** Starts one of the soak's programs; ready once it has printed `word`. */
export async function startProgram(name: string, settings: SoakSettings, word: string): Promise<Daemon> {
  const script = fileURLToPath(new URL(`./${name}`, import.meta.url));
  const argv = [process.execPath, "--import", "tsx", "--title=soak-of-lading", script, JSON.stringify(settings)];
  return await startDaemon(argv, { ready: ({ lines }) => lines.some((line) => line.startsWith(word)) });
}

/** What collectors did, in numbers. */
export interface Collected {
  runs: number;
  failed: number;
  kills: number;
  condemned: number;
  deleted: number;
  deletedManifests: number;
  lost: number;
  refused: number;
  uploads: number;
}

/** Two that collect all the time, each of which is killed now and then. */
export class Collectors {
  readonly #settings: SoakSettings;
  readonly #next: () => number;
  readonly #ended: Daemon[] = [];
  readonly #running: (Daemon | undefined)[] = [undefined, undefined];
  #kills = 0;

  constructor(settings: SoakSettings, next: () => number) {
    this.#settings = settings;
    this.#next = next;
  }

  async start(): Promise<void> {
    await Promise.all(this.#running.map(async (_, at) => await this.#start(at)));
  }

  /** Kills one of them, with no time to do anything, and begins another in its place. Throws where one had ended by itself. */
  async killOne(): Promise<void> {
    const at = this.#next() < 0.5 ? 0 : 1;
    await this.#stop(at);
    this.#kills++;
    await this.#start(at);
  }

  /** One of them, by a number from 0 to below 1; undefined while it is begun anew. */
  oneOf(chance: number): Daemon | undefined {
    return this.#running[chance < 0.5 ? 0 : 1];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map(async (_, at) => await this.#stop(at)));
  }

  get summaries(): Summary[] {
    return [...this.#ended, ...this.#running]
      .flatMap((daemon) => daemon?.lines ?? [])
      .filter((line) => line.startsWith("{"))
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as Summary];
        } catch {
          return []; // it was killed in the middle of it
        }
      });
  }

  get tally(): Collected {
    const { summaries } = this;
    const sum = (of: (summary: Summary) => number): number => summaries.reduce((all, each) => all + of(each), 0);
    return {
      runs: summaries.length,
      failed: sum(({ outcome }) => (outcome === "failed" ? 1 : 0)),
      kills: this.#kills,
      condemned: sum(({ condemned }) => condemned),
      deleted: sum(({ deleted }) => deleted),
      deletedManifests: sum(({ deletedManifests }) => deletedManifests),
      lost: sum(({ lost }) => lost),
      refused: sum(({ refused }) => refused),
      uploads: sum(({ uploads }) => uploads),
    };
  }

  async #start(at: number): Promise<void> {
    const seed = Math.floor(this.#next() * 2 ** 31);
    this.#running[at] = await startProgram("collecting.ts", { ...this.#settings, seed }, "collecting");
  }

  async #stop(at: number): Promise<void> {
    const daemon = this.#running[at];
    if (daemon === undefined) return;
    if (!daemon.running()) throw new Error(`a collector ended by itself:\n${daemon.lines.slice(-40).join("\n")}`);
    this.#running[at] = undefined;
    this.#ended.push(daemon);
    await daemon.stop("SIGKILL");
  }
}
