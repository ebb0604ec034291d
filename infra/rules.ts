/** Rules about tags, as the registry's configuration has them, and what it says of them before anything is deployed. */
import { ConfigError, loadConfig } from "../shared/config/load.ts";
import { ExpectedError } from "./readers.ts";

/** All that a function is told may have 4 KiB. */
const MOST_CHARACTERS = 1500;

/** The settings in which there are rules, or that rules need. */
export interface RuleSettings {
  readonly retention?: string | undefined;
  readonly immutableTags?: string | undefined;
  readonly recordPulls?: boolean | undefined;
}

/** What the functions are told of them: variables of the registry's configuration. */
export function ruleEnvironment({ retention, immutableTags, recordPulls }: RuleSettings): Record<string, string> {
  return {
    ...(retention === undefined ? {} : { REGISTRY_STORAGE_MAINTENANCE_GC_RETENTION: retention }),
    ...(immutableTags === undefined ? {} : { REGISTRY_STORAGE_TAG_IMMUTABLE: immutableTags }),
    ...(recordPulls === true ? { REGISTRY_STORAGE_MAINTENANCE_GC_RECORDPULLS: "true" } : {}),
  };
}

/** Reads a list of rules, which is JSON in a text. What is in them `ruleProblems` looks at. */
export function rules(text: string): string {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list) || list.length === 0) {
    throw new ExpectedError('a list of rules, in cdk.json or as JSON such as [{"repositories":["ci/**"]}]');
  }
  const compact = JSON.stringify(list);
  if (compact.length > MOST_CHARACTERS) throw new ExpectedError(`at most ${MOST_CHARACTERS} characters of JSON`);
  return compact;
}

/** What the registry finds wrong with the rules, a sentence each, by the names of the settings. */
export function ruleProblems(settings: RuleSettings): string[] {
  try {
    loadConfig({ env: { REGISTRY_STORAGE: "inmemory", ...ruleEnvironment(settings) } });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) =>
      problem
        .replace(/ \(REGISTRY_[A-Z_]*\)/, "")
        .replace("storage.maintenance.gc.retention", "retention")
        .replace("storage.tag.immutable", "immutableTags")
        .replaceAll("storage.maintenance.gc.recordpulls", "recordPulls"),
    );
  }
}
