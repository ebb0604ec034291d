/** Other registries over a folder or a bucket, as they come: the ones that Lading's storage has to be exchangeable with. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { Api } from "./api.ts";
import { storageSection, type LadingOptions } from "./lading.ts";
import { runAny, startDaemon, type Finished } from "./process.ts";
import { tool } from "./tools.ts";

export interface PeerKind {
  readonly name: string;
  readonly program: string;
  /** Deletes a tag and keeps its manifest. */
  readonly deletesTags: boolean;
  /** What makes a folder a repository to its catalog. */
  readonly repositoryMark: "_layers" | "_manifests";
  /** On S3 it takes a blob without bytes. */
  readonly storesEmptyBlobsOnS3: boolean;
  /** On S3 its list of tags has not all of them. */
  readonly losesTagsOnS3: boolean;
}

export const PEERS: readonly PeerKind[] = [
  {
    name: "docker-registry 2.8",
    program: "docker-registry",
    deletesTags: false,
    repositoryMark: "_layers",
    storesEmptyBlobsOnS3: false,
    losesTagsOnS3: false,
  },
  {
    name: "registry 3.1",
    program: "registry-3",
    deletesTags: true,
    repositoryMark: "_manifests",
    storesEmptyBlobsOnS3: true,
    losesTagsOnS3: true,
  },
];

/** `storage.s3` of its configuration. */
export type S3Parameters = Readonly<Record<string, string | number | boolean>>;

export interface Peer {
  /** Scheme, host and port. */
  readonly url: string;
  readonly api: Api;
  readonly lines: readonly string[];
  stop(): Promise<void>;
}

export interface PeerOptions {
  /** The root of the storage; or, to be on a bucket, the settings of its driver for S3. */
  readonly root?: string | S3Parameters;
  /** A bucket instead of a folder; `root` is below it. */
  readonly bucket?: LadingOptions["bucket"];
  /** For its configuration. */
  readonly folder: string;
  /** Purge uploads that are older than this as soon as it has started. */
  readonly purgeOlderThan?: string;
  /** Hand out the bytes of blobs itself, where it could redirect. */
  readonly streams?: boolean;
}

export async function startPeer({ program }: PeerKind, options: PeerOptions): Promise<Peer> {
  const file = await writeConfig(program, options);
  const announced = /listening on (127\.0\.0\.1:\d+)/;
  const daemon = await startDaemon([tool(program), "serve", file], {
    env: { OTEL_TRACES_EXPORTER: "none" },
    ready: ({ lines }) => lines.some((line) => announced.test(line)),
  });
  const host = daemon.lines.map((line) => announced.exec(line)?.[1]).find((found) => found !== undefined) ?? "";
  const url = `http://${host}`;
  return {
    url,
    api: new Api({ url }),
    lines: daemon.lines,
    stop: async () => {
      await daemon.stop("SIGKILL");
    },
  };
}

/** Its `garbage-collect`, while nothing serves the storage. */
export async function collectGarbage(
  { program }: PeerKind,
  options: PeerOptions,
  ...flags: string[]
): Promise<Finished> {
  const file = await writeConfig(program, options);
  return await runAny([tool(program), "garbage-collect", ...flags, file], { env: { OTEL_TRACES_EXPORTER: "none" } });
}

async function writeConfig(program: string, options: PeerOptions): Promise<string> {
  const { folder, root, bucket, purgeOlderThan, streams = false } = options;
  const file = path.join(folder, `${program}${streams ? "-streams" : ""}.yml`);
  const config = {
    version: 0.1,
    log: { level: "info" },
    storage: {
      ...(typeof root === "object" ? { s3: root } : storageSection({ root, bucket })),
      redirect: { disable: streams },
      // Its own default is the number of cores. 2.8 takes the key for a second driver, and ends.
      ...(program === "registry-3" ? { tag: { concurrencylimit: 8 } } : {}),
      delete: { enabled: true },
      maintenance: {
        uploadpurging:
          purgeOlderThan === undefined
            ? { enabled: false }
            : { enabled: true, age: purgeOlderThan, interval: "24h", dryrun: false },
      },
    },
    http: { addr: "127.0.0.1:0", secret: "of-the-test" },
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}
