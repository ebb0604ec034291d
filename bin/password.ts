/** Asking for a password. */
import { createInterface } from "node:readline";
import { Writable, type Readable } from "node:stream";
import { UsersError } from "../shared/users/users.ts";

/** Where a person sits. */
export interface Terminal {
  readonly input: Readable & { readonly isTTY?: boolean };
  /** Where questions are written; nothing else is. */
  readonly output: Writable;
}

/** Asks for a new password, twice, and shows nothing of it. Throws UsersError where the two differ, or nobody answers. */
export async function askPassword({ input, output }: Terminal): Promise<string> {
  if (input.isTTY !== true) {
    throw new UsersError("there is no terminal to ask for a password at; give it with --password-stdin");
  }
  // A terminal's echo is what readline writes to its output.
  const nowhere = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
  const lines = createInterface({ input, output: nowhere, terminal: true, historySize: 0 });
  // At a terminal this comes in the place of the signal.
  lines.on("SIGINT", () => {
    lines.close();
  });
  const answers = lines[Symbol.asyncIterator]();
  const ask = async (question: string): Promise<string> => {
    output.write(question);
    const answer: IteratorResult<string, unknown> = await answers.next();
    output.write("\n");
    if (answer.done === true) throw new UsersError("no password was given");
    return answer.value;
  };
  try {
    const password = await ask("Password: ");
    if ((await ask("Again: ")) !== password) throw new UsersError("the two passwords differ");
    return password;
  } finally {
    lines.close();
  }
}

/** All that comes, without the line's end that follows a password. Throws UsersError where it is more than a line. */
export async function readPassword(input: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk as Buffer | string));
  const password = Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, "");
  if (/[\r\n]/.test(password)) throw new UsersError("standard input holds more than one line");
  return password;
}
