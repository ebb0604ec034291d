/** `npm run cloud`: the functions on this machine over a bucket, to push to and pull from. Ends with Ctrl-C. */
import { execFileSync } from "node:child_process";
import { startVersitygw } from "../support/s3-servers.ts";
import { missingTools } from "../support/tools.ts";
import { lambdaNode, startCloud } from "./cloud.ts";
import { HOSTS_LINE } from "./names.ts";

const FOLDER = "data/cloud/s3";
const BUCKET = "lading";
const PORTS = { api: 5080, uploads: 5081, store: 5082 };

const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (missingTools(["versitygw"]).length > 0) {
  say(
    "The bucket is one of versitygw, an S3 server, which is not installed: test/tools/install.sh versitygw (needs Go)",
  );
  process.exit(1);
}
execFileSync(process.execPath, ["bin/build.js"], { stdio: "inherit" });
const { notice } = lambdaNode();
if (notice !== undefined) say(notice);
const store = await startVersitygw({ keepIn: FOLDER, port: PORTS.store });
await store.createBucket(BUCKET);
const env = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    name.startsWith("REGISTRY_") && value !== undefined ? [[name, value]] : [],
  ),
);
const cloud = await startCloud({ bucket: { access: store, name: BUCKET }, ports: PORTS, env }).catch(
  (error: unknown) => {
    say(error instanceof Error ? error.message : String(error));
    return undefined;
  },
);
if (cloud === undefined) {
  await store.close();
  process.exit(1);
}
const { api, uploads } = cloud;
say(`
API Gateway and the event function   http://${api}/v2/      at most 4.4 MB a request
the upload function                  http://${uploads}/v2/   any size
the bucket ${BUCKET}                    ${store.endpoint}   ${store.accessKeyId} / ${store.secretAccessKey}, region ${store.region}

Try:
  crane copy IMAGE ${api}/team/app:v1
  skopeo copy --dest-tls-verify=false docker://IMAGE docker://${api}/team/app:v1
  docker tag IMAGE ${api}/team/app:v1 && docker push ${api}/team/app:v1
  podman push --tls-verify=false IMAGE ${api}/team/app:v1
  ctr images push --plain-http ${api}/team/app:v1
  regctl registry set --tls disabled ${api} && regctl image copy IMAGE ${api}/team/app:v1
  oras push --plain-http ${uploads}/team/files:v1 FILE      oras and helm: small ones at ${api} too

It speaks plain HTTP, for which Docker 29 needs a line in /etc/docker/daemon.json:
  "insecure-registries": ["${api}"]
A daemon on another machine, as Docker Desktop's, finds nothing under these names. Here they are in /etc/hosts:
  ${HOSTS_LINE}
Images stay in ${FOLDER}. REGISTRY_* variables reach both functions. Ctrl-C ends it.`);

let ending = false;
const stop = (): void => {
  if (ending) return;
  ending = true;
  void cloud
    .close()
    .then(async () => await store.close())
    .then(() => process.exit(0));
};
process.on("SIGINT", stop);
process.on("SIGTERM", stop);
