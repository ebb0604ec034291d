import { isComponent } from "../oci/reference.ts";
import { listChildren, listKeys, type ListedObject, type StorageDriver } from "../storage/driver.ts";
import { layout } from "./layout.ts";

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
  for await (const repository of repositoriesWithUploads(driver, "")) {
    for (const id of await listChildren(driver, layout.uploads(repository))) {
      const prefix = `${layout.uploads(repository)}${id}/`;
      const objects: ListedObject[] = [];
      for await (const object of listKeys(driver, prefix)) objects.push(object);
      const newest = Math.max(...objects.map(({ lastModified }) => lastModified.getTime()));
      if (objects.length === 0 || now().getTime() - newest < ageMs) continue;
      sessions.push(`${repository}/${id}`);
      bytes += objects.reduce((sum, { size }) => sum + size, 0);
      if (dryRun) continue;
      // The start goes first: without it there is no session.
      await driver.delete(`${prefix}startedat`);
      await driver.deleteMany(objects.map(({ key }) => key));
    }
  }
  return { sessions, bytes };
}

async function* repositoriesWithUploads(driver: StorageDriver, parent: string): AsyncGenerator<string> {
  for (const name of await listChildren(driver, `${layout.repositories}${parent}`)) {
    if (name === "_uploads" && parent !== "") yield parent.slice(0, -1);
    else if (isComponent(name)) yield* repositoriesWithUploads(driver, `${parent}${name}/`);
  }
}
