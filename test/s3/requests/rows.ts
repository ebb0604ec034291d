/** What is measured: a row of docs/requests.md each. */
import { randomBytes } from "node:crypto";
import { sha256 } from "../../support/bodies.ts";
import { descriptorOf, indexOf, referrerOf } from "../../support/manifests.ts";
import { blobsOf, freshImage, locationOf, type Client, type TestImage } from "./client.ts";
import { PULLS, PUSHES } from "./families.ts";
import type { Downloads, RegistrySettings } from "./registries.ts";
import { SEEDED } from "./seeded.ts";

/** A row, as it is measured on each registry. */
export interface Row {
  readonly name: string;
  /** Default "redirected". */
  readonly downloads?: Downloads;
  /** Where it is not one of its own. */
  readonly repository?: string;
  /** The process has prepared what it is asked for, and may remember it. Else it has just started. */
  readonly warm?: boolean;
  /** What ours is told; 3.1 knows of none of it, and is asked the same. */
  readonly settings?: RegistrySettings;
  /** What the row may take of the store, whatever the other registry takes. */
  readonly atMost?: { readonly trips?: number; readonly lists?: number };
  /** Prepares a repository of its own; gives what is measured then, by `client`. */
  readonly prepare: (client: Client) => Promise<(client: Client) => Promise<unknown>>;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const SMALL = 200 * KIB;
const LARGE = 40 * MIB;
/** The layers of the image that is pushed and pulled whole, in bytes. */
const LAYERS = [20 * MIB, 4 * MIB, MIB, SMALL, 2 * KIB];

const IMMUTABLE: RegistrySettings = { isImmutable: () => true };

/** What stands under these headings is too long to be told request by request. */
export const WHOLE = { pushes: "Whole pushes of an image of 5 layers", pulls: "Whole pulls of an image of 5 layers" };

/** Rows by the headings that they stand under. */
export const ROWS: Readonly<Record<string, readonly Row[]>> = {
  Reading: [
    { ...row("GET /v2/", async () => async (client) => await client.ping()), atMost: { trips: 0 } },
    { ...ofBlob("HEAD of a blob", async (client, blob) => await client.head(blob)), atMost: { trips: 1 } },
    ofBlob("HEAD of a blob that is not there", async (client) => await client.head(randomBytes(10), 404)),
    {
      ...ofBlob("GET of a blob, redirected", async (client, blob) => {
        await client.ask([200, 307], "GET", `blobs/${sha256(blob)}`);
      }),
      atMost: { trips: 1 },
    },
    {
      ...ofBlob("GET of a blob, streamed", async (client, blob) => {
        await client.ask([200], "GET", `blobs/${sha256(blob)}`);
      }),
      downloads: "streamed",
    },
    {
      ...ofBlob("GET of a blob with Range, streamed", async (client, blob) => {
        await client.ask([206], "GET", `blobs/${sha256(blob)}`, { headers: { Range: "bytes=1000-1999" } });
      }),
      downloads: "streamed",
    },
    ...(["HEAD", "GET"] as const).flatMap((method) => [
      {
        ...ofImage(`${method} of a manifest by digest`, async (client, { manifest }) => {
          await client.manifest(method, manifest.digest);
        }),
        atMost: { trips: 1 },
      },
      {
        ...ofImage(`${method} of a manifest by tag`, async (client) => await client.manifest(method, "v1")),
        atMost: { trips: 2 },
      },
    ]),
    {
      ...row("GET of a manifest by tag, the second time", async (client) => {
        await client.pushImage(freshImage([SMALL]));
        await client.manifest("GET", "v1");
        return async (again) => await again.manifest("GET", "v1");
      }),
      warm: true,
    },
    ...pullsRecorded(),
    ofImage("GET of a tag that is not there", async (client) => await client.manifest("GET", "v2", 404)),
  ],

  Uploading: [
    row("POST", async () => async (client) => await client.start()),
    row("PUT of 200 KiB after a POST", async (client) => {
      const [blob, location] = [randomBytes(SMALL), await client.start()];
      return async (other) => await other.finish(location, blob, blob);
    }),
    row("PUT of 40 MiB after a POST", async (client) => {
      const [blob, location] = [randomBytes(LARGE), await client.start()];
      return async (other) => await other.finish(location, blob, blob);
    }),
    row("one POST of 200 KiB (or POST and PUT)", async () => async (client) => await client.post(randomBytes(SMALL))),
    row("one POST of 40 MiB (or POST and PUT)", async () => async (client) => await client.post(randomBytes(LARGE))),
    ofPatch("PATCH of 2 KiB", 2 * KIB),
    ofPatch("PATCH of 200 KiB", SMALL),
    ofPatch("PATCH of 40 MiB", LARGE),
    afterPatch("PUT after a PATCH of 2 KiB", 2 * KIB),
    afterPatch("PUT after a PATCH of 200 KiB", SMALL),
    afterPatch("PUT after a PATCH of 40 MiB", LARGE),
    row("POST, 4 PATCH of 1 MiB with Content-Range, PUT", chunked(4, MIB)),
    row("POST, 4 PATCH of 6 MiB with Content-Range, PUT", chunked(4, 6 * MIB)),
    row("GET of an upload's status", async (client) => {
      const location = await client.patch(await client.start(), randomBytes(SMALL), "streamed");
      return async (other) => await other.ask([204], "GET", location);
    }),
    row("DELETE of an upload", async (client) => {
      const location = await client.patch(await client.start(), randomBytes(SMALL), "streamed");
      return async (other) => await other.ask([204], "DELETE", location);
    }),
    row("POST that mounts a blob", async (client) => {
      const blob = randomBytes(SMALL);
      const source = client.of(`${client.repository}-source`);
      await source.put(blob);
      return async (other) => {
        await other.ask([201], "POST", `blobs/uploads/?mount=${sha256(blob)}&from=${source.repository}`);
      };
    }),
    row("POST that finds nothing to mount", async (client) => async (other) => {
      await other.ask([202], "POST", `blobs/uploads/?mount=${sha256(randomBytes(9))}&from=${client.repository}-other`);
    }),
    row("POST that mounts from anywhere (or POST and PUT)", async (client) => {
      const blob = randomBytes(SMALL);
      await client.of(`${client.repository}-source`).put(blob);
      return async (other) => {
        const reply = await other.ask([201, 202], "POST", `blobs/uploads/?mount=${sha256(blob)}`);
        if (reply.status === 202) await other.finish(locationOf(reply), blob, blob);
      };
    }),
    ofBlob("DELETE of a blob", async (client, blob) => {
      await client.ask([202], "DELETE", `blobs/${sha256(blob)}`);
    }),
  ],

  Manifests: [
    ofBlobs("PUT of an image of 5 layers by tag", async (client, { manifest }) => {
      await client.putManifest("v1", manifest);
    }),
    ofBlobs("PUT of an image of 5 layers by digest", async (client, { manifest }) => {
      await client.putManifest(manifest.digest, manifest);
    }),
    ofBlobs("PUT of an image of 5 layers by digest with 3 tags (or 3 PUT by tag)", async (client, { manifest }) => {
      const tags = ["1", "1.2", "1.2.3"];
      const reply = await client.putManifest(
        `${manifest.digest}?${tags.map((tag) => `tag=${tag}`).join("&")}`,
        manifest,
      );
      if (reply.header("oci-tag") === null) for (const tag of tags) await client.putManifest(tag, manifest);
    }),
    row("PUT of an index of 2 images by tag", async (client) => {
      const images = [freshImage([SMALL]), freshImage([SMALL])];
      for (const image of images) await client.pushImage(image, image.manifest.digest);
      const index = indexOf(images.map(({ manifest }) => manifest));
      return async (other) => await other.putManifest("v1", index);
    }),
    row("PUT of a manifest with a subject by digest", async (client) => {
      const [subject, config] = [freshImage([SMALL]), randomBytes(100)];
      await client.pushImage(subject);
      await client.put(config);
      const referrer = referrerOf(subject.manifest.descriptor, "test/signature", { config: descriptorOf(config) });
      return async (other) => await other.putManifest(referrer.digest, referrer);
    }),
    ofImage("PUT of a manifest that is there, by the same tag", async (client, { manifest }) => {
      await client.putManifest("v1", manifest);
    }),
    {
      ...ofBlobs("PUT of an image of 5 layers by tag, which is immutable", async (client, { manifest }) => {
        await client.putManifest("v1", manifest);
      }),
      settings: IMMUTABLE,
    },
    {
      ...ofImage(
        "PUT of a manifest that is there, by the same tag, which is immutable",
        async (client, { manifest }) => {
          await client.putManifest("v1", manifest);
        },
      ),
      settings: IMMUTABLE,
    },
    {
      ...ofBlobs("PUT of an image of 5 layers by tag, where retention takes tags", async (client, { manifest }) => {
        await client.putManifest("v1", manifest);
      }),
      settings: { tagsExpire: true },
    },
    ofTags("DELETE of a tag", async (client) => await client.ask([202], "DELETE", "manifests/2")),
    ofTags("DELETE of a manifest, named by 1 tag of 10", async (client, { manifest }) => {
      await client.ask([202], "DELETE", `manifests/${manifest.digest}`);
    }),
  ],

  Listing: [
    {
      ...row("tags, 1,000 of 1,000", listing("tags/list?n=1000", "tags", 1000)),
      repository: SEEDED.thousandTags,
      atMost: { lists: 1 },
    },
    {
      ...row("tags, 1,000 of 2,000", listing("tags/list?n=1000", "tags", 1000)),
      repository: SEEDED.manyTags,
      atMost: { lists: 1 },
    },
    {
      ...row("tags, 1,000 of 2,000, with dots in them", async () => async (client) => {
        await client.ask([200], "GET", "tags/list?n=1000"); // registry 3.1 gives 10 of these names
      }),
      repository: SEEDED.dottedTags,
    },
    row("tags, all of 3", async (client) => {
      const image = freshImage([SMALL]);
      await client.pushImage(image, "1");
      for (const tag of ["2", "3"]) await client.putManifest(tag, image.manifest);
      return listed("tags/list", "tags", 3);
    }),
    {
      ...row(
        "_catalog, 1,000 of 10,000, first page of a new process",
        listing("/v2/_catalog?n=1000", "repositories", 1000),
      ),
      atMost: { lists: 1 },
    },
    {
      ...row("_catalog, 1,000 of 10,000, a later page", async (client) => {
        await listed("/v2/_catalog?n=1", "repositories", 1)(client);
        return listed(`/v2/_catalog?n=1000&last=${SEEDED.repository(SEEDED.laterPage)}`, "repositories", 1000);
      }),
      warm: true,
      atMost: { lists: 1 },
    },
    row("referrers, 1 (or the fallback tag)", referrers(1)),
    row("referrers, 5 (or the fallback tag)", referrers(5)),
    ofImage("referrers, none (or the fallback tag)", async (client, { manifest }) => {
      await askReferrers(client, manifest.digest, [404]);
    }),
  ],

  [WHOLE.pushes]: Object.entries(PUSHES).map(([name, push]) =>
    row(name, async () => async (client) => await push(client, freshImage(LAYERS))),
  ),

  [WHOLE.pulls]: Object.entries(PULLS).map(([name, pull]) =>
    row(name, async (client) => {
      const image = freshImage(LAYERS);
      await client.pushImage(image);
      return async (other) => await pull(other, image);
    }),
  ),
};

function row(name: string, prepare: Row["prepare"]): Row {
  return { name, prepare };
}

/** By digest, as functions record them: before they answer. */
function pullsRecorded(): Row[] {
  const pulled = (name: string, before: number, warm: boolean): Row => ({
    ...row(`GET of a manifest by digest, pulls recorded, ${name}`, async (client) => {
      const image = freshImage([SMALL]);
      const { digest } = image.manifest;
      await client.pushImage(image);
      for (let times = 0; times < before; times++) await client.manifest("GET", digest);
      return async (other) => await other.manifest("GET", digest);
    }),
    settings: { recordPulls: "before the answer" },
    warm,
  });
  return [
    pulled("the first of the day", 0, false),
    pulled("the first by a process", 1, false),
    pulled("the second by a process", 1, true),
  ];
}

/** About a blob that is there. */
function ofBlob(name: string, ask: (client: Client, blob: Buffer) => Promise<unknown>): Row {
  return row(name, async (client) => {
    const blob = randomBytes(SMALL);
    await client.put(blob);
    return async (other) => await ask(other, blob);
  });
}

/** About an image that is there, under the tag `v1`. */
function ofImage(name: string, ask: (client: Client, image: TestImage) => Promise<unknown>): Row {
  return row(name, async (client) => {
    const image = freshImage([SMALL]);
    await client.pushImage(image);
    return async (other) => await ask(other, image);
  });
}

/** About an image of 5 layers, of which all is there but the manifest. Other images are. */
function ofBlobs(name: string, ask: (client: Client, image: TestImage) => Promise<unknown>): Row {
  return row(name, async (client) => {
    const image = freshImage([SMALL, SMALL, SMALL, SMALL, SMALL]);
    await client.pushImage(freshImage([SMALL]), "older");
    for (const blob of blobsOf(image)) await client.put(blob);
    return async (other) => await ask(other, image);
  });
}

/** About the second of ten images, each under a tag of its own. */
function ofTags(name: string, ask: (client: Client, image: TestImage) => Promise<unknown>): Row {
  return row(name, async (client) => {
    const images = Array.from({ length: 10 }, () => freshImage([10]));
    for (const [i, image] of images.entries()) await client.pushImage(image, String(i + 1));
    return async (other) => await ask(other, images[1] as TestImage);
  });
}

/** A stream, as the clients send it that do not know the digest yet. */
function ofPatch(name: string, size: number): Row {
  return row(name, async (client) => {
    const location = await client.start();
    return async (other) => await other.patch(location, randomBytes(size), "streamed");
  });
}

function afterPatch(name: string, size: number): Row {
  return row(name, async (client) => {
    const blob = randomBytes(size);
    const location = await client.patch(await client.start(), blob, "streamed");
    return async (other) => await other.finish(location, blob);
  });
}

function chunked(count: number, size: number): Row["prepare"] {
  return async () => async (client) => {
    const blob = randomBytes(count * size);
    let location = await client.start();
    for (let start = 0; start < blob.length; start += size) {
      location = await client.patch(location, blob.subarray(start, start + size), { start });
    }
    await client.finish(location, blob);
  };
}

function listing(path: string, field: string, count: number): Row["prepare"] {
  return async () => listed(path, field, count);
}

function listed(path: string, field: string, count: number): (client: Client) => Promise<void> {
  return async (client) => {
    const found = (await client.ask([200], "GET", path)).json() as Record<string, string[]>;
    if (found[field]?.length !== count) throw new Error(`${path}: ${String(found[field]?.length)} names`);
  };
}

/** A registry that has no referrers API has them in an index under a tag, which the clients keep. */
function referrers(count: number): Row["prepare"] {
  return async (client) => {
    const subject = freshImage([SMALL]);
    await client.pushImage(subject);
    const config = randomBytes(100);
    await client.put(config);
    const all = Array.from({ length: count }, (_, number) =>
      referrerOf(subject.manifest.descriptor, "test/signature", {
        config: descriptorOf(config),
        annotations: { number: String(number) },
      }),
    );
    let served = true;
    for (const referrer of all) {
      served = (await client.putManifest(referrer.digest, referrer)).header("oci-subject") !== null;
    }
    if (!served) await client.putManifest(fallbackTag(subject.manifest.digest), indexOf(all));
    return async (other) => await askReferrers(other, subject.manifest.digest);
  };
}

async function askReferrers(client: Client, subject: string, fallback: readonly number[] = [200]): Promise<void> {
  const { status } = await client.ask([200, 404], "GET", `referrers/${subject}`);
  if (status === 404) await client.ask(fallback, "GET", `manifests/${fallbackTag(subject)}`);
}

const fallbackTag = (subject: string): string => subject.replace(":", "-");
