/** The two registries that are measured: on one bucket, through one proxy that counts. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { RegistryParts } from "../../../shared/registry/registry.ts";
import { MemoryBudget } from "../../../shared/storage/memory-budget.ts";
import { S3Driver } from "../../../shared/storage/s3/driver.ts";
import { createTestApp, replyOf, type Send } from "../../support/app.ts";
import { PEERS, startPeer, type Peer } from "../../support/peers.ts";
import { startS3Proxy, type RecordedRequest } from "../../support/s3-proxy.ts";
import { sharedVersitygw } from "../../support/s3-servers.ts";
import { s3Settings } from "../../support/s3-stores.ts";
import { removeFolder, temporaryFolder } from "../../support/temp.ts";

const MIB = 1024 * 1024;
/** What both come with. */
const PART_BYTES = 10 * MIB;
const COPY_BYTES = 32 * MIB;

export const REGISTRIES = ["Lading", "registry 3.1"] as const;
export type RegistryName = (typeof REGISTRIES)[number];

/** Where the bytes of blobs come from: the store, at a signed URL, or the registry itself. */
export type Downloads = "redirected" | "streamed";

/** What a registry of ours may be told. */
export type RegistrySettings = Pick<RegistryParts, "isImmutable" | "tagsExpire" | "recordPulls">;

/** The bench of all rows. */
export interface Bench {
  /** A process that has answered nothing yet and remembers nothing. `settings`: of ours. */
  fresh(registry: RegistryName, downloads: Downloads, settings?: RegistrySettings): Send;
  /** What `work` asks of the store, in rounds. */
  inRounds(work: () => Promise<unknown>, silenceMs?: number): Promise<RecordedRequest[][]>;
  /** Puts objects into the bucket past all registries. */
  seed(objects: Iterable<readonly [key: string, content: string]>): void;
  close(): Promise<void>;
}

/** Starts all of it. Takes seconds. */
export async function startBench(): Promise<Bench> {
  const server = await sharedVersitygw();
  const bucket = await server.freshBucket();
  const proxy = await startS3Proxy(server);
  const folder = await temporaryFolder();
  const { endpoint, region, accessKeyId, secretAccessKey } = proxy;
  const peer = async (streams: boolean): Promise<Peer> => {
    const [, newest] = PEERS;
    if (newest === undefined) throw new Error("there is no registry 3.1");
    const s3 = {
      ...{ bucket, region, regionendpoint: endpoint, accesskey: accessKeyId, secretkey: secretAccessKey },
      ...{ forcepathstyle: true, secure: false },
    };
    return await startPeer(newest, { root: s3, folder, streams });
  };
  const peers: Record<Downloads, Peer> = { redirected: await peer(false), streamed: await peer(true) };

  const settings = s3Settings(proxy, bucket, {
    partBytes: PART_BYTES,
    copy: { thresholdBytes: COPY_BYTES, partBytes: COPY_BYTES, concurrency: 100 },
  });
  const drivers: S3Driver[] = [];
  const lading = (downloads: Downloads, more: RegistrySettings): Send => {
    const driver = new S3Driver(settings, new MemoryBudget(64 * MIB, 5000));
    drivers.push(driver);
    const redirects = { head: false, includes: () => true };
    return createTestApp(driver, {
      registry: { catalog: "index", ...more },
      settings: downloads === "redirected" ? { redirects } : {},
    }).send;
  };
  return {
    fresh: (registry, downloads, more = {}) =>
      registry === "Lading" ? lading(downloads, more) : overHttp(peers[downloads].url),
    inRounds: async (work, silenceMs) => await proxy.inRounds(work, silenceMs),
    seed: (objects) => {
      for (const [key, content] of objects) {
        // versitygw has a file for each object; through its API this would take minutes.
        const file = path.join(server.folder, "data", bucket, key);
        mkdirSync(path.dirname(file), { recursive: true });
        writeFileSync(file, content);
      }
    },
    close: async () => {
      for (const each of drivers) each.close();
      await Promise.all(Object.values(peers).map(async (each) => await each.stop()));
      await proxy.close();
      await removeFolder(folder);
    },
  };
}

function overHttp(url: string): Send {
  return async (method, path_, { headers = {}, body } = {}) => {
    const streamed = body !== undefined && typeof body !== "string" && !(body instanceof Uint8Array);
    const response = await fetch(new URL(path_, url), {
      method,
      headers,
      redirect: "manual",
      ...(body === undefined ? {} : { body: streamed ? ReadableStream.from(body) : body }),
      ...(streamed ? { duplex: "half" } : {}),
    });
    return replyOf(response.status, response.headers, Buffer.from(await response.arrayBuffer()));
  };
}
