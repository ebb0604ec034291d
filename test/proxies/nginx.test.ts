/** Behind nginx, with the settings of docs/behind-a-proxy.md: TLS on an odd port, and below a prefix. */
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Api, sha256, withQuery } from "../support/api.ts";
import { pattern } from "../support/bodies.ts";
import { startChild, type Child } from "../support/child.ts";
import { freePort } from "../support/free-port.ts";
import { CONFIG, imageOf } from "../support/manifests.ts";
import { run, startDaemon, until, type Daemon } from "../support/process.ts";
import { fastTemporaryFolder, removeFolder } from "../support/temp.ts";
import { tool } from "../support/tools.ts";

/** Above nginx' own limit of 1 MB, and more than it holds in its buffers. */
const layer = pattern(20_000_000);

let folder: string;
let lading: Child;
let nginx: Daemon;
let ports: { tls: number; prefix: number };
let ca: string;

const configuration = (port: number): string => `
  daemon off;
  master_process off;
  pid ${folder}/nginx.pid;
  error_log stderr;
  events {}
  http {
    access_log off;
    client_body_temp_path ${folder}/body;
    proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi;
    uwsgi_temp_path ${folder}/uwsgi;
    scgi_temp_path ${folder}/scgi;

    client_max_body_size 0;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_read_timeout 900s;
    proxy_send_timeout 900s;

    server {
      listen 127.0.0.1:${ports.tls} ssl;
      ssl_certificate ${folder}/server.crt;
      ssl_certificate_key ${folder}/server.key;
      location /v2/ {
        proxy_pass http://127.0.0.1:${port};
      }
    }
    server {
      listen 127.0.0.1:${ports.prefix};
      location /registry/ {
        proxy_pass http://127.0.0.1:${port}/;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Prefix /registry;
      }
    }
  }
`;

beforeAll(async () => {
  const program = tool("nginx");
  folder = await fastTemporaryFolder();
  await run(
    [
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...[
        "-keyout",
        "server.key",
        "-out",
        "server.crt",
        "-subj",
        "/CN=proxy",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
      ],
    ],
    { cwd: folder },
  );
  ca = await readFile(path.join(folder, "server.crt"), "utf8");
  lading = await startChild({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: path.join(folder, "data") });
  ports = { tls: await freePort(), prefix: await freePort() };
  const file = path.join(folder, "nginx.conf");
  await writeFile(file, configuration(Number(new URL(lading.url).port)));
  nginx = await startDaemon([program, "-p", folder, "-c", file, "-e", "stderr"], {
    ready: async () =>
      (await fetch(`http://127.0.0.1:${ports.prefix}/registry/v2/`).then(
        ({ status }) => status,
        () => 0,
      )) === 200,
  });
});
afterAll(async () => {
  await (nginx as Daemon | undefined)?.stop();
  await (lading as Child | undefined)?.stop();
  await removeFolder(folder);
});

describe.each<[where: string, base: () => { url: string; ca?: string; prefix: string }]>([
  ["TLS on an odd port", () => ({ url: `https://127.0.0.1:${ports.tls}`, ca, prefix: "" })],
  ["below a prefix", () => ({ url: `http://127.0.0.1:${ports.prefix}`, prefix: "/registry" })],
])("%s", (where, base) => {
  const repository = where.toLowerCase().replaceAll(" ", "-");
  const api = (): Api => new Api(base());
  const root = (): string => `${base().prefix}/v2/${repository}`;

  it("a layer is pushed by POST, PATCH and PUT, each to where the answer before says, and pulled", async () => {
    const { prefix } = base();
    const started = await api().expect(202, "POST", `${root()}/blobs/uploads/`);
    expect(started.headers.location).toMatch(new RegExp(`^${prefix}/v2/${repository}/blobs/uploads/[^/]+$`));
    // Without a length, as Docker sends it: in chunks.
    const headers = { "Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked" };
    const patched = await api().expect(202, "PATCH", started.headers.location ?? "", { headers, body: layer });
    expect(patched.headers["range"]).toBe(`0-${layer.length - 1}`);
    const last = withQuery(patched.headers.location ?? "", "digest", sha256(layer));
    const { headers: created } = await api().expect(201, "PUT", last, { headers: { "Content-Length": "0" } });
    expect(created.location).toBe(`${root()}/blobs/${sha256(layer)}`);

    const pulled = await api().expect(200, "GET", created.location ?? "");
    expect([pulled.body.length, sha256(pulled.body)]).toEqual([layer.length, sha256(layer)]);
    const part = await api().expect(206, "GET", created.location ?? "", { headers: { Range: "bytes=5-9" } });
    expect(part.body).toEqual(layer.subarray(5, 10));
    const head = await api().expect(200, "HEAD", created.location ?? "");
    expect(head.headers["content-length"]).toBe(String(layer.length));
  });

  it("an upload reaches the registry while it is sent, not after", async () => {
    const { url } = base();
    const { headers } = await api().expect(202, "POST", `${root()}/blobs/uploads/`);
    const send = url.startsWith("https") ? httpsRequest : httpRequest;
    const outgoing = send(new URL(headers.location ?? "", url), {
      method: "PATCH",
      agent: false,
      headers: { "Transfer-Encoding": "chunked" },
      ...(url.startsWith("https") ? { ca } : {}),
    });
    outgoing.write("begun");
    const inFlight = async (): Promise<number> => await lading.metric("registry_http_in_flight_requests");
    await until("the registry has it", async () => (await inFlight()) === 1, 10_000);
    outgoing.end(" and ended");
    const [reply] = (await once(outgoing, "response")) as [IncomingMessage];
    expect([reply.statusCode, reply.headers["range"]]).toEqual([202, "0-14"]);
    reply.resume();
  });

  it("tags are listed page by page, each where the Link of the one before says", async () => {
    const { url } = base();
    const image = imageOf([]);
    await api().expect(201, "POST", `${root()}/blobs/uploads/?digest=${sha256(CONFIG)}`, { body: CONFIG });
    const tags = ["a", "b", "c", "d", "e"];
    for (const tag of tags) {
      const { headers } = await api().expect(201, "PUT", `${root()}/manifests/${tag}`, {
        headers: { "Content-Type": image.mediaType },
        body: image.bytes,
      });
      expect(headers.location).toBe(`${root()}/manifests/${image.digest}`);
    }
    const seen: string[][] = [];
    let next: string | undefined = `${root()}/tags/list?n=2`;
    while (next !== undefined) {
      const reply = await api().expect(200, "GET", next);
      seen.push((JSON.parse(reply.body.toString()) as { tags: string[] }).tags);
      const link: string | undefined = /^<([^>]+)>; rel="next"$/.exec(String(reply.headers["link"] ?? ""))?.[1];
      next = link === undefined ? undefined : new URL(link, url).href.slice(url.length);
    }
    expect(seen).toEqual([["a", "b"], ["c", "d"], ["e"]]);
  });
});

it("the log has the address that the proxy tells", async () => {
  await new Api({ url: lading.url }).call("GET", "/v2/?told", {
    headers: { "X-Forwarded-For": "203.0.113.7, 10.0.0.1" },
  });
  await until("it is logged", () => lading.accessLines().some((line) => line.includes("told")));
  expect(lading.accessLines().find((line) => line.includes("told"))).toContain("remoteaddr=203.0.113.7 ");
});
