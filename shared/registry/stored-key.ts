/** Reading keys: what lies under a key that a listing gave. The other direction of `layout`. */
import { digestFrom, type Digest } from "../oci/digest.ts";
import { layout, nameEnd } from "./layout.ts";

/** What a key below `layout.repositories` is. The name of the repository is as it is stored, by whichever registry. */
export type RepositoryKey =
  | { readonly kind: "layer" | "revision"; readonly repository: string; readonly digest: Digest }
  /** A link by a digest of an algorithm that we do not know, or the signature of a schema 1 manifest. */
  | {
      readonly kind: "foreign-link";
      readonly repository: string;
      readonly signature: Digest | undefined;
      /** Does it make something a manifest of the repository? */
      readonly isRevision: boolean;
    }
  | { readonly kind: "tag"; readonly repository: string; readonly tag: string }
  | { readonly kind: "referrer"; readonly repository: string; readonly subject: Digest; readonly referrer: Digest }
  | { readonly kind: "upload"; readonly repository: string; readonly id: string; readonly file: string }
  | { readonly kind: "other" };

const OTHER: RepositoryKey = { kind: "other" };

/** What a key below `layout.repositories` is. */
export function repositoryKeyOf(key: string): RepositoryKey {
  const split = nameEnd(key);
  if (split < 0) return OTHER;
  const repository = key.slice(layout.repositories.length, split);
  const steps = key.slice(split + 1).split("/");
  const [area = "", first = "", second = "", third = "", fourth = ""] = steps;
  const last = steps.at(-1);
  switch (area) {
    case "_layers":
      if (steps.length !== 4 || third !== "link") return OTHER;
      return linkOf("layer", repository, first, second);
    case "_manifests":
      if (first === "tags") {
        return steps.length === 5 && third === "current" && fourth === "link"
          ? { kind: "tag", repository, tag: second }
          : OTHER;
      }
      if (first !== "revisions" || last !== "link") return OTHER;
      if (steps.length === 5) return linkOf("revision", repository, second, third);
      return steps.length === 8 && fourth === "signatures"
        ? { kind: "foreign-link", repository, signature: digestFrom(`${steps[5]}:${steps[6]}`), isRevision: false }
        : OTHER;
    case "_referrers": {
      const subject = digestFrom(`${first}:${second}`);
      const referrer = digestFrom(`${third}:${fourth}`);
      if (steps.length !== 6 || last !== "link" || subject === undefined || referrer === undefined) return OTHER;
      return { kind: "referrer", repository, subject, referrer };
    }
    case "_uploads":
      return first === "" || steps.length < 3
        ? OTHER
        : { kind: "upload", repository, id: first, file: steps.slice(2).join("/") };
    default:
      return OTHER;
  }
}

/** The digest whose bytes lie under a key below `layout.blobs`; undefined for anything else that lies there. */
export function blobKeyOf(key: string): Digest | undefined {
  const [algorithm, start = "", hex, file, ...more] = key.slice(layout.blobs.length).split("/");
  const digest = file === "data" && more.length === 0 ? digestFrom(`${algorithm}:${hex}`) : undefined;
  return digest !== undefined && hex?.startsWith(start) === true && start.length === 2 ? digest : undefined;
}

function linkOf(kind: "layer" | "revision", repository: string, algorithm: string, hex: string): RepositoryKey {
  const digest = digestFrom(`${algorithm}:${hex}`);
  return digest === undefined
    ? { kind: "foreign-link", repository, signature: undefined, isRevision: kind === "revision" }
    : { kind, repository, digest };
}
