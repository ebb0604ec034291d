import type * as z from "zod";
import { readAuth } from "./auth.ts";
import type { Config } from "./config.ts";
import { applyEnvironment, sectionOf } from "./environment.ts";
import { readHealth } from "./health.ts";
import { readHttp } from "./http.ts";
import { keysWithoutEffect, nearestKey } from "./keys.ts";
import { readLog } from "./log.ts";
import { ConfigError, Report } from "./report.ts";
import { schema } from "./schema.ts";
import { readStorage } from "./storage.ts";
import { readTls, tls } from "./tls.ts";
import { readValidation } from "./validation.ts";
import { isMap, property } from "./values.ts";
import { readYaml } from "./yaml.ts";

export { ConfigError } from "./report.ts";

export interface ConfigSource {
  /** The text of distribution's config.yml. Undefined: there is none. */
  readonly yaml?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The configuration, and a line for every key that is understood and does nothing. */
export interface LoadedConfig {
  readonly config: Config;
  readonly notices: readonly string[];
}

const defaultEntries = 1000;

/**
 * Reads distribution's config.yml and the `REGISTRY_*` variables, which win. Throws ConfigError
 * with everything that is wrong.
 */
export function loadConfig(source: ConfigSource): LoadedConfig {
  const report = new Report();
  const withFile = source.yaml !== undefined;
  const tree = withFile ? readFile(source.yaml, report) : {};
  applyEnvironment(tree, schema, source.env, report);
  const config = readTree(tree, withFile, report);
  if (report.problems.length > 0) throw new ConfigError(report.problems);
  return { config: freeze(config), notices: report.notices };
}

/** The file's keys. What cannot be read at all is thrown at once: nothing said of the rest would be true. */
function readFile(yaml: string, report: Report): Record<string, unknown> {
  const read = readYaml(yaml);
  if ("error" in read) throw new ConfigError([`the configuration file: ${read.error}`]);
  if (!isMap(read.value)) throw new ConfigError(["the configuration file: expected a map of keys"]);
  const version = read.value["version"];
  if (version !== 0.1 && version !== "0.1") {
    report.problem(["version"], `the file must begin with "version: 0.1", the only version of this format there is`);
  }
  return Object.fromEntries(Object.entries(read.value).map(([name, value]) => [name, sectionOf(name, value)]));
}

/** Every section on its own, so that a wrong value in one does not hide what is wrong in another. */
function readTree(tree: Record<string, unknown>, withFile: boolean, report: Report): Config {
  for (const issue of schema.safeParse(tree, { reportInput: true }).error?.issues ?? []) addIssue(issue, report);
  for (const { path, because } of keysWithoutEffect(schema, tree)) report.noEffect(path, because);

  const { shape } = schema;
  const loglevel = part(shape.loglevel, tree["loglevel"], report, (input) => input);
  const tlsConfig = part(tls, property(tree["http"], "tls"), report, readTls);
  return {
    log: part(shape.log, tree["log"], report, (input, to) => readLog(input, loglevel, to)),
    storage: part(shape.storage, tree["storage"], report, (input, to) => readStorage(input, withFile, to)),
    auth: part(shape.auth, tree["auth"], report, readAuth),
    http: {
      ...part(shape.http, tree["http"], report, (input, to) => readHttp(input, withFile, to)),
      ...(tlsConfig ? { tls: tlsConfig } : {}),
    },
    health: part(shape.health, tree["health"], report, readHealth),
    validation: part(shape.validation, tree["validation"], report, readValidation),
    // Nothing, 0 and less ask for the default, as in distribution.
    catalog: part(shape.catalog, tree["catalog"], report, (input) => ({
      maxEntries: Math.max(input?.maxentries ?? 0, 0) || defaultEntries,
    })),
    tags: part(shape.tags, tree["tags"], report, (input) => ({ maxEntries: input?.maxtags || defaultEntries })),
  };
}

/**
 * A section that does not fit its schema has been reported already: it is read as if it were left
 * out, and what is said of it then is dropped.
 */
function part<S extends z.ZodType, T>(
  section: S,
  value: unknown,
  report: Report,
  read: (input: z.output<S> | undefined, report: Report) => T,
): T {
  const result = section.safeParse(value);
  return result.success ? read(result.data, report) : read(undefined, new Report());
}

function addIssue(issue: z.core.$ZodIssue, report: Report): void {
  const path = issue.path.map((key) => (typeof key === "symbol" ? String(key) : key));
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) {
      const near = nearestKey(schema, [...path, key]);
      report.problem([...path, key], `is not a key of the configuration${near ? `; did you mean ${near}?` : ""}`);
    }
  } else if (issue.code === "custom" && issue.params?.["refused"] === true) {
    report.problem(path, issue.message);
  } else {
    report.wrongValue(path, issue.message, issue.input);
  }
}

/** The same value, which nothing can change any more. */
function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
