/**
 * Where everything lies: the keys of the CNCF distribution registry (registry:2 and registry:3), byte for byte. The only
 * place that makes keys.
 *
 *     docker/registry/v2/
 *       blobs/<algorithm>/<hex[0:2]>/<hex>/data                                  the bytes of layers, configs and manifests
 *       repositories/<name>/
 *         _layers/<algorithm>/<hex>/link                                         this blob belongs to the repository
 *         _manifests/revisions/<algorithm>/<hex>/link                            this manifest belongs to the repository
 *         _manifests/tags/<tag>/current/link                                     what the tag names
 *         _manifests/tags/<tag>/index/<algorithm>/<hex>/link                     what it has ever named
 *         _uploads/<uuid>/startedat                                              an upload session
 *         _uploads/<uuid>/{state,<uuid>}                                         ours: its state and its bytes
 *         _referrers/<algorithm>/<hex>/<algorithm>/<hex>/link                    ours: subject, then who refers to it
 *       _catalog/repositories/<name>!                                            ours: empty; this repository exists
 *       _catalog/complete                                                        ours: when all of them were listed there
 *       _gc/marks/blobs/<algorithm>/<hex[0:2]>/<hex>                             ours: what a collection thinks of a blob
 *       _gc/marks/revisions/<name>!/<algorithm>/<hex>                            ours: the same of a repository's manifest
 *       _gc/{lease,runs/,references/,trash/}                                     ours: the collector's; see shared/gc
 *
 * A name of one component of 255 characters has no `!` after it: see `ended`.
 *
 * A link holds a digest and nothing else. What is ours lies only where distribution never looks, or where it would delete
 * the whole folder with the session; see docs/storage-layout.md.
 *
 * @see https://github.com/distribution/distribution/blob/v3.1.1/registry/storage/paths.go
 */
import { algorithmOf, hexOf, type Digest } from "../oci/digest.ts";
import { limits } from "../oci/limits.ts";
import { repositoryNameFrom, type RepositoryName, type Tag } from "../oci/reference.ts";

const ROOT = "docker/registry/v2/";

const CATALOG = `${ROOT}_catalog/repositories/`;
/** No character of a name. */
const NAME_END = "!";
const UNDONE = ".undone";

/**
 * A name with its end, so that no key below one name is below another. One component of the full length has no room for an
 * end where keys are paths, whose parts have 255 bytes at most; nor does it need one: no other name begins with it.
 */
function ended(name: string): string {
  return name.length === limits.repositoryName && !name.includes("/") ? name : `${name}${NAME_END}`;
}

const REPOSITORIES = `${ROOT}repositories/`;

/**
 * Where the repository's name ends in a key below `layout.repositories`: at the slash before the first part that begins with
 * an underscore. No component of a name does; what comes after it may, as the tag `_uploads`. -1 in any other key.
 */
export function nameEnd(key: string): number {
  return key.startsWith(REPOSITORIES) ? key.indexOf("/_", REPOSITORIES.length) : -1;
}

const SHARED_FOLDER = /^\/(?:_uploads|_layers(?:\/[a-z0-9]+)?|_manifests(?:\/tags|\/revisions(?:\/[a-z0-9]+)?)?)$/;

/**
 * Must this folder stay when it is empty, where the storage has folders? Other registries make what they need in it in two
 * steps, the folder and then what lies in it, and fail if it goes away in between.
 */
export function isSharedFolder(folder: string): boolean {
  const end = nameEnd(folder);
  return end >= 0 && SHARED_FOLDER.test(folder.slice(end));
}

/** Whether a key belongs to an upload session, or a prefix has nothing else below it. */
export function isUploadKey(key: string): boolean {
  const end = nameEnd(key);
  return end >= 0 && key.startsWith("/_uploads/", end);
}

