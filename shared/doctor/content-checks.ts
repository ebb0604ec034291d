/** Whether what was pushed comes back as it was, by every way on which clients ask for it. */
import { payload, payloadOf, type Payload, type Reply } from "./client.ts";
import { fail, note, ofEach, pass, textOf } from "./findings.ts";
import { AGENTS, type Address, type Check, type Finding, type Visit } from "./visit.ts";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const TAG = "doctor";
/** Comes after it in a list. */
const SECOND_TAG = "doctor-2";
const BLOB_BYTES = 100_000;
/** Near the most that a manifest may have, and that API Gateway and Lambda carry. */
const LARGE_MANIFEST_BYTES = 4_000_000;

/** Pushes a blob and a manifest on it; gives both. Undefined where that cannot be done: the checks for uploads say why. */
async function pushImage(visit: Visit, annotation: string): Promise<{ blob: Payload; manifest: Payload } | undefined> {
  const blob = payload(BLOB_BYTES);
  const begun = await visit.beginUpload(visit.registry, AGENTS.unknown);
  if ("refused" in begun) return undefined;
  const stored = await visit.endUpload(begun.location, blob, true);
  if (stored.status !== 201) return undefined;
  const descriptor = `{ "mediaType":"application/octet-stream",\t"digest": "${blob.digest}", "size":${blob.size} }`;
  // Spaces, line ends, escapes and letters as no program would write them: a digest is of bytes, not of what they mean.
  const text = `{\r\n "schemaVersion" : 2,\n\t"mediaType": "${MANIFEST_TYPE}", "config":${descriptor},
  "layers":[ ${descriptor} ], "annotations" : {"doctor":"\\u00e9 é \\/ ${annotation}"}  }\n\n`;
  return { blob, manifest: payloadOf(Buffer.from(text)) };
}

async function putManifest(visit: Visit, address: Address, reference: string, manifest: Payload): Promise<Reply> {
  const reply = await visit.ask("PUT", address, visit.path(`manifests/${reference}`), {
    headers: { "content-type": MANIFEST_TYPE },
    body: manifest,
  });
  if (reply.status === 201) visit.pushedManifest(manifest.digest);
  return reply;
}

const bytesOf = (sent: Payload): Buffer => Buffer.concat([...sent.bytes()]);

/** What is pushed for the checks that follow. */
interface Image {
  readonly blob: Payload;
  readonly manifest: Payload;
}
const images = new WeakMap<Visit, Image>();

const manifestBytes: Check = {
  name: "manifest-bytes",
  run: async (visit) => {
    const image = await pushImage(visit, "");
    if (image === undefined) return [fail("no blob can be pushed", "see the checks of uploads")];
    images.set(visit, image);
    await putManifest(visit, visit.registry, SECOND_TAG, image.manifest);
    const put = await putManifest(visit, visit.registry, TAG, image.manifest);
    if (put.status !== 201) {
      return [fail(`a manifest is refused with ${put.status}: ${textOf(put.body)}`, "something changes what is sent")];
    }
    return await ofEach(visit, async (address) => {
      const got = await visit.ask("GET", address, visit.path(`manifests/${TAG}`), {
        headers: { accept: MANIFEST_TYPE },
      });
      if (got.status !== 200) return fail(`a manifest that was pushed is answered ${got.status}`, "the log says why");
      if (!got.body.equals(bytesOf(image.manifest))) {
        return fail(
          "a manifest comes back with other bytes",
          "something in front changes text: digests will not match",
        );
      }
      const type = got.header("content-type");
      return type === MANIFEST_TYPE
        ? pass("a manifest comes back byte for byte")
        : fail(`a manifest comes back as ${type ?? "no type"}`, "something in front changes Content-Type");
    });
  },
};

const manifestHead: Check = {
  name: "manifest-head",
  run: async (visit) => {
    const size = images.get(visit)?.manifest.size;
    return await ofEach(visit, async (address) => {
      const head = await visit.ask("HEAD", address, visit.path(`manifests/${TAG}`), {
        headers: { accept: MANIFEST_TYPE },
      });
      const [length, digest] = [head.header("content-length"), head.header("docker-content-digest")];
      if (head.status === 200 && length === String(size) && digest !== undefined)
        return pass("HEAD of a manifest has its length");
      return fail(
        `HEAD of a manifest: ${head.status}, Content-Length ${length ?? "missing"} (it is ${size}), digest ${digest ?? "missing"}`,
        "containerd and others take sizes from here: use another front door (-c frontDoor=cloudfront) or the uploads address",
      );
    });
  },
};

const largeManifest: Check = {
  name: "large-manifest",
  run: async (visit) => {
    const image = await pushImage(visit, "x".repeat(LARGE_MANIFEST_BYTES - 1000));
    if (image === undefined) return [fail("no blob can be pushed", "see the checks of uploads")];
    const put = await putManifest(visit, visit.registry, image.manifest.digest, image.manifest);
    const advice = "large indexes and artifacts will fail here; the uploads address may take them";
    if (put.status !== 201) return [fail(`a manifest of 4 MB is refused with ${put.status}`, advice)];
    return await ofEach(visit, async (address) => {
      const got = await visit.ask("GET", address, visit.path(`manifests/${image.manifest.digest}`));
      return got.status === 200 && got.body.equals(bytesOf(image.manifest))
        ? pass("a manifest of 4 MB can be pushed and pulled")
        : fail(`a manifest of 4 MB is answered ${got.status} with ${got.body.length} bytes`, advice);
    });
  },
};

