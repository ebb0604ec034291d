/** What a client of S3 would like to rely on: each is asked of a server, and gives the same words each time. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  type DeleteObjectCommandInput,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketVersioningCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import * as ask from "./asking.ts";
import {
  begun,
  complete,
  content,
  get,
  list,
  names,
  outcome,
  PART,
  put,
  putting,
  range,
  sha256,
  written,
} from "./asking.ts";
import type { Asked } from "./asking.ts";

const WRONG_ETAG = "0".repeat(32);
const WRONG_SHA256 = sha256("something else");
const LARGE = Buffer.alloc(PART, "p");
const quoted = (etag: string): string => `"${bare(etag)}"`;
const bare = (etag: string): string => etag.replaceAll('"', "");

const deleting = async ({ client, bucket }: Asked, input: Omit<DeleteObjectCommandInput, "Bucket">) =>
  await client.send(new DeleteObjectCommand({ Bucket: bucket, ...input }));

/** The outcome of what deletes `k` if it succeeds. */
async function deleted(asked: Asked, work: Parameters<typeof outcome>[0]): Promise<string> {
  const answer = await outcome(work);
  const gone = (await content(asked, "k")) === undefined;
  return gone === answer.startsWith("2") ? answer : `${answer}, though it is ${gone ? "gone" : "there"}`;
}

const CONDITIONS: Promises = {
  "PUT If-None-Match, new key": async (s) => await written(s, putting(s, { Key: "k", IfNoneMatch: "*" })),
  "PUT If-None-Match, key is there": async (s) => {
    await put(s, "k");
    return await written(s, putting(s, { Key: "k", IfNoneMatch: "*" }));
  },
  "PUT If-Match, its ETag in quotes": async (s) => {
    const etag = await put(s, "k");
    return await written(s, putting(s, { Key: "k", IfMatch: quoted(etag) }));
  },
  "PUT If-Match, its ETag without quotes": async (s) => {
    const etag = await put(s, "k");
    return await written(s, putting(s, { Key: "k", IfMatch: bare(etag) }));
  },
  "PUT If-Match, another ETag in quotes": async (s) => {
    await put(s, "k");
    return await written(s, putting(s, { Key: "k", IfMatch: quoted(WRONG_ETAG) }));
  },
  "PUT If-Match, another ETag without quotes": async (s) => {
    await put(s, "k");
    return await written(s, putting(s, { Key: "k", IfMatch: WRONG_ETAG }));
  },
  "PUT If-Match, no such key": async (s) => await written(s, putting(s, { Key: "k", IfMatch: WRONG_ETAG })),
  "of 16 PUT If-None-Match at once one wins": async (s) =>
    await ask.races(async (round) => await race(s, { Key: `k${round}`, IfNoneMatch: "*" })),
  "of 16 PUT If-Match at once one wins": async (s) =>
    await ask.races(async (round) => {
      const etag = await put(s, `k${round}`);
      return await race(s, { Key: `k${round}`, IfMatch: bare(etag) });
    }),
  "CompleteMultipartUpload If-None-Match, new key": async (s) =>
    await written(s, complete(s, await begun(s, "k", "new"), { IfNoneMatch: "*" })),
  "CompleteMultipartUpload If-None-Match, key is there": async (s) => {
    await put(s, "k");
    return await written(s, complete(s, await begun(s, "k", "new"), { IfNoneMatch: "*" }));
  },
  "CompleteMultipartUpload If-Match, its ETag without quotes": async (s) => {
    const etag = await put(s, "k");
    return await written(s, complete(s, await begun(s, "k", "new"), { IfMatch: bare(etag) }));
  },
  "CompleteMultipartUpload If-Match, another ETag": async (s) => {
    await put(s, "k");
    return await written(s, complete(s, await begun(s, "k", "new"), { IfMatch: WRONG_ETAG }));
  },
  "of 8 CompleteMultipartUpload If-None-Match at once one wins": async (s) =>
    await ask.races(async (round) => {
      const uploads = await Promise.all(range(8).map(async () => await begun(s, `k${round}`, "new")));
      return await Promise.all(uploads.map(async (upload) => await outcome(complete(s, upload, { IfNoneMatch: "*" }))));
    }),
  "of a DELETE and 7 PUT If-Match at once one wins": async (s) =>
    await ask.races(async (round) => {
      const [Key, IfMatch] = [`k${round}`, bare(await put(s, `k${round}`))];
      const puts = range(7).map(async (i) => await outcome(putting(s, { Key, IfMatch, Body: `body ${i}` })));
      return await Promise.all([outcome(deleting(s, { Key, IfMatch })), ...puts]);
    }),
  "CopyObject If-None-Match, destination is there": async (s) => {
    await put(s, "from", "new");
    await put(s, "k");
    return await written(s, copy(s, "from", "k", { IfNoneMatch: "*" }));
  },
  "DELETE If-Match, its ETag": async (s) => {
    const etag = await put(s, "k");
    return await deleted(s, deleting(s, { Key: "k", IfMatch: etag }));
  },
  "DELETE If-Match, another ETag": async (s) => {
    await put(s, "k");
    return await deleted(s, deleting(s, { Key: "k", IfMatch: quoted(WRONG_ETAG) }));
  },
  "GET If-Match, another ETag": async (s) => {
    await put(s, "k");
    return await outcome(get(s, "k", { IfMatch: quoted(WRONG_ETAG) }));
  },
  "GET If-None-Match, its ETag": async (s) => {
    const etag = await put(s, "k");
    return await outcome(get(s, "k", { IfNoneMatch: etag }));
  },
};

