/**
 * Pages of names in lexical order, from a store that keeps them in another: names are what lies one level below a prefix,
 * and a store lists them in the order of `name/`, in which `a-b/` comes before `a/`, since `-` and `.` sort before a slash.
 *
 * A name X is *late* where the store has it after a text that it sorts before: X < text < X/. All texts between X and X/
 * begin with X and go on with a character below the slash; so the names that are late for a text can be read off it. They
 * are few, and looked up one by one, which spares listing everything.
 */
import { limits } from "../oci/limits.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { mapLimit } from "../storage/concurrency.ts";
import type { NamePage, PageRequest } from "./page.ts";

/**
 * A page of the names one level below `prefix` that have keys below them, in lexical order.
 *
 * Takes one LIST while a page of the store holds what is asked for, and for each late name of its end one more, of one key.
 * Where the store's pages are smaller than `limit`, it takes as many as hold `limit` entries; the few of them that are no
 * names of this page are not made up for by another LIST, and the page ends early, but never empty while names follow. It
 * then says that more follow, even if all that does is late for `last`.
 */
export async function listOrdered(
  driver: Pick<StorageDriver, "list">,
  prefix: string,
  { limit, last = "" }: PageRequest,
): Promise<NamePage> {
  if (limit === 0) return { names: [], more: false };
  // X > last >= start, so X/ > start: every name that is wanted comes after `start`. What else comes is late for it, or it.
  const start = startOf(last);
  const wanted = lateNames(start).length + 1 + limit + 1; // the last one: does more follow?
  const names: string[] = [];
  let listed = 0;
  let end: string | undefined = start;
  do {
    const page = await driver.list(prefix, { delimiter: "/", startAfter: prefix + end, limit: wanted });
    listed += page.objects.length + page.prefixes.length;
    for (const child of page.prefixes) {
      const name = child.slice(prefix.length, -1);
      if (name > last) names.push(name);
    }
    end = page.next?.slice(prefix.length);
  } while (end !== undefined && (listed < limit || names.length === 0));
  names.sort();

  if (end !== undefined) {
    // Listed is what has X/ <= end, so of all others only those that are late for `end` can sort before a listed one.
    const before = names[limit - 1] ?? end;
    const candidates = lateNames(end).filter((name) => name > last && name < before);
    const found = await mapLimit(candidates, limits.nameLookups, async (name) => {
      const { objects, prefixes } = await driver.list(`${prefix}${name}/`, { delimiter: "/", limit: 1 });
      return objects.length + prefixes.length > 0;
    });
    names.push(...candidates.filter((_, index) => found[index]));
    names.sort();
  }
  return { names: names.slice(0, limit), more: end !== undefined || names.length > limit };
}

/** Every X with X < text < X/. */
function lateNames(text: string): string[] {
  const names: string[] = [];
  for (let length = 1; length < text.length; length++) {
    if (text.charAt(length) < "/") names.push(text.slice(0, length));
  }
  return names;
}

/**
 * A text no greater than `last` that a store takes to start after, with no name between the two. `last` comes from a client
 * and need not be a name: it is cut where it is longer than names are, and at the first character that no name has.
 */
export function startOf(last: string): string {
  const text = last.slice(0, limits.repositoryName + 1);
  const odd = text.search(/[^\x21-\x7e]/);
  if (odd < 0) return text;
  return text.charAt(odd) > "~" ? `${text.slice(0, odd)}~` : text.slice(0, odd);
}
