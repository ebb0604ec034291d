/**
 * Patterns for names of repositories and tags, as people know them from shells, Harbor and ECR:
 *
 *     *        any characters but a slash, or none
 *     **       any characters, or none
 *     ?        one character but a slash
 *     {a,b}    one of these; not within each other
 *
 * All else stands for itself, and a pattern is for the whole name.
 */

const PATTERN = /^(?:[A-Za-z0-9_.\-/*?]|\{[A-Za-z0-9_.\-/*?]+(?:,[A-Za-z0-9_.\-/*?]+)*\})+$/;

/** Does a name match? */
export type NameMatcher = (name: string) => boolean;

/** Is it a pattern? */
export function isNamePattern(text: string): boolean {
  return PATTERN.test(text);
}

/** Matches what one of the patterns does. Throws where one is none. */
export function matchesAny(patterns: readonly string[]): NameMatcher {
  const expressions = patterns.map(expressionOf);
  return (name) => expressions.some((expression) => expression.test(name));
}

function expressionOf(pattern: string): RegExp {
  if (!isNamePattern(pattern)) throw new RangeError(`${JSON.stringify(pattern)} is no pattern for names`);
  const source = pattern.replace(/\*\*|[*?{},.]/g, (token) => MEANINGS[token] ?? token);
  return new RegExp(`^(?:${source})$`, "u");
}

const MEANINGS: Readonly<Record<string, string>> = {
  ...{ "**": ".*", "*": "[^/]*", "?": "[^/]" },
  ...{ "{": "(?:", "}": ")", ",": "|", ".": "\\." },
};

/** Tags of repositories: those that match `tags` and not `except`. */
export interface TagPatterns {
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
  readonly except: readonly string[];
}

/** Matches what any of the selections does. Throws where one has what is no pattern. */
export function selectsTag(selections: readonly TagPatterns[]): (repository: string, tag: string) => boolean {
  const compiled = selections.map(({ repositories, tags, except }) => ({
    ofRepository: matchesAny(repositories),
    ofTag: matchesAny(tags),
    isExcepted: matchesAny(except),
  }));
  return (repository, tag) =>
    compiled.some(({ ofRepository, ofTag, isExcepted }) => ofTag(tag) && !isExcepted(tag) && ofRepository(repository));
}
