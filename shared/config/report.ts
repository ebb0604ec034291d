/** A path in the configuration, such as `["health", "file", 0, "interval"]`. */
export type KeyPath = readonly (string | number)[];

/** The configuration cannot be used. Lists everything that is wrong with it, not the first thing only. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration cannot be used:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Collects what is wrong and what has no effect, and knows which variable set which key. */
export class Report {
  readonly problems: string[] = [];
  readonly notices: string[] = [];
  readonly #variables = new Map<string, string>();

  /** Remembers that a variable set this key, and with it everything below. */
  setBy(path: KeyPath, variable: string): void {
    const prefix = `${dotted(path)}.`;
    for (const key of this.#variables.keys()) {
      if (key.startsWith(prefix)) this.#variables.delete(key);
    }
    this.#variables.set(dotted(path), variable);
  }

  problem(path: KeyPath, message: string): void {
    this.problems.push(`${this.#name(path)}: ${message}`);
  }

  /** `expected …, got …` */
  wrongValue(path: KeyPath, expected: string, value: unknown): void {
    const variable = variableOf(path);
    const hint = this.#variables.get(dotted(path)) === variable ? "" : ` (${variable} sets it too)`;
    const got = value === undefined || value === null ? `nothing${hint}` : shown(path, value);
    this.problem(path, `expected ${expected}, got ${got}`);
  }

  /** The one way to say that a key is understood and does nothing. */
  noEffect(path: KeyPath, because: string): void {
    this.notices.push(`${this.#name(path)} has no effect here, because ${because}`);
  }

  notice(path: KeyPath, message: string): void {
    this.notices.push(`${this.#name(path)}: ${message}`);
  }

  /** `http.addr`, or `http.addr (REGISTRY_HTTP_ADDR)` where a variable set it. */
  #name(path: KeyPath): string {
    for (let length = path.length; length > 0; length--) {
      const variable = this.#variables.get(dotted(path.slice(0, length)));
      if (variable !== undefined) return `${dotted(path)} (${variable})`;
    }
    return dotted(path);
  }
}

/** `health.file.0.interval` */
export function dotted(path: KeyPath): string {
  return path.join(".");
}

/** The variable that sets a key: `REGISTRY_HEALTH_FILE_0_INTERVAL`. */
export function variableOf(path: KeyPath): string {
  return ["REGISTRY", ...path].join("_").toUpperCase();
}

const secretKey = /pass|secret|token|credential|authorization|cookie|accesskey|accountkey|apikey|licensekey/i;
const longestShown = 80;

/** A value in a message, unless it may be a secret. */
function shown(path: KeyPath, value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map of keys";
  // Names of headers lie in the path too: `health.http.0.headers.Authorization`.
  if (path.some((part) => secretKey.test(String(part)))) return "a value not shown here";
  if (typeof value !== "string") return JSON.stringify(value);
  if (/:\/\/[^/]*@/.test(value)) return "a value not shown here, with credentials in it";
  return JSON.stringify(value.length > longestShown ? `${value.slice(0, longestShown)}…` : value);
}
