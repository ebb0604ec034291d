import { errorStack, errorSummary } from "./error-text.ts";

/** From the most important to the least. A logger writes its own level and those before it. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;

/** One of LOG_LEVELS. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** `text`: `time="…" level=info msg="…" key=value`, as logrus writes it. `json`: one object a line. */
export type LogFormatter = "text" | "json";

/**
 * What is said beside the message. A field of null or undefined is left out. An Error is written as its message and
 * those of its causes, and at level error with its stack in `<key>.stack`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes entries, one line each, whatever their content: control characters are escaped. Never throws, never waits. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

/** Where the lines go; see `openLogDestination`. */
export interface LogDestination {
  /** Takes one whole line, its line end included. Must not throw nor wait. */
  write(line: string): void;
}

/** How a logger is set up. */
export interface LoggerOptions {
  readonly level: LogLevel;
  readonly formatter: LogFormatter;
  /** Said in every entry. */
  readonly fields?: LogFields;
  readonly destination: LogDestination;
  /** Milliseconds since 1970. Default Date.now. */
  readonly now?: () => number;
}

/** Longer text is cut: one hostile header must not fill a disk. In UTF-16 units. */
const MAX_TEXT = 8192;

/** The names of fields come from the code and the configuration, so there are few; the cache is bounded all the same. */
const MAX_CACHED_KEYS = 512;

/** As logrus writes them. */
const LEVEL_NAMES: Readonly<Record<LogLevel, string>> = {
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
};

/** What JSON leaves as it is, but a terminal or a viewer may obey: DEL, C1 controls, line separators, bidi controls. */
const UNPRINTABLE = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** What logrus does not quote. */
const PLAIN = /^[A-Za-z0-9\-._/@^+]+$/;

/** Makes a logger. It keeps nothing open: the destination belongs to the caller. */
export function createLogger(options: LoggerOptions): Logger {
  const { destination, now = Date.now } = options;
  const threshold = LOG_LEVELS.indexOf(options.level);
  const format = createFormat(options.formatter, options.fields ?? {});
  const timestamp = createTimestamp(now);

  const at = (level: LogLevel): Logger["info"] => {
    if (LOG_LEVELS.indexOf(level) > threshold) return () => undefined;
    const head = format.levelAndMessage(level);
    const withStack = level === "error";
    return (message, fields) => {
      destination.write(format.entry(timestamp(), head, message, fields, withStack));
    };
  };
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}

/** ISO 8601 in UTC, made once a millisecond. */
function createTimestamp(now: () => number): () => string {
  let lastMs = Number.NaN;
  let text = "";
  return () => {
    const ms = now();
    if (ms !== lastMs) {
      lastMs = ms;
      text = new Date(ms).toISOString();
    }
    return text;
  };
}

interface Format {
  /** What stands between the time and the message. */
  levelAndMessage(level: LogLevel): string;
  entry(time: string, head: string, message: string, fields: LogFields | undefined, withStack: boolean): string;
}

function createFormat(formatter: LogFormatter, fixed: LogFields): Format {
  const json = formatter === "json";
  const value = json ? jsonValue : textValue;
  const taken = new Set(["time", "level", "msg"]);
  const keys = new Map<string, string>();

  /** The key with all that is before its value; a name that is taken gets a prefix, as logrus does it. */
  const keyText = (key: string): string => {
    const cached = keys.get(key);
    if (cached !== undefined) return cached;
    const name = taken.has(key) ? `fields.${key}` : key;
    const text = json ? `,${quote(name)}:` : ` ${name.replace(/[^A-Za-z0-9\-._/@^+]/g, "_")}=`;
    if (keys.size < MAX_CACHED_KEYS) keys.set(key, text);
    return text;
  };

  const fieldsText = (fields: LogFields, withStack: boolean): string => {
    let text = "";
    for (const key in fields) {
      const field = fields[key];
      if (field === undefined || field === null) continue;
      text += keyText(key) + value(field);
      if (withStack && field instanceof Error) text += keyText(`${key}.stack`) + value(errorStack(field));
    }
    return text;
  };

  const fixedText = fieldsText(fixed, false);
  for (const key of Object.keys(fixed)) taken.add(key);
  keys.clear();

  const start = json ? '{"time":"' : 'time="';
  const end = json ? `${fixedText}}\n` : `${fixedText}\n`;
  return {
    levelAndMessage: (level) =>
      json ? `","level":"${LEVEL_NAMES[level]}","msg":` : `" level=${LEVEL_NAMES[level]} msg=`,
    entry: (time, head, message, fields, withStack) =>
      start + time + head + value(message) + (fields === undefined ? "" : fieldsText(fields, withStack)) + end,
  };
}

function textValue(value: unknown): string {
  if (typeof value === "string") return PLAIN.test(value) && value.length <= MAX_TEXT ? value : quote(value);
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  return quote(objectText(value));
}

function jsonValue(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : quote(String(value));
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (value instanceof Error) return quote(errorSummary(value));
  const text = serialize(value);
  return text.length <= MAX_TEXT ? text.replace(UNPRINTABLE, escape) : quote(text);
}

function objectText(value: unknown): string {
  if (value instanceof Error) return errorSummary(value);
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  return serialize(value);
}

/** JSON for any value: what JSON cannot say becomes a JSON string. */
function serialize(value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined;
    return text ?? JSON.stringify(typeof value);
  } catch {
    return '"[cannot be written as JSON]"';
  }
}

/** A quoted string on one line, the same in JSON and in logrus' text. */
function quote(text: string): string {
  const bounded = text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (${text.length} characters)`;
  return JSON.stringify(bounded).replace(UNPRINTABLE, escape);
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
