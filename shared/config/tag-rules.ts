import type * as z from "zod";
import { isNamePattern, type TagPatterns } from "../oci/name-pattern.ts";
import type { RetentionRule } from "./config.ts";
import type { KeyPath, Report } from "./report.ts";
import { count, listOf, longDuration, map, setting, texts } from "./values.ts";

const patterns = () => setting(texts("a list of patterns, such as [prod/**, v*]"));

/** The keys by which a rule says which tags of which repositories it is about. */
export const tagSelection = { repositories: patterns(), tags: patterns(), except: patterns() };

/** `storage.tag.immutable`, our own. */
export const immutable = listOf(map(tagSelection));

/** `storage.maintenance.gc.retention`, our own. */
export const retention = listOf(
  map({
    ...tagSelection,
    keep: map({
      last: setting(count(1)),
      matching: patterns(),
      youngerthan: setting(longDuration({ least: 1 })),
      pulledwithin: setting(longDuration({ least: 1 })),
    }).optional(),
    expireuntagged: setting(longDuration({ least: 1 })),
  }),
);

/** What `storage.maintenance.gc.retention` asks for. */
export function readRetention(input: z.infer<typeof retention>, recordPulls: boolean, report: Report): RetentionRule[] {
  return (input ?? []).map((rule, index) => {
    const path = ["storage", "maintenance", "gc", "retention", index];
    const { keep, expireuntagged } = rule;
    const { last, matching, youngerthan, pulledwithin } = keep ?? {};
    if (keep && ![last, matching, youngerthan, pulledwithin].some(Boolean)) {
      const none =
        "says nothing of what to keep, so that every tag would go; name last, matching, youngerthan or pulledwithin";
      report.problem([...path, "keep"], none);
    }
    if (pulledwithin && !recordPulls) {
      const unknown = "cannot be known: set storage.maintenance.gc.recordpulls to true";
      report.problem([...path, "keep", "pulledwithin"], unknown);
    }
    return {
      ...readSelection(rule, path, report),
      ...(keep && {
        keep: {
          ...(last ? { last } : {}),
          ...(matching ? { matching: readPatterns(matching, [...path, "keep", "matching"], report) } : {}),
          ...(youngerthan ? { youngerThanMs: youngerthan } : {}),
          ...(pulledwithin ? { pulledWithinMs: pulledwithin } : {}),
        },
      }),
      ...(expireuntagged ? { expireUntaggedMs: expireuntagged } : {}),
    };
  });
}

/** What `storage.tag.immutable` asks for. */
export function readImmutable(input: z.infer<typeof immutable>, report: Report): TagPatterns[] {
  return (input ?? []).map((rule, index) => {
    const path = ["storage", "tag", "immutable", index];
    if (!rule.repositories && !rule.tags) {
      report.problem(path, 'names neither repositories nor tags; for all tags of all repositories say tags: ["*"]');
    }
    return readSelection(rule, path, report);
  });
}

type SelectionInput = { readonly [key in keyof typeof tagSelection]?: readonly string[] | null | undefined };

/** What is not named is all there is. */
export function readSelection(
  { repositories, tags, except }: SelectionInput,
  path: KeyPath,
  report: Report,
): TagPatterns {
  return {
    repositories: readPatterns(repositories ?? ["**"], [...path, "repositories"], report),
    tags: readPatterns(tags ?? ["*"], [...path, "tags"], report),
    except: readPatterns(except ?? [], [...path, "except"], report),
  };
}

/** Those that are patterns; the others are reported. */
export function readPatterns(texts: readonly string[], path: KeyPath, report: Report): string[] {
  if (texts.length === 0 && path.at(-1) !== "except") report.problem(path, "is an empty list, which nothing matches");
  return texts.filter((text, index) => {
    const known = isNamePattern(text);
    if (!known) {
      const expected = "a pattern of letters, digits and . _ - /, with * ** ? {a,b}";
      report.wrongValue([...path, index], expected, text);
    }
    return known;
  });
}
