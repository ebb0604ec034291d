/** Options of a command, and what is said of those that there are not. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { nearest } from "../shared/config/keys.ts";

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
export function meant(written: string, known: readonly string[]): string {
  const dashes = written.startsWith("-") ? "--" : "";
  const word = written.replace(/^-+/, "").split("=", 1)[0] ?? "";
  const begun = word.length > 1 ? known.filter((name) => name.startsWith(word)) : [];
  const found = begun.length === 1 ? begun[0] : word.length > 1 ? nearest(word, known) : undefined;
  return found === undefined ? "" : `; did you mean ${dashes}${found}?`;
}
