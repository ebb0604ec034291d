/** A console that keeps what is printed. */
import type { Console } from "../../bin/console.ts";

export interface KeptConsole extends Console {
  readonly lines: string[];
  readonly errors: string[];
  readonly bars: string[];
}

/** `answers` to what is asked, one after the other; with none left nobody is there to answer. */
export function keptConsole(answers: string[] = []): KeptConsole {
  const kept = { lines: [] as string[], errors: [] as string[], bars: [] as string[] };
  return {
    ...kept,
    out: (line) => kept.lines.push(line),
    err: (line) => kept.errors.push(line),
    progress: (text) => kept.bars.push(text),
    endProgress: () => undefined,
    ask: async () => answers.shift(),
  };
}
