/** What must be true of the storage at every moment, whatever crashed. */
import { digestFrom } from "../../shared/oci/digest.ts";
import { digestOf } from "../../shared/oci/hasher.ts";
import { listKeys, type ListedObject, type StorageDriver } from "../../shared/storage/driver.ts";

const ROOT = "docker/registry/v2/";
const BLOB = new RegExp(`^${ROOT}blobs/(sha256|sha512)/([0-9a-f]{2})/([0-9a-f]+)/data$`);
const LINK = new RegExp(`^${ROOT}repositories/(.+?)/(_layers|_manifests/revisions|_referrers|_manifests/tags)/.*link$`);
const TAG = new RegExp(`^(${ROOT}repositories/.+?/_manifests/)tags/([^/]+)/`);
const UPLOAD = new RegExp(`^${ROOT}repositories/.+?/_uploads/[0-9a-f-]{36}/(startedat|state|[0-9a-f-]{36})$`);
const CATALOG = new RegExp(`^${ROOT}_catalog/(complete|repositories/([a-z0-9._/-]+!|[a-z0-9._-]{255}))$`);

/** Everything in a store, whatever parts it has. */
export async function* everyKey(driver: StorageDriver): AsyncGenerator<ListedObject> {
  for (const part of driver.parts ?? [driver]) yield* listKeys(part, "");
}

/** Every object by its key. */
export async function snapshot(driver: StorageDriver): Promise<Map<string, string>> {
  const objects = new Map<string, string>();
  for await (const { key } of everyKey(driver)) {
    const bytes = await driver.read(key, Infinity);
    if (bytes !== undefined) objects.set(key, Buffer.from(bytes).toString("latin1"));
  }
  return objects;
}

/** The keys of a snapshot that are no upload session's. */
export function contentKeys(objects: ReadonlyMap<string, string>): string[] {
  return [...objects.keys()].filter((key) => !key.includes("/_uploads/")).sort();
}

/**
 * What is wrong with a storage, in sentences: bytes that are not their digest's, links that lead nowhere or hold half a
 * digest, tags that are listed and name nothing, keys outside the layout.
 */
export async function faultsOf(driver: StorageDriver): Promise<string[]> {
  return faultsIn(await snapshot(driver));
}

/** The same of a snapshot. */
export function faultsIn(objects: ReadonlyMap<string, string>): string[] {
  const wrong: string[] = [];
  const stored = (digest: string): boolean => {
    const [algorithm = "", hex = ""] = digest.split(":");
    return objects.has(`${ROOT}blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`);
  };
  for (const [key, content] of objects) {
    const [, algorithm, shard, hex] = BLOB.exec(key) ?? [];
    if (algorithm !== undefined && hex !== undefined) {
      const actual = digestOf(algorithm as "sha256" | "sha512", Buffer.from(content, "latin1"));
      if (actual !== `${algorithm}:${hex}`) wrong.push(`${key} holds ${actual}`);
      if (!hex.startsWith(shard ?? "-")) wrong.push(`${key} lies in the wrong folder`);
    } else if (LINK.test(key)) {
      if (digestFrom(content) === undefined) wrong.push(`${key} holds no digest: ${content}`);
      else if (!stored(content)) wrong.push(`${key} leads to bytes that are not there`);
    } else if (!UPLOAD.test(key) && !CATALOG.test(key)) wrong.push(`${key} has no place in the layout`);

    const [, manifests, tag] = TAG.exec(key) ?? [];
    if (manifests !== undefined && tag !== undefined) {
      const named = objects.get(`${manifests}tags/${tag}/current/link`);
      if (named === undefined) wrong.push(`tag ${tag} is listed but names nothing`);
      else if (!objects.has(`${manifests}revisions/${named.replace(":", "/")}/link`)) {
        wrong.push(`tag ${tag} names ${named}, which is no manifest of the repository`);
      }
    }
  }
  return [...new Set(wrong)];
}
