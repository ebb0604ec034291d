/** What the command line asks for. */
import { parseArgs } from "node:util";

export interface Options {
  /** The Node that runs our server. */
  readonly node: string;
  /** Seconds that each measure of requests lasts. */
  readonly seconds: number;
  readonly rounds: number;
  /** How often each server is started to time its start. */
  readonly starts: number;
  /** The size of the large layer; 0 leaves the uploads out. */
  readonly layerMib: number;
  /** Write the report to docs/benchmarks.md as well. */
  readonly save: boolean;
}

export const USAGE = `usage: npm run bench -- [options]

Measures the built server beside its peers, and prints tables of medians and ratios.

  --quick          1 second for a row, 3 rounds, no large layers: to try the benchmark out
  --node PATH      the Node that runs our server (default: the one that runs this)
  --seconds N      seconds for a row of requests (2)
  --rounds N       rounds that medians are taken of (5)
  --layer-mb N     size of the large layer in MiB (500); 0 leaves the uploads out
  --save           write docs/benchmarks.md as well
`;

/**
 * Reads the command line.
 *
 * @returns nothing when it asks for help
 * @throws when an option is unknown or no number
 */
export function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      node: { type: "string", default: process.execPath },
      seconds: { type: "string" },
      rounds: { type: "string" },
      "layer-mb": { type: "string" },
      save: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const { quick } = values;
  return {
    node: values.node,
    seconds: wholeNumber("--seconds", values.seconds, quick ? 1 : 2, 1),
    rounds: wholeNumber("--rounds", values.rounds, quick ? 3 : 5, 1),
    starts: quick ? 3 : 9,
    layerMib: wholeNumber("--layer-mb", values["layer-mb"], quick ? 0 : 500, 0),
    save: values.save,
  };
}

function wholeNumber(name: string, text: string | undefined, otherwise: number, least: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new Error(`${name} must be a whole number from ${least}: ${text}`);
  return value;
}