/** From here on each PUT is signed as if it had other bytes. */
function claimWrongSha256({ client }: Asked): void {
  client.middlewareStack.add(
    (next) => async (call) => {
      const request = call.request as { headers: Record<string, string>; method: string };
      const wrong = Buffer.from(WRONG_SHA256, "base64").toString("hex");
      if (request.method === "PUT") request.headers["x-amz-content-sha256"] = wrong;
      return await next(call);
    },
    { step: "build", priority: "low" },
  );
}

const CHECKSUMS: Promises = {
  "PUT, wrong Content-MD5": async (s) => {
    const ContentMD5 = createHash("md5").update("something else").digest("base64");
    return await written(s, putting(s, { Key: "k", ContentMD5 }));
  },
  "PUT, wrong x-amz-content-sha256": async (s) => {
    claimWrongSha256(s);
    return await written(s, putting(s, { Key: "k" }));
  },
  "PUT, wrong x-amz-checksum-sha256": async (s) =>
    await written(s, putting(s, { Key: "k", ChecksumSHA256: WRONG_SHA256 })),
  "UploadPart, wrong x-amz-content-sha256": async (s) => {
    const upload = await ask.begin(s, "k");
    claimWrongSha256(s);
    return await outcome(ask.part(s, upload));
  },
  "UploadPart, wrong x-amz-checksum-sha256": async (s) => {
    const upload = await ask.begin(s, "k");
    return await outcome(ask.part(s, upload, { ChecksumSHA256: WRONG_SHA256 }));
  },
  "PUT with a SHA-256, HEAD gives it": async (s) => {
    await putting(s, { Key: "k", ChecksumSHA256: sha256("new") });
    const { ChecksumSHA256 } = await head(s, "k");
    return told(ChecksumSHA256, sha256("new"));
  },
  "CopyObject, ChecksumAlgorithm SHA256, gives it": async (s) => {
    await put(s, "from", "new");
    const { CopyObjectResult } = await copy(s, "from", "k", { ChecksumAlgorithm: "SHA256" });
    return told(CopyObjectResult?.ChecksumSHA256, sha256("new"));
  },
  "the same of an object in parts, of all its bytes": async (s) => {
    await complete(s, await begun(s, "from", LARGE, "new"));
    const { CopyObjectResult } = await copy(s, "from", "k", { ChecksumAlgorithm: "SHA256" });
    return told(CopyObjectResult?.ChecksumSHA256, sha256(Buffer.concat([LARGE, Buffer.from("new")])));
  },
  "after that copy HEAD gives it": async (s) => {
    await complete(s, await begun(s, "from", LARGE, "new"));
    await copy(s, "from", "k", { ChecksumAlgorithm: "SHA256" });
    return told((await head(s, "k")).ChecksumSHA256, sha256(Buffer.concat([LARGE, Buffer.from("new")])));
  },
};