export const layout = {
  /** All that a registry keeps lies below it. */
  root: ROOT,
  repositories: REPOSITORIES,
  blobs: `${ROOT}blobs/`,

  blob: (digest: Digest) => `${ROOT}blobs/${algorithmOf(digest)}/${hexOf(digest).slice(0, 2)}/${hexOf(digest)}/data`,

  repository: (name: string) => `${ROOT}repositories/${name}/`,
  layerLink: (name: RepositoryName, digest: Digest) => `${ROOT}repositories/${name}/_layers/${pathOf(digest)}/link`,
  revisionLink: (name: RepositoryName, digest: Digest) =>
    `${ROOT}repositories/${name}/_manifests/revisions/${pathOf(digest)}/link`,

  manifests: (name: string) => `${ROOT}repositories/${name}/_manifests/`,
  tags: (name: RepositoryName) => `${ROOT}repositories/${name}/_manifests/tags/`,
  tag: (name: RepositoryName, tag: Tag) => `${ROOT}repositories/${name}/_manifests/tags/${tag}/`,
  tagLink: (name: RepositoryName, tag: Tag) => `${ROOT}repositories/${name}/_manifests/tags/${tag}/current/link`,
  tagHistoryLink: (name: RepositoryName, tag: Tag, digest: Digest) =>
    `${ROOT}repositories/${name}/_manifests/tags/${tag}/index/${pathOf(digest)}/link`,

  catalogEntries: CATALOG,
  /** The end sorts below every character of a name, so that entries lie in the order of names: `a!`, `a-b!`, `a/b!`. */
  catalogEntry: (name: string) => `${CATALOG}${ended(name)}`,
  catalogComplete: `${ROOT}_catalog/complete`,

  /** Below them lie the marks of all blobs, of all manifests, and of all tags. */
  blobMarks: `${ROOT}_gc/marks/blobs/`,
  revisionMarks: `${ROOT}_gc/marks/revisions/`,
  tagMarks: `${ROOT}_gc/marks/tags/`,
  blobMark: (digest: Digest) =>
    `${ROOT}_gc/marks/blobs/${algorithmOf(digest)}/${hexOf(digest).slice(0, 2)}/${hexOf(digest)}`,
  /** The end of the name keeps one repository's marks from being another's folder: `a!/…`, `a/b!/…`. */
  revisionMark: (name: RepositoryName, digest: Digest) => `${ROOT}_gc/marks/revisions/${ended(name)}/${pathOf(digest)}`,
  tagMark: (name: RepositoryName, tag: Tag) => `${ROOT}_gc/marks/tags/${ended(name)}/${tag}`,

  uploads: (name: string) => `${ROOT}repositories/${name}/_uploads/`,
  upload: (name: RepositoryName, id: string) => `${ROOT}repositories/${name}/_uploads/${id}/`,
  uploadStart: (name: RepositoryName, id: string) => `${ROOT}repositories/${name}/_uploads/${id}/startedat`,
  uploadState: (name: RepositoryName, id: string) => `${ROOT}repositories/${name}/_uploads/${id}/state`,

  referrers: (name: RepositoryName, subject: Digest) => `${ROOT}repositories/${name}/_referrers/${pathOf(subject)}/`,
  referrerLink: (name: RepositoryName, subject: Digest, referrer: Digest) =>
    `${ROOT}repositories/${name}/_referrers/${pathOf(subject)}/${pathOf(referrer)}/link`,

  /** The collector's own: who is at work, what each run did, what it knows of manifests, what it set aside. */
  gcLease: `${ROOT}_gc/lease`,
  gcRuns: `${ROOT}_gc/runs/`,
  gcRun: (run: string) => `${ROOT}_gc/runs/${run}/`,
  /** That a run was undone: beside its folder, where who lists the runs sees it. */
  gcUndone: (run: string) => `${ROOT}_gc/runs/${run}${UNDONE}`,
  gcReferences: `${ROOT}_gc/references/`,
  gcTrash: `${ROOT}_gc/trash/`,

  /** What was pulled, by months (`2030-01`), and since when that is recorded. */
  pulls: `${ROOT}_gc/pulls/`,
  pullsSince: `${ROOT}_gc/pulls/since`,
  pull: (month: string, name: RepositoryName, digest: Digest) =>
    `${ROOT}_gc/pulls/${month}/${ended(name)}/${pathOf(digest)}`,
} as const;

/** The name of the repository that a key below `layout.catalogEntries` is the entry of. */
export function catalogEntryName(key: string): RepositoryName | undefined {
  const name = repositoryNameFrom(key.slice(CATALOG.length, key.endsWith(NAME_END) ? -NAME_END.length : undefined));
  return name !== undefined && layout.catalogEntry(name) === key ? name : undefined;
}

/** The run that a key below `layout.gcRuns` says is undone. */
export function undoneRun(key: string): string | undefined {
  return key.endsWith(UNDONE) ? key.slice(layout.gcRuns.length, -UNDONE.length) : undefined;
}

function pathOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest)}`;
}
