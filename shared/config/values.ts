import * as z from "zod";
import type { TcpAddress } from "./config.ts";

/** A schema of any kind, as the helpers here take it. */
export type Schema = z.ZodType;

/** What the schema of a key says of it beyond its type. */
export interface Note {
  /** How a variable's text becomes a value: as it stands, a list, or anything below this key. */
  readonly form?: "text" | "list" | "anything";
  /** Why the key does nothing, and when it asks for nothing that would be missed. */
  readonly noEffect?: { readonly because: string; readonly unless: (value: unknown) => boolean };
}

/** Notes are kept beside the schemas, so that a schema reads as the list of its keys. */
export const notes = z.registry<Note>();

/** A value read by one function, which answers undefined for what it cannot use. */
function value<T>(expected: string, read: (input: unknown) => T | undefined): z.ZodType<T> {
  return z.unknown().transform((input, context): T => {
    const result = read(input);
    if (result !== undefined) return result;
    context.addIssue({ code: "custom", message: expected, input });
    return z.NEVER;
  });
}

function written<T>(expected: string, read: (input: string) => T | undefined): z.ZodType<T> {
  return value(expected, (input) => (isLine(input) ? read(input) : undefined)).register(notes, { form: "text" });
}

/** A string of one line, not empty. */
function isLine(input: unknown): input is string {
  return typeof input === "string" && input !== "" && !/[\u0000-\u001f\u007f]/.test(input);
}

/** A key that may be left out, or left empty, which is the same. */
export function setting<T>(schema: z.ZodType<T>): z.ZodType<T | null | undefined> {
  return z.preprocess((input) => (input === "" ? undefined : input), schema.nullish());
}

/** Keys that are all known: another is refused. */
export function map<T extends z.core.$ZodLooseShape>(keys: T, expected = "a map of keys") {
  return z.strictObject(keys, { error: (issue) => (issue.code === "invalid_type" ? expected : undefined) });
}

/** A section that may be left out, or given with nothing in it. */
export function section<T extends z.core.$ZodLooseShape>(keys: T) {
  return map(keys).nullish();
}

/** Entries of one kind, in order. */
export function listOf<T extends Schema>(entry: T) {
  return z.array(entry, { error: "a list" }).nullish();
}

/** Values of one kind, under names of one's own. */
export function byName<T extends Schema>(entry: T) {
  return z.record(z.string(), entry, { error: "a map of names" });
}

/** A section whose name alone means something: `filesystem:` is `filesystem: {}`. */
export function named<T extends Schema>(schema: T) {
  return z.preprocess((input) => input ?? {}, schema).optional();
}

/** Any text of one line. */
export function text(expected: string): z.ZodType<string> {
  return written(expected, (input) => input);
}

/** Text that a function makes something of. */
export function parsed<T>(expected: string, read: (input: string) => T | undefined): z.ZodType<T> {
  return written(expected, read);
}

/** One of some words, in any case. */
export function choice<T extends string>(...words: readonly T[]): z.ZodType<T> {
  return written(`one of ${words.join(", ")}`, (input) => words.find((word) => word === input.toLowerCase()));
}

/** A list of texts; one text is a list of one. */
export function texts(expected: string): z.ZodType<string[]> {
  return value(expected, (input) => {
    const list: unknown[] = Array.isArray(input) ? input : [input];
    return list.every(isLine) ? list : undefined;
  }).register(notes, { form: "list" });
}

/**
 * What is wrong with the source of a regular expression, if anything is. The flag `u` makes an error of what Go's
 * expressions have and JavaScript's would read as something else, such as `\z` or `[[:alpha:]]`: a pattern that silently
 * never matches would let through what a list names.
 */
export function patternFault(source: string): string | undefined {
  try {
    new RegExp(source, "u");
    return undefined;
  } catch {
    return "is not a regular expression that JavaScript reads (with the flag u)";
  }
}

const booleans: Readonly<Record<string, boolean>> = { yes: true, on: true, y: true, no: false, off: false, n: false };

/** `true` or `false`, or another of YAML 1.1's words for them, which distribution reads too. */
export function flag(): z.ZodType<boolean> {
  return value("true or false", (input) => {
    if (typeof input === "boolean") return input;
    if (typeof input !== "string") return undefined;
    const word = input.toLowerCase();
    return Object.hasOwn(booleans, word) ? booleans[word] : undefined;
  });
}