const MULTIPART: Promises = {
  "a part under 5 MiB before the last": async (s) => await outcome(complete(s, await begun(s, "k", "small", "new"))),
  "complete without parts": async (s) => await outcome(complete(s, await ask.begin(s, "k"))),
  "complete with one empty part": async (s) => {
    const answer = await outcome(complete(s, await begun(s, "k", "")));
    return `${answer}, ${(await content(s, "k")) === "" ? "an empty object" : "no object"}`;
  },
  "complete with a wrong ETag": async (s) => {
    const upload = await begun(s, "k", "new");
    return await outcome(complete(s, { ...upload, parts: [{ PartNumber: 1, ETag: quoted(WRONG_ETAG) }] }));
  },
  "complete a second time": async (s) => {
    const upload = await begun(s, "k", "new");
    await complete(s, upload);
    return await outcome(complete(s, upload));
  },
  "a part sent again counts, the first does not": async (s) => {
    const upload = await begun(s, "k", "old");
    const { ETag = "" } = await ask.part(s, upload, { Body: "new" });
    await complete(s, { ...upload, parts: [{ PartNumber: 1, ETag }] });
    return yes((await content(s, "k")) === "new");
  },
  "parts 1 and 3 without a 2": async (s) => {
    const upload = await begun(s, "k", LARGE);
    const { ETag = "" } = await ask.part(s, upload, { PartNumber: 3 });
    return await outcome(complete(s, { ...upload, parts: [...upload.parts, { PartNumber: 3, ETag }] }));
  },
  "UploadPartCopy of a range": async (s) => {
    await put(s, "from", Buffer.concat([LARGE, Buffer.from("012345")]));
    const upload = await ask.begin(s, "k");
    const { CopyPartResult } = await s.client.send(
      new UploadPartCopyCommand({
        ...{ Bucket: s.bucket, Key: "k", UploadId: upload.UploadId, PartNumber: 1 },
        ...{ CopySource: `${s.bucket}/from`, CopySourceRange: `bytes=${PART + 1}-${PART + 3}` },
      }),
    );
    await complete(s, { ...upload, parts: [{ PartNumber: 1, ETag: CopyPartResult?.ETag ?? "" }] });
    return yes((await content(s, "k")) === "123");
  },
  "UploadPart after AbortMultipartUpload": async (s) => {
    const upload = await begun(s, "k", "new");
    await abort(s, upload);
    return await outcome(ask.part(s, upload));
  },
  "AbortMultipartUpload a second time": async (s) => {
    const upload = await begun(s, "k", "new");
    await abort(s, upload);
    return await outcome(abort(s, upload));
  },
  "ListParts gives sizes and ETags": async (s) => {
    const { Key, UploadId, parts } = await begun(s, "k", LARGE, "new");
    const { Parts = [] } = await s.client.send(new ListPartsCommand({ Bucket: s.bucket, Key, UploadId }));
    const seen = Parts.map(({ PartNumber, ETag, Size }) => ({ PartNumber, ETag, Size }));
    return yes(
      JSON.stringify(seen) === JSON.stringify(parts.map((each, i) => ({ ...each, Size: i === 0 ? PART : 3 }))),
    );
  },
  "ListMultipartUploads, Prefix": async (s) => {
    await Promise.all([ask.begin(s, "a/1"), ask.begin(s, "b/2"), ask.begin(s, "b/1")]);
    const { Uploads = [] } = await s.client.send(new ListMultipartUploadsCommand({ Bucket: s.bucket, Prefix: "b/" }));
    return Uploads.map(({ Key }) => Key).join(" ");
  },
  "ListMultipartUploads names no complete upload": async (s) => {
    await complete(s, await begun(s, "k", "new"));
    const { Uploads = [] } = await s.client.send(new ListMultipartUploadsCommand({ Bucket: s.bucket }));
    return yes(Uploads.length === 0);
  },
};