/** A request for the blob, and where it leads: the answer of the registry, and that of the store where it sends one there. */
async function fetchBlob(
  visit: Visit,
  address: Address,
  method: "GET" | "HEAD",
  headers: Record<string, string> = {},
): Promise<{ first: Reply; last: Reply }> {
  const first = await visit.ask(method, address, visit.path(`blobs/${images.get(visit)?.blob.digest}`), { headers });
  const location = first.header("location");
  if (first.status < 300 || first.status >= 400 || location === undefined) return { first, last: first };
  return { first, last: await visit.askAnybody(method, new URL(location, `${address.url}/`).href, { headers }) };
}

function redirected({ status }: Reply): string {
  return status === 307 ? "by a redirect" : "through the registry";
}

const STORE_ADVICE =
  "the store refuses what the registry signed, or it is changed on its way: check the function's role, its clock and the bucket's policy";

const download: Check = {
  name: "download",
  run: async (visit) => {
    const { blob } = images.get(visit) ?? {};
    if (blob === undefined) return [];
    return await ofEach(visit, async (address): Promise<Finding> => {
      const { first, last } = await fetchBlob(visit, address, "GET");
      if (first.status !== 200 && first.status !== 307)
        return fail(`a blob is answered ${first.status}`, "the log says why");
      if (first.status === 307 && first.header("location") === undefined) {
        return fail(
          "a redirect comes without its Location",
          "something in front removes it: set storage.redirect.disable",
        );
      }
      if (last.status !== 200 || !last.body.equals(bytesOf(blob))) {
        return fail(
          `a blob is answered ${last.status} ${redirected(first)}, with ${last.body.length} bytes`,
          STORE_ADVICE,
        );
      }
      return first.status === 307
        ? pass("blobs are downloaded from the store")
        : note("blobs pass through the registry", "on Lambda a layer above 4.4 MB cannot: leave redirects on");
    });
  },
};

const ranges: Check = {
  name: "ranges",
  run: async (visit) => {
    const { blob } = images.get(visit) ?? {};
    if (blob === undefined) return [];
    return await ofEach(visit, async (address) => {
      const { first, last } = await fetchBlob(visit, address, "GET", { range: "bytes=1000-1999" });
      return last.status === 206 && last.body.equals(bytesOf(blob).subarray(1000, 2000))
        ? pass("a part of a blob can be downloaded")
        : fail(
            `a range of a blob is answered ${last.status} ${redirected(first)}, with ${last.body.length} bytes`,
            "downloads that break off begin anew, and lazy pulling does not work",
          );
    });
  },
};

const blobHead: Check = {
  name: "blob-head",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const { first, last } = await fetchBlob(visit, address, "HEAD");
      const length = last.header("content-length");
      if (last.status === 200 && length === String(BLOB_BYTES)) return pass("HEAD of a blob has its length");
      return fail(
        `HEAD of a blob: ${last.status} ${redirected(first)}, Content-Length ${length ?? "missing"} (it is ${BLOB_BYTES})`,
        "set storage.redirect.head if something in front spoils the length, and see the bucket's policy if it is 403",
      );
    }),
};

const paths: Check = {
  name: "paths",
  run: async (visit) => {
    const name = visit.options.repository;
    const [tags, tagged] = [`tags/list`, `manifests/${TAG}`];
    const status = async (path: string): Promise<number> => (await visit.ask("GET", visit.registry, path)).status;
    const findings: Finding[] = [];
    const plain = await status(`/v2/${name}/${tags}`);
    if (plain !== 200) findings.push(fail(`the list of tags is answered ${plain}`, "the log says why"));
    const twice = await status(`/v2/${name.replaceAll("/", "%252F")}/${tags}`);
    if (twice === 200) {
      findings.push(
        note("the path is decoded twice on its way", "harmless: access is asked for what is decoded in the end"),
      );
    }
    const cut = await status(`/v2/${name}/${tagged}%3Fx`);
    if (cut === 200) {
      findings.push(
        note("what follows an encoded question mark is cut off", "harmless: no name, tag or digest has one"),
      );
    }
    // An encoded letter, and a parameter after it: both have to arrive as they are.
    const query = await visit.ask("GET", visit.registry, `/v2/${name}/${tags}?last=%64octor&n=1`);
    if (query.status !== 200 || !query.body.includes(`["${SECOND_TAG}"]`)) {
      findings.push(
        fail(`a page of tags is answered ${query.status} ${textOf(query.body)}`, "something changes or drops queries"),
      );
    }
    return findings.length > 0 ? findings : [pass("paths and queries arrive as they are sent")];
  },
};

/** In the order in which they are run: the first pushes what the others ask for. */
export const CONTENT_CHECKS: readonly Check[] = [
  manifestBytes,
  manifestHead,
  largeManifest,
  download,
  ranges,
  blobHead,
  paths,
];
