/**
 * Who goes next, as a script says, line by line:
 *
 *     pass SETTLE + 1 s                   nothing happens for so long
 *     pusher: read mark of b              the pusher goes on until it has done this, and stands still
 *     pusher: rests                       goes on until it does nothing for a while
 *     run 1: ends                         goes on until it is at its end
 *     run 2: delete links — late          what becomes of the call: a verdict of schedule.ts
 *     run 2: deleting — slow D + 1 s      ... and for how long, where that is a slow answer
 *     run 2, late 1: delete links         a request that nobody waits for any more
 *
 * Steps and times have the names of docs/garbage-collection.md. Each call takes 10 ms.
 */
import { TIMES } from "../support.ts";
import type { Choice, Choose, Verdict, Waiting } from "./schedule.ts";

/** What a line says. */
type Line =
  | { readonly text: string; readonly passMs: number }
  | {
      readonly text: string;
      readonly actor: string;
      /** Undefined: until it ends. */
      readonly step: string | undefined;
      /** The name of what the step is about, where that is said. */
      readonly of: string | undefined;
      readonly verdict: Verdict;
      readonly slowMs: number;
    };

const CALL_MS = 10;
const UNITS_MS: Readonly<Record<string, number>> = {
  GRACE: TIMES.graceMs,
  FRESH: TIMES.freshMs,
  T: TIMES.promiseMs,
  E: TIMES.permitMs,
  SETTLE: TIMES.settleMs,
  D: TIMES.takeoverMs,
  HORIZON: TIMES.horizonMs,
  s: 1000,
  h: 3_600_000,
};
const VERDICTS: readonly string[] = [
  "before",
  "after",
  "killed before",
  "killed after",
  "late",
  "slow",
] satisfies Verdict[];

/** A script that is being followed. */
export class Script {
  readonly #lines: readonly Line[];
  /** From this line on, one that never comes is passed over. */
  readonly #optionalFrom: number;
  readonly #nameOf: (key: string) => string;
  #at = 0;

  /** All lines must come, but for those from the number `optionalFrom` on. `nameOf` gives keys with names in them. */
  constructor(lines: readonly string[], optionalFrom: number, nameOf: (key: string) => string) {
    this.#lines = lines.map(lineOf);
    this.#optionalFrom = optionalFrom;
    this.#nameOf = nameOf;
  }

  /** A line that must come, and has not. */
  get missed(): string | undefined {
    return this.#lines.slice(this.#at, this.#optionalFrom).find((line) => "step" in line && line.step !== undefined)
      ?.text;
  }

  /** After the last line all go on in the order of their asking. Throws where a line never comes. */
  readonly choose: Choose = (waiting) => {
    let passMs = CALL_MS;
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[++this.#at]) {
      if ("passMs" in line) {
        passMs += line.passMs;
        continue;
      }
      const { actor, step, of, verdict, slowMs } = line;
      const own = waiting.filter(({ process }) => process.actor === actor);
      const due = own.find((one) => isStep(one, step) && (of === undefined || this.#isAbout(one, of)));
      if (due !== undefined) {
        this.#at++;
        return { waiting: due, verdict, passMs, slowMs };
      }
      const [first] = own;
      if (first !== undefined) return passed(first, passMs);
      if (step !== undefined && this.#at < this.#optionalFrom) throw new Error(`this never comes: ${line.text}`);
    }
    const first = waiting.find(({ isLate }) => !isLate) ?? waiting[0];
    if (first === undefined) throw new Error("nobody waits");
    return passed(first, passMs);
  };

  #isAbout({ call }: Waiting, name: string): boolean {
    return this.#nameOf(call.key).split("/").includes(name);
  }
}

/** Whoever acts in a script, in the order of their first lines. */
export function actorsOf(lines: readonly string[]): string[] {
  const actors = lines.map(lineOf).flatMap((line) => ("actor" in line ? [line.actor.replace(/, late \d+$/, "")] : []));
  return [...new Set(actors)];
}

function isStep({ step, call }: Waiting, wanted: string | undefined): boolean {
  return wanted === "rests" ? call.operation === "wait" : step === wanted;
}

function passed(waiting: Waiting, passMs: number): Choice {
  return { waiting, verdict: "pass", passMs };
}

function lineOf(text: string): Line {
  const pass = /^pass (.+)$/.exec(text)?.[1];
  if (pass !== undefined) return { text, passMs: msOf(pass) };
  const match =
    /^(?<actor>[^:]+): (?<step>.+?)(?: of (?<of>\w+))?(?: — (?<verdict>[a-z ]+?)(?: (?<slow>[A-Z\d].*))?)?$/.exec(text);
  const { actor, step, of, verdict = "pass", slow } = match?.groups ?? {};
  if (actor === undefined || step === undefined) throw new Error(`not a line of a script: ${text}`);
  if (verdict !== "pass" && !VERDICTS.includes(verdict)) throw new Error(`no verdict: ${text}`);
  return {
    ...{ text, actor, of, verdict: verdict as Verdict },
    step: step === "ends" ? undefined : step,
    slowMs: slow === undefined ? 0 : msOf(slow),
  };
}

/** `SETTLE + 1 s`, `13 h`. */
function msOf(text: string): number {
  const terms = text.split(" + ").map((term) => {
    const { count = "1", unit = "" } = /^(?:(?<count>\d+) )?(?<unit>\w+)$/.exec(term)?.groups ?? {};
    return Number(count) * (UNITS_MS[unit] ?? NaN);
  });
  const sum = terms.reduce((total, ms) => total + ms, 0);
  if (Number.isNaN(sum)) throw new Error(`no time: ${text}`);
  return sum;
}
