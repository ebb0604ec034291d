/** How commands read their arguments, and what is said of options and commands that there are not. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { nearest } from "../shared/config/keys.ts";
import type { Console } from "./console.ts";
import { sentencesOf } from "./storage.ts";

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

/** What parseArgs gives. Throws with a sentence, which names the option that may have been meant. */
export function parseOptions<const T extends ParseArgsConfig & { readonly args: string[] }>(
  config: T,
): ReturnType<typeof parseArgs<T>> {
  const known = Object.keys(config.options ?? {});
  const { tokens } = parseArgs({ args: config.args, options: config.options ?? {}, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option" || known.includes(token.name)) continue;
    const written = config.args[token.index] ?? token.rawName;
    throw new Error(`there is no option ${written.split("=", 1)[0] ?? ""}${meant(written, known)}`);
  }
  return parseArgs(config);
}

/** `; did you mean …?` where a word that is none of those known is near to one, or the beginning of one; else nothing. */
function meant(written: string, known: readonly string[]): string {
  const dashes = written.startsWith("-") ? "--" : "";
  const word = written.replace(/^-+/, "").split("=", 1)[0] ?? "";
  const begun = word.length > 1 ? known.filter((name) => name.startsWith(word)) : [];
  const found = begun.length === 1 ? begun[0] : word.length > 1 ? nearest(word, known) : undefined;
  return found === undefined ? "" : `; did you mean ${dashes}${found}?`;
}
