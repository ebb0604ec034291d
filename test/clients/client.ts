/** What a client of the table is to the suites. */
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Credentials } from "../support/api.ts";
import { checkedFile, type Image, type Index } from "../support/images.ts";
import { run } from "../support/process.ts";
import type { UploadFamily } from "./selection.ts";

/** The registry as a client has to be told of it. */
export interface Target {
  readonly host: string;
  readonly plainHttp: boolean;
  readonly caFile: string | undefined;
  readonly user: Credentials | undefined;
}

/** What a pull left with the client. */
export type Pulled =
  /** A client that keeps everything as it came: the digests of what it has now, by its own bytes. */
  | { readonly kind: "exact"; readonly digests: readonly string[] }
  /** A client that unpacks layers: the digests of the tars inside. */
  | { readonly kind: "unpacked"; readonly diffIds: readonly string[] };

/** A client that pushes and pulls images. References are complete: host, repository, tag. */
export interface ImageClient {
  readonly name: string;
  /** How it sends blobs: with PATCH, or whole with the last PUT. */
  readonly family: UploadFamily;
  /** Refuses to send a body to another host than the registry's. */
  readonly staysOnHost?: boolean;
  /** Compresses layers itself, so that what it pushes is not what it was given. */
  readonly compresses?: boolean;
  /** Knows images of one platform only. */
  readonly onePlatform?: boolean;
  /** Logs in, where there is a user, and starts what it needs. All of its files go into `folder`. */
  setup(target: Target, folder: string): Promise<ImageSession>;
}

export interface ImageSession {
  readonly push: (image: Image, reference: string) => Promise<void>;
  /** Pulls what the client must not have any more. */
  readonly pull: (reference: string) => Promise<Pulled>;
  readonly pushIndex?: (index: Index, reference: string) => Promise<void>;
  /** Pulls all of an index. */
  readonly pullIndex?: (reference: string) => Promise<Pulled>;
  /** Puts an image that the registry has under another repository's name, so that the client can mount its blobs. */
  readonly mount: (image: Image, from: string, to: string) => Promise<void>;
  readonly list?: (repository: string) => Promise<string[]>;
  /** Deletes the manifest that a tag names. */
  readonly remove?: (reference: string) => Promise<void>;
  readonly close?: () => Promise<void>;
}

/** An environment for a client: nothing of the user's own, everything in `folder`. */
export async function ownEnvironment(folder: string): Promise<Record<string, string>> {
  await mkdir(path.join(folder, "docker"), { recursive: true });
  await mkdir(path.join(folder, "tmp"), { recursive: true });
  const authFile = path.join(folder, "auth.json");
  await writeFile(authFile, "{}");
  return {
    HOME: folder,
    TMPDIR: path.join(folder, "tmp"),
    DOCKER_CONFIG: path.join(folder, "docker"),
    REGISTRY_AUTH_FILE: authFile,
  };
}

/** Makes folders from numbers, each new. */
export function numbered(folder: string): (name: string) => string {
  let count = 0;
  return (name) => path.join(folder, `${name}-${count++}`);
}

/** What an OCI layout holds: every file is read, and must be what its name says. */
export async function layoutContents(folder: string): Promise<Pulled> {
  const blobs = path.join(folder, "blobs/sha256");
  const files = await readdir(blobs);
  return { kind: "exact", digests: (await Promise.all(files.map((f) => checkedFile(path.join(blobs, f))))).sort() };
}

/** The tars of an archive as `docker save` writes it. */
export async function archiveContents(file: string, work: string): Promise<Pulled> {
  await mkdir(work, { recursive: true });
  await run(["tar", "-C", work, "-xf", file]);
  const manifest = await run(["cat", path.join(work, "manifest.json")]);
  const [{ Layers: layers }] = JSON.parse(manifest) as [{ Layers: string[] }];
  const sums = await run(["sha256sum", ...layers], { cwd: work });
  return {
    kind: "unpacked",
    diffIds: sums
      .trim()
      .split("\n")
      .map((line) => `sha256:${line.slice(0, 64)}`),
  };
}

/** What lies in a folder; nothing, where the client has not made it yet. */
export async function namesIn(folder: string): Promise<string[]> {
  return existsSync(folder) ? await readdir(folder) : [];
}

export const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");