/** A whole number within bounds. */
export function count(least: number, most = Number.MAX_SAFE_INTEGER): z.ZodType<number> {
  const bounds =
    most === Number.MAX_SAFE_INTEGER ? `of at least ${String(least)}` : `from ${String(least)} to ${String(most)}`;
  return value(least === -Infinity ? "a whole number" : `a whole number ${bounds}`, (input) =>
    typeof input === "number" && Number.isSafeInteger(input) && input >= least && input <= most ? input : undefined,
  );
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "\u00b5s": 1e-3,
  "\u03bcs": 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const DAY_MS = 24 * 3_600_000;
const durationPart = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/gu;

/** What a timer of Node can hold; it takes a longer time for 1 ms. A little under 25 days. */
export const longestTimerMs = 2 ** 31 - 1;

/**
 * A Go duration, in milliseconds, rounded up. A bare number is refused: distribution takes it for
 * nanoseconds, which nobody who writes it means.
 */
export function duration({ least = 0, most = Infinity }: { least?: number; most?: number }): z.ZodType<number> {
  return durationAs("10s or 1h30m", durationMs, least, most);
}

/** The same, and days: for settings that distribution does not have. Go's durations have none. */
export function longDuration({ least = 0 }: { least?: number }): z.ZodType<number> {
  const withDays = (input: string): number | undefined => {
    const [, days, rest = ""] = /^(\d+(?:\.\d+)?)d(.*)$/.exec(input) ?? [];
    if (days === undefined) return durationMs(input);
    const ms = rest === "" ? 0 : durationMs(rest);
    return ms === undefined ? undefined : Math.ceil(Number(days) * DAY_MS) + ms;
  };
  return durationAs("30d or 12h", withDays, least, Infinity);
}

function durationAs(
  examples: string,
  parse: (input: string) => number | undefined,
  least: number,
  most: number,
): z.ZodType<number> {
  const range = [
    least <= 1 ? (least > 0 ? "above 0" : "") : `at least ${least / 1000}s`,
    most === longestTimerMs ? "at most 596h" : "",
  ].filter(Boolean);
  const expected = `a duration with its unit, such as ${examples}${range.map((words) => `, ${words}`).join("")}`;
  return value(expected, (input) => {
    const ms = input === 0 || input === "0" ? 0 : typeof input === "string" ? parse(input) : undefined;
    return ms !== undefined && ms >= least && ms <= most ? ms : undefined;
  });
}

function durationMs(input: string): number | undefined {
  const sum = [...input.matchAll(durationPart)].reduce(
    (total, [, amount, unit]) => total + Number(amount) * (unitMs[unit ?? ""] ?? NaN),
    0,
  );
  const whole = input.replace(durationPart, "") === "" && input !== "";
  return whole && Number.isFinite(sum) ? Math.ceil(sum) : undefined;
}

/** `host:port`, `:port` for every interface, or `[address]:port` for IPv6. */
export function tcpAddress(expected: string): z.ZodType<TcpAddress> {
  return written(expected, (input) => {
    const [, bracketed, plain, digits] = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(input) ?? [];
    const host = bracketed ?? plain;
    const port = Number(digits);
    return host !== undefined && port <= 65_535 ? { kind: "tcp", host, port } : undefined;
  });
}

/** An absolute URL of http or https with no user and no fragment. */
export function httpUrl(expected: string, { query }: { query: boolean }): z.ZodType<URL> {
  const unwanted = query ? /[#\s]/ : /[?#\s]/;
  return written(expected, (input) => {
    if (!/^https?:\/\//i.test(input) || unwanted.test(input) || !URL.canParse(input)) return undefined;
    const url = new URL(input);
    return url.username === "" && url.password === "" ? url : undefined;
  });
}

/** A key that cannot be ignored and is not served: the message says what to do instead. */
export function refused(message: string, unless: (value: unknown) => boolean = () => false): z.ZodType {
  return z
    .unknown()
    .superRefine((input, context) => {
      if (!unless(input)) context.addIssue({ code: "custom", message, params: { refused: true }, input });
    })
    .register(notes, { form: "anything" })
    .optional();
}

/** A key that does nothing here. What it holds is checked as far as its schema says. */
export function noEffect<T extends Schema>(
  schema: T,
  because: string,
  unless: (value: unknown) => boolean = isEmpty,
): T {
  notes.add(schema, { ...notes.get(schema), noEffect: { because, unless } });
  return schema;
}

/** Anything at all, for a key that does nothing: a wrong value in it does no harm either. */
export function anything(): z.ZodType {
  return z.unknown().register(notes, { form: "anything" }).optional();
}

/** Nothing, or a map or list with nothing in it at any depth. */
export function isEmpty(input: unknown): boolean {
  if (input === undefined || input === null || input === "" || input === false) return true;
  return typeof input === "object" && Object.values(input).every(isEmpty);
}

/** A property of what may be a map. */
export function property(input: unknown, key: string): unknown {
  return isMap(input) && Object.hasOwn(input, key) ? input[key] : undefined;
}

/** Whether YAML gave a map. */
export function isMap(input: unknown): input is Record<string, unknown> {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}
