import { digestFrom, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { repositoryNameFrom } from "../oci/reference.ts";
import { layout } from "../registry/layout.ts";
import { repositoryKeyOf, type RepositoryKey } from "../registry/stored-key.ts";
import { ObjectTooLargeError, type StorageDriver } from "../storage/driver.ts";
import type { FindingKind } from "./finding.ts";
import { isStored, reportLink, type Looking, type RepositoryLook } from "./repository.ts";

/** A key below a repository whose content has to be looked at. */
export type LinkKey = (
  | Extract<RepositoryKey, { kind: "layer" | "revision" | "tag" | "referrer" | "foreign-link" }>
  | { readonly kind: "history"; readonly repository: string; readonly tag: string; readonly digest: Digest }
) & { readonly key: string };

const HISTORY = /\/_manifests\/tags\/([^/]+)\/index\/([^/]+)\/([^/]+)\/link$/;

/** What a key below `layout.repositories` is: a link, something of an upload, or nothing that is known. */
export function linkKeyOf(key: string): LinkKey | "upload" | undefined {
  const found = repositoryKeyOf(key);
  if (found.kind === "upload") return "upload";
  if (found.kind !== "other") {
    return repositoryNameFrom(found.repository) === undefined ? undefined : { ...found, key };
  }
  const [, tag, algorithm, hex] = HISTORY.exec(key) ?? [];
  const digest = digestFrom(`${algorithm}:${hex}`);
  const repository = key.slice(layout.repositories.length, key.indexOf("/_manifests/"));
  if (tag === undefined || digest === undefined || repositoryNameFrom(repository) === undefined) return undefined;
  return { kind: "history", repository, tag, digest, key };
}

interface Held {
  readonly digest: Digest | undefined;
  readonly etag: string;
}

/** Undefined where there is no such object (any more). */
async function heldBy(driver: StorageDriver, key: string): Promise<Held | undefined> {
  try {
    const { object } = await driver.look(key, limits.linkBytes);
    if (object === undefined) return undefined;
    return { digest: digestFrom(Buffer.from(object.bytes).toString("latin1")), etag: object.etag };
  } catch (error) {
    if (!(error instanceof ObjectTooLargeError)) throw error;
    const info = await driver.head(key);
    return info === undefined ? undefined : { digest: undefined, etag: info.etag };
  }
}

/** Reads a link and remembers what it says; reports what is wrong with it. */
export async function checkLink(looking: Looking, look: RepositoryLook, link: LinkKey): Promise<void> {
  const { driver, report } = looking;
  const { key } = link;
  const held = await heldBy(driver, key);
  if (held === undefined) return;
  const about = { key, repository: look.name };
  switch (link.kind) {
    case "foreign-link":
      if (held.digest !== undefined || !key.includes("/sha256/")) return;
      report({ kind: "link leads nowhere", ...about, text: "it is malformed; nothing reads it" });
      return;
    case "tag": {
      look.currentTags.add(link.tag);
      if (held.digest !== undefined) look.tags.set(link.tag, held.digest);
      else {
        const text = "it holds no digest, so nobody knows what the tag named: push it again, or delete it";
        report({ kind: "tag malformed", ...about, tag: link.tag, text });
      }
      return;
    }
    case "history":
      look.pastTags.add(link.tag);
      if (held.digest !== link.digest) await rewrite(looking, look, link, held, "link malformed");
      return;
    case "referrer":
      look.referrers.add(`${link.subject} ${link.referrer}`);
      if (held.digest !== link.referrer) {
        await rewrite(looking, look, { ...link, digest: link.referrer }, held, "link malformed");
      }
      return;
    case "layer":
    case "revision": {
      const { digest } = link;
      // What older registries stored of content that was pushed as sha512 is a link to its sha256.
      const isAlias = digest.startsWith("sha512:") && held.digest?.startsWith("sha256:") === true;
      if (held.digest === undefined || (held.digest !== digest && !isAlias)) {
        if (await isStored(looking, digest)) (link.kind === "layer" ? look.layers : look.revisions).add(digest);
        await rewrite(looking, look, link, held, "link malformed");
        return;
      }
      if (await isStored(looking, held.digest)) {
        (link.kind === "layer" ? look.layers : look.revisions).add(digest);
        return;
      }
      if ((await driver.head(key)) === undefined) return;
      if (link.kind === "layer") {
        report({
          kind: "link leads nowhere",
          ...about,
          digest,
          text: "there is no such blob; to clients it is absent",
        });
      } else {
        const text = "its bytes are missing: push it again, or delete it by its digest";
        report({ kind: "manifest missing", ...about, digest, text });
      }
    }
  }
}

/** A link that holds something else than its path says: the path is right, since the bytes of the digest are stored. */
async function rewrite(
  looking: Looking,
  { name }: RepositoryLook,
  { key, kind, digest }: { readonly key: string; readonly kind: string; readonly digest: Digest },
  { digest: held, etag }: Held,
  finding: FindingKind,
): Promise<void> {
  const text = held === undefined ? "it holds no digest" : `it holds ${held}, which is not what its path says`;
  const revisionOf = kind === "layer" ? {} : { revisionOf: name };
  await reportLink(
    looking,
    { kind: finding, key, repository: name, digest, text },
    { key, digest, etag, ...revisionOf },
  );
}