const LISTING: Promises = {
  "order of the keys A a-b/x a.b/x a/x aa é": async (s) => {
    await putAll(s, "é", "aa", "a/x", "a.b/x", "a-b/x", "A");
    return names(await list(s));
  },
  "Delimiter: order of a-b/ a/ a0/": async (s) => {
    await putAll(s, "a0/x", "a/x", "a-b/x");
    return names(await list(s, { Delimiter: "/" }));
  },
  "Delimiter, StartAfter a/m within a/": async (s) => {
    await putAll(s, "a/k", "a/z", "b/x");
    return names(await list(s, { Delimiter: "/", StartAfter: "a/m" }));
  },
  "Delimiter, StartAfter a/": async (s) => {
    await putAll(s, "a/k", "a/z", "b/x");
    return names(await list(s, { Delimiter: "/", StartAfter: "a/" }));
  },
  "Delimiter, StartAfter a-b/ (a/ and b/ follow)": async (s) => {
    await putAll(s, "a/k", "a-b/z", "b/x");
    return names(await list(s, { Delimiter: "/", StartAfter: "a-b/" }));
  },
  "Delimiter, StartAfter past all in a/ (U+10FFFF)": async (s) => {
    await putAll(s, "a/k", "a/z", "b/x");
    return names(await list(s, { Delimiter: "/", StartAfter: "a/\u{10ffff}" }));
  },
  "MaxKeys 2 counts prefixes": async (s) => {
    await putAll(s, "a/1", "a/2", "b/1", "c", "d");
    const page = await list(s, { Delimiter: "/", MaxKeys: 2 });
    return `${names(page)}, KeyCount ${page.KeyCount}${page.IsTruncated === true ? ", truncated" : ""}`;
  },
  "pages of 3 over 20 keys and prefixes are whole": async (s) => {
    const all = range(10).flatMap((i) => [`p${i}/x`, `p${i}/y`, `q${i}`]);
    await putAll(s, ...all);
    const seen: string[] = [];
    let token: string | undefined;
    do {
      const page = await list(s, { Delimiter: "/", MaxKeys: 3, ContinuationToken: token });
      seen.push(...names(page).split(" "));
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return yes(
      seen.sort().join() ===
        range(10)
          .map((i) => [`p${i}/`, `q${i}`])
          .flat()
          .sort()
          .join(),
    );
  },
  "MaxKeys 1000 of 1,001 prefixes of 3 keys each": async (s) => {
    for (const each of ["1", "2", "3"]) await putAll(s, ...range(1001).map((i) => `${i}/${each}`));
    const { KeyCount = 0, IsTruncated } = await list(s, { Delimiter: "/", MaxKeys: 1000 });
    return `${KeyCount === 1000 ? "1000" : "fewer"}${IsTruncated === true ? ", truncated" : ""}`;
  },
  "an empty prefix of deleted keys is not listed": async (s) => {
    await putAll(s, "a/b/1", "a/b/2", "c");
    await Promise.all(["a/b/1", "a/b/2"].map(async (Key) => await deleting(s, { Key })));
    return names(await list(s, { Delimiter: "/" }));
  },
};

const PRESIGNED: Promises = {
  GET: async (s) => await fetched(s, "GET", "GET"),
  "HEAD with a URL for HEAD": async (s) => await fetched(s, "HEAD", "HEAD"),
  "HEAD with a URL for GET": async (s) => await fetched(s, "GET", "HEAD"),
  "GET with Range": async (s) => await fetched(s, "GET", "GET", { range: "bytes=1-2" }),
  "GET with response-content-type": async (s) => {
    await put(s, "k", "new");
    const url = await presign(s, "GET", "application/x-own");
    return (await fetch(url)).headers.get("content-type") ?? "none";
  },
  "GET with another key in the path": async (s) => {
    await putAll(s, "k", "other");
    const url = await presign(s, "GET");
    return String((await fetch(url.replace("/k?", "/other?"))).status);
  },
};

const DELETES: Promises = {
  "DELETE, no such key": async (s) => await outcome(deleting(s, { Key: "k" })),
  "DeleteObjects of 1000, half of them missing": async (s) => {
    await putAll(s, ...range(500).map((i) => `k${i}`));
    return await deleteMany(s, 1000);
  },
  "DeleteObjects of 1001": async (s) => await deleteMany(s, 1001),
};

const KEYS: Promises = {
  "a is an object, then a/b": async (s) => await both(s, "a", "a/b"),
  "a/b is an object, then a": async (s) => await both(s, "a/b", "a"),
  "a key of 1024 bytes in short steps": async (s) =>
    await stored(s, "123456789abcdef/".repeat(63) + "123456789abcdef1"),
  "a step of 256 bytes": async (s) => await stored(s, "x".repeat(256)),
  "a key with ' +%&é=~:@' in it": async (s) => await stored(s, "a +%&é=~:@b"),
  "a key that ends in /": async (s) => await stored(s, "dir/"),
  "the key a//b beside a/b": async (s) => await both(s, "a/b", "a//b"),
};

const REST: Promises = {
  "PUT of a stream as the SDK does it by default": async (s) => {
    s.client.config.requestChecksumCalculation = async () => "WHEN_SUPPORTED";
    return await written(s, putting(s, { Key: "k", Body: Readable.from(["new"]), ContentLength: 3 }));
  },
  "PUT of a stream with checksums only when required": async (s) =>
    await written(s, putting(s, { Key: "k", Body: Readable.from(["new"]), ContentLength: 3 })),
  "HEAD, no such key": async (s) => await outcome(head(s, "k")),
  "GET, no such key": async (s) => await outcome(get(s, "k")),
  "GET, Range beyond the end": async (s) => {
    await put(s, "k");
    return await outcome(get(s, "k", { Range: "bytes=3-" }));
  },
  "GET, Range of the last 2 bytes": async (s) => {
    await put(s, "k");
    return (await (await get(s, "k", { Range: "bytes=-2" })).Body?.transformToString()) ?? "none";
  },
  "100 overwrites are each read back, and listed": async (s) => {
    for (const i of range(100)) {
      await put(s, "k", `body ${i}`);
      if ((await content(s, "k")) !== `body ${i}`) return "no";
      if ((await list(s)).Contents?.[0]?.Size !== `body ${i}`.length) return "no";
    }
    return "yes";
  },
  "100 deletes are each seen, and not listed": async (s) => {
    for (const i of range(100)) {
      await put(s, `k${i}`);
      await deleting(s, { Key: `k${i}` });
      if ((await content(s, `k${i}`)) !== undefined || (await list(s)).KeyCount !== 0) return "no";
    }
    return "yes";
  },
  "versioning: old versions stay, a delete leaves a marker": async (s) => {
    const Bucket = s.bucket;
    const VersioningConfiguration = { Status: "Enabled" } as const;
    const enabled = await outcome(s.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration })));
    if (enabled !== "200") return enabled;
    await put(s, "k");
    await put(s, "k", "new");
    await deleting(s, { Key: "k" });
    const { Versions = [], DeleteMarkers = [] } = await s.client.send(new ListObjectVersionsCommand({ Bucket }));
    return `${Versions.length} versions, ${DeleteMarkers.length} marker`;
  },
};

