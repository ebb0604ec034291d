/** `lading doctor`: its command line, and how it prints. */
import { examineBucket } from "../shared/doctor/bucket.ts";
import { BODY_SIZES, examine } from "../shared/doctor/doctor.ts";
import type { Finding } from "../shared/doctor/visit.ts";
import { processConsole, READER_GONE } from "./console.ts";
import { parseOptions, requestOf } from "./options.ts";

/** What `lading doctor --help` says. */
export const DOCTOR_USAGE = `usage: lading doctor [options] HOST

Looks at a registry from outside and says what works, what does not, and what to do about it. It pushes into a repository
of its own and deletes that again. HOST is a name, or a URL where it speaks plain HTTP.

  --repository NAME   where it pushes (lading/doctor)
  --uploads URL       the address for uploads, where the registry sends nobody there
  --quick             no body above 8 MB
  --at-once N         how many requests it sends at once (30, three times what a new AWS account may run)
  --bucket NAME       looks at the bucket too, with the credentials of the AWS command line
  --region REGION     of the bucket

LADING_USER and LADING_PASSWORD say who asks: somebody who may push. Ends with 1 where something fails.
`;

const AT_ONCE = "30";
const MOST_AT_ONCE = 1000;
const QUICK_BYTES = 8_000_000;
const MARKS = { pass: "pass", note: "note", fail: "FAIL" } as const;

/** Runs it; gives the exit code. */
export async function doctor(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  // What it has pushed by then it deletes before it ends.
  const unread = new AbortController();
  let endsAtOnce = true;
  const console = processConsole(() => {
    if (endsAtOnce) process.exit(READER_GONE);
    unread.abort();
  });
  const options = requestOf(console, "lading doctor", DOCTOR_USAGE, () => readArgs(args, env));
  if (typeof options === "number") return options;
  endsAtOnce = false;
  const count = { pass: 0, note: 0, fail: 0 };
  const tell = ({ check, level, text, advice }: Finding & { check: string }): void => {
    count[level]++;
    console.out(`${MARKS[level]}  ${check.padEnd(16)} ${text}`);
    if (advice !== undefined) console.out(`${" ".repeat(23)}-> ${advice}`);
  };
  await examine(options.visit, tell, unread.signal);
  if (unread.signal.aborted) return READER_GONE;
  if (options.bucket !== undefined) {
    for (const finding of await examineBucket(options.bucket)) tell({ check: "bucket", ...finding });
  }
  console.out(`\n${count.pass} passed, ${count.note} to know, ${count.fail} failed`);
  return count.fail > 0 ? 1 : 0;
}

/** Undefined where help is asked for. Throws with a sentence. */
function readArgs(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
  const { values, positionals } = parseOptions({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      "at-once": { type: "string", default: AT_ONCE },
      repository: { type: "string" },
      uploads: { type: "string" },
      bucket: { type: "string" },
      region: { type: "string" },
    },
  });
  if (values.help === true) return undefined;
  const [host, ...more] = positionals;
  if (host === undefined || more.length > 0) throw new Error("expected one host");
  const { LADING_USER: name, LADING_PASSWORD: password } = env;
  if ((name === undefined) !== (password === undefined)) throw new Error("LADING_USER and LADING_PASSWORD go together");
  const atOnce = Number(values["at-once"]);
  if (!Number.isInteger(atOnce) || atOnce < 1 || atOnce > MOST_AT_ONCE) {
    throw new Error(`--at-once: expected a number from 1 to ${MOST_AT_ONCE}`);
  }
  const { uploads, bucket, region, repository = "lading/doctor" } = values;
  return {
    visit: {
      registry: urlOf(host),
      ...(uploads === undefined ? {} : { uploads: urlOf(uploads) }),
      ...(name === undefined || password === undefined ? {} : { user: { name, password } }),
      repository,
      atOnce,
      bodies: BODY_SIZES.filter((size) => values.quick !== true || size <= QUICK_BYTES),
    },
    ...(bucket === undefined ? {} : { bucket: { bucket, ...(region === undefined ? {} : { region }) } }),
  };
}

function urlOf(host: string): string {
  const text = /^https?:\/\//i.test(host) ? host : `https://${host}`;
  if (!URL.canParse(text)) throw new Error(`${host} is no address; expected a name such as registry.example.com`);
  return new URL(text).origin;
}
