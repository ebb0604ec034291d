import { isComponent } from "../oci/reference.ts";
import { listChildren, listKeys, type ListedObject, type StorageDriver, type StoragePart } from "../storage/driver.ts";
import { layout } from "./layout.ts";
import { repositoryKeyOf } from "./stored-key.ts";

/** What a purge did, or with `dryRun` would do. */
export interface PurgeReport {
  /** Sessions removed, as `repository/uuid`. */
  readonly sessions: readonly string[];
  readonly bytes: number;
}

/**
 * Removes abandoned upload sessions: those in which the newest object is older than `ageMs`, so that a long upload is never
 * taken away from under its client. Leftovers of sessions that ended in a crash count as sessions, and so do those of other
 * registries.
 */
export async function purgeUploads(
  driver: StorageDriver,
  now: () => Date,
  { ageMs, dryRun }: { ageMs: number; dryRun: boolean },
): Promise<PurgeReport> {
  const sessions: string[] = [];
  let bytes = 0;
  // One by one: a repository may have its sessions elsewhere than its images, or some of them from before.
  for (const part of driver.parts ?? [driver]) {
    for await (const repository of repositoriesWithUploads(part, "")) {
      for (const id of await listChildren(part, layout.uploads(repository))) {
        const before = new Date(now().getTime() - ageMs);
        const found = await purgeSession(part, `${layout.uploads(repository)}${id}/`, before, dryRun);
        if (found === undefined) continue;
        sessions.push(`${repository}/${id}`);
        bytes += found;
      }
    }
  }
  return { sessions, bytes };
}

/** Removes a session below a prefix if nothing was written to it after `before`; gives its bytes, or undefined. */
export async function purgeSession(
  part: StoragePart,
  prefix: string,
  before: Date,
  dryRun = false,
): Promise<number | undefined> {
  const objects: ListedObject[] = [];
  for await (const object of listKeys(part, prefix)) objects.push(object);
  if (objects.length === 0 || objects.some(({ lastModified }) => lastModified > before)) return undefined;
  if (!dryRun) {
    // The start goes first: without it there is no session.
    await part.delete(`${prefix}startedat`);
    await part.deleteMany(objects.map(({ key }) => key));
  }
  return objects.reduce((sum, { size }) => sum + size, 0);
}

/** The same for all sessions of a part that holds little else: one LIST for 1,000 keys, and one for each that goes. */
export async function purgeListed(
  part: StoragePart,
  before: Date,
  dryRun = false,
): Promise<{ sessions: number; bytes: number }> {
  const prefixes = new Map<string, boolean>();
  for await (const { key, lastModified } of listKeys(part, layout.repositories)) {
    const found = repositoryKeyOf(key);
    if (found.kind !== "upload") continue;
    const prefix = `${layout.uploads(found.repository)}${found.id}/`;
    prefixes.set(prefix, (prefixes.get(prefix) ?? true) && lastModified <= before);
  }
  let sessions = 0;
  let bytes = 0;
  for (const [prefix, isOld] of prefixes) {
    const found = isOld ? await purgeSession(part, prefix, before, dryRun) : undefined;
    if (found === undefined) continue;
    sessions++;
    bytes += found;
  }
  return { sessions, bytes };
}

async function* repositoriesWithUploads(part: StoragePart, parent: string): AsyncGenerator<string> {
  for (const name of await listChildren(part, `${layout.repositories}${parent}`)) {
    if (name === "_uploads" && parent !== "") yield parent.slice(0, -1);
    else if (isComponent(name)) yield* repositoriesWithUploads(part, `${parent}${name}/`);
  }
}