type Promises = Readonly<Record<string, (asked: Asked) => Promise<string>>>;

/** Each by its section and name. */
export const PROMISES: Readonly<Record<string, Promises>> = {
  Conditions: CONDITIONS,
  Checksums: CHECKSUMS,
  "Multipart uploads": MULTIPART,
  Listings: LISTING,
  "Presigned URLs": PRESIGNED,
  Deletes: DELETES,
  Keys: KEYS,
  "The rest": REST,
};

function yes(holds: boolean): string {
  return holds ? "yes" : "no";
}

function told(found: string | undefined, right: string): string {
  if (found === undefined) return "no";
  if (found === right) return "yes";
  return found.includes("-") ? "of the parts only" : "a wrong one";
}

async function race(asked: Asked, input: { Key: string; IfMatch?: string; IfNoneMatch?: string }): Promise<string[]> {
  return await Promise.all(range(16).map(async (i) => await outcome(putting(asked, { ...input, Body: `body ${i}` }))));
}

async function copy(
  { client, bucket }: Asked,
  from: string,
  Key: string,
  input: { IfNoneMatch?: string; ChecksumAlgorithm?: "SHA256" } = {},
) {
  return await client.send(new CopyObjectCommand({ Bucket: bucket, Key, CopySource: `${bucket}/${from}`, ...input }));
}

