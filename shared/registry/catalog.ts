import { isComponent, repositoryNameFrom, type RepositoryName } from "../oci/reference.ts";
import { listChildren, type StorageDriver } from "../storage/driver.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { layout } from "./layout.ts";
import type { NamePage, PageRequest } from "./page.ts";

/**
 * Names of repositories in lexical order. A repository exists where something lies under `_manifests/`.
 *
 * Reads one folder at a time and only those that can hold a wanted name. Every name below `a/` begins with `a/`, and no
 * other name lies between them, so taking `a` and `a/` as two entries of their folder and sorting all entries gives the
 * order of whole names: a, a-b, a/b.
 */
export async function listRepositories(driver: StorageDriver, page: PageRequest): Promise<NamePage> {
  const names: string[] = [];
  for await (const name of walk(driver, "", page.last ?? "")) {
    if (names.length === page.limit) return { names, more: true };
    names.push(name);
  }
  return { names, more: false };
}

async function* walk(driver: StorageDriver, parent: string, last: string): AsyncGenerator<string> {
  const children = await listChildren(driver, layout.repositories + parent);
  const entries = children.filter(isComponent).flatMap((name) => [parent + name, `${parent}${name}/`]);
  for (const entry of entries.sort()) {
    if (entry.endsWith("/")) {
      if (entry > last || last.startsWith(entry)) yield* walk(driver, entry, last);
    } else if (entry > last && (await isRepository(driver, entry))) yield entry;
  }
}

/** The names of all repositories, in no order. One LIST for each folder, `concurrency` of them at a time. */
export async function everyRepository(driver: StorageDriver, concurrency: number): Promise<RepositoryName[]> {
  const names: RepositoryName[] = [];
  for (let parents = [""]; parents.length > 0;) {
    const children = await mapLimit(parents, concurrency, async (parent) => {
      return (await listChildren(driver, layout.repositories + parent)).map((child) => ({ parent, child }));
    });
    parents = [];
    for (const { parent, child } of children.flat()) {
      const name = child === "_manifests" ? repositoryNameFrom(parent.slice(0, -1)) : undefined;
      if (name !== undefined) names.push(name);
      else if (isComponent(child)) parents.push(`${parent}${child}/`);
    }
  }
  return names;
}

/** Does a repository of this name exist? Where storage has folders an empty one counts, as it does for distribution. */
export async function isRepository(driver: StorageDriver, name: string): Promise<boolean> {
  const { objects, prefixes } = await driver.list(layout.manifests(name), { delimiter: "/", limit: 1 });
  return objects.length + prefixes.length > 0;
}
