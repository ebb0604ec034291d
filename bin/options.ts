/** How commands read their arguments, and what is said of options and commands that there are not. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { nearest } from "../shared/config/keys.ts";
import type { Console } from "./console.ts";
import { sentencesOf } from "./storage.ts";

const SWITCH_VALUES: ReadonlyMap<string, boolean> = new Map([
  ...["true", "t", "1"].map((word) => [word, true] as const),
  ...["false", "f", "0"].map((word) => [word, false] as const),
]);

/**
 * What a command is asked for, as `read` finds it in its arguments; or the code that it ends with once all is said: 0 where
 * that is its help (`read` gives undefined), 2 where it was called wrongly (`read` throws with a sentence).
 */
export function requestOf<T extends object>(
  console: Console,
  command: string,
  usage: string,
  read: () => T | undefined,
): T | 0 | 2 {
  try {
    const request = read();
    if (request !== undefined) return request;
    console.out(usage.trimEnd());
    return 0;
  } catch (error) {
    for (const sentence of sentencesOf(error)) console.err(`${command}: ${sentence}`);
    console.err(`\n${usage.trimEnd()}`);
    return 2;
  }
}

/** What is said of a command that is none of those known: a sentence, which names the one that may have been meant. */
export function unknownCommand(written: string, known: readonly string[]): string {
  return `there is no command ${written}${meant(written, known)}`;
}

/**
 * What parseArgs gives; an option that is on or off can be given as distribution takes it too, `-m=true` or `--dry-run=false`.
 * Throws with a sentence, which names the option that may have been meant.
 */
export function parseOptions<const T extends ParseArgsConfig & { readonly args: string[] }>(
  written: T,
): ReturnType<typeof parseArgs<T>> {
  const config = { ...written, args: withoutSwitchValues(written.args, written.options ?? {}) };
  const known = Object.keys(config.options ?? {});
  const { tokens } = parseArgs({ args: config.args, options: config.options ?? {}, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option" || known.includes(token.name)) continue;
    const written = config.args[token.index] ?? token.rawName;
    throw new Error(`there is no option ${written.split("=", 1)[0] ?? ""}${meant(written, known)}`);
  }
  return parseArgs(config);
}

/** Arguments with `--name` instead of `--name=true` or `-n=true`, and without `--name=false` and what it takes back. */
function withoutSwitchValues(args: readonly string[], options: NonNullable<ParseArgsConfig["options"]>): string[] {
  const end = args.indexOf("--");
  let kept: string[] = [];
  for (const arg of end < 0 ? args : args.slice(0, end)) {
    const [, written = "", value = ""] = /^(--?[^=]+)=(.*)$/.exec(arg) ?? [];
    const found = Object.entries(options).find(([name, { short = "" }]) =>
      [`--${name}`, `-${short}`].includes(written),
    );
    if (found?.[1].type !== "boolean") {
      kept.push(arg);
      continue;
    }
    const [name, { short = "" }] = found;
    const isOn = SWITCH_VALUES.get(value.toLowerCase());
    if (isOn === undefined) throw new Error(`${written} is on or off: expected true or false, got "${value}"`);
    if (isOn) kept.push(`--${name}`);
    else kept = kept.filter((other) => other !== `--${name}` && other !== `-${short}`);
  }
  return end < 0 ? kept : [...kept, ...args.slice(end)];
}

/** `; did you mean …?` where a word that is none of those known is near to one, or the beginning of one; else nothing. */
function meant(written: string, known: readonly string[]): string {
  const dashes = written.startsWith("-") ? "--" : "";
  const word = written.replace(/^-+/, "").split("=", 1)[0] ?? "";
  const begun = word.length > 1 ? known.filter((name) => name.startsWith(word)) : [];
  const found = begun.length === 1 ? begun[0] : word.length > 1 ? nearest(word, known) : undefined;
  return found === undefined ? "" : `; did you mean ${dashes}${found}?`;
}