async function head({ client, bucket }: Asked, Key: string) {
  return await client.send(new HeadObjectCommand({ Bucket: bucket, Key, ChecksumMode: "ENABLED" }));
}

async function abort({ client, bucket }: Asked, { Key, UploadId }: ask.Begun) {
  return await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
}

async function putAll(asked: Asked, ...keys: readonly string[]): Promise<void> {
  await Promise.all(keys.map(async (key) => await put(asked, key)));
}

async function both(asked: Asked, first: string, second: string): Promise<string> {
  await put(asked, first, "first");
  const answer = await outcome(putting(asked, { Key: second, Body: "second" }));
  const kept = (await content(asked, first)) === "first";
  return kept ? answer : `${answer}, and the first is lost`;
}

async function stored(asked: Asked, key: string): Promise<string> {
  const answer = await outcome(putting(asked, { Key: key }));
  if (answer !== "200") return answer;
  if ((await content(asked, key)) !== "new") return `${answer}, but it cannot be read`;
  return (await list(asked)).Contents?.[0]?.Key === key ? "yes" : "yes, but listed by another name";
}

async function presign({ client, bucket }: Asked, method: "GET" | "HEAD", type?: string): Promise<string> {
  const input = { Bucket: bucket, Key: "k" };
  const command =
    method === "HEAD" ? new HeadObjectCommand(input) : new GetObjectCommand({ ...input, ResponseContentType: type });
  return await getSignedUrl(client, command, { expiresIn: 60 });
}

async function fetched(
  asked: Asked,
  signed: "GET" | "HEAD",
  method: "GET" | "HEAD",
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  await put(asked, "k", "0123456");
  const response = await fetch(await presign(asked, signed), { method, headers });
  const body = await response.text();
  if (!response.ok) return String(response.status);
  return `${response.status}, length ${response.headers.get("content-length") ?? "none"}${body === "" ? "" : `, ${body}`}`;
}

async function deleteMany({ client, bucket }: Asked, count: number): Promise<string> {
  const Objects = range(count).map((i) => ({ Key: `k${i}` }));
  const command = new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } });
  let summary = "";
  const answer = await outcome(
    client.send(command).then((answered) => {
      summary = `, ${answered.Deleted?.length ?? 0} deleted, ${answered.Errors?.length ?? 0} errors`;
      return answered;
    }),
  );
  return answer + summary;
}
