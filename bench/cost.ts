/**
 * `npm run cost`: docs/cost.md, from the table of requests that the suites hold true and list prices. test/infra/cost.test.ts
 * makes it again and compares.
 */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { format, resolveConfig } from "prettier";
import { freshImage, type Client, type TestImage } from "../test/s3/requests/client.ts";
import { PULLS, PUSHES } from "../test/s3/requests/families.ts";
import { documented } from "../test/s3/requests/table.ts";
import { WHOLE } from "../test/s3/requests/rows.ts";
import { ASSUMED, PRICES } from "./prices.ts";

const FILE = "docs/cost.md";
const LAYERS = 5;
const IMAGE_GB = 0.1;
const DAYS = 30;
/** How often the schedule of `infra/settings.ts` calls the collector in a night. */
const NIGHT_CALLS = 16;

/** Requests of a client's, by where they go. */
interface Asked {
  api: number;
  uploads: number;
}

/** Counts what a family of clients asks the registry, without asking anybody. */
async function count(work: (client: Client, image: TestImage) => Promise<void>, sent: boolean): Promise<Asked> {
  const asked: Asked = { api: 0, uploads: 0 };
  const api = async (): Promise<string> => {
    asked.api++;
    return "";
  };
  const upload = async (): Promise<string> => {
    asked[sent ? "uploads" : "api"]++;
    return "";
  };
  const counting = {
    ping: api,
    head: api,
    manifest: api,
    putManifest: api,
    pullBlob: api,
    start: api,
    patch: upload,
    finish: upload,
    put: async () => {
      await api();
      await upload();
    },
  };
  await work(counting as unknown as Client, freshImage(Array.from({ length: LAYERS }, () => 1)));
  return asked;
}

/** What a million of these cost, part by part, in dollars. `storeMillion`: from the table of requests. */
function parts(asked: Asked, storeMillion: number, uploadedGb: number) {
  const { eventMs, eventGb, uploadGb, uploadMbSecond, loggedBytes } = ASSUMED;
  const event = PRICES.callsMillion + ((eventMs * 1e6) / 1000) * eventGb * PRICES.gbSecond;
  const uploading = ((uploadedGb * 1000) / uploadMbSecond) * uploadGb * PRICES.gbSecond * 1e6;
  const lines = asked.api + asked.uploads;
  return {
    store: storeMillion,
    gateway: asked.api * PRICES.apiMillion,
    functions: asked.api * event + asked.uploads * PRICES.callsMillion + uploading,
    logs: ((lines * loggedBytes * 1e6) / 1e9) * PRICES.loggedGb,
  };
}

type Parts = ReturnType<typeof parts>;
const sum = (of: Parts): number => Object.values(of).reduce((total, part) => total + part, 0);

/** Cents, or dollars from one on. */
function money(dollars: number): string {
  if (dollars === 0) return "0";
  if (dollars < 0.01) return `${(dollars * 100).toFixed(2)} ¢`;
  return dollars < 1
    ? `${(dollars * 100).toFixed(0)} ¢`
    : `$${dollars < 100 ? dollars.toFixed(2) : dollars.toFixed(0)}`;
}

/** With a tenth: where amounts are small. */
const cents = (dollars: number): string => `${Number((dollars * 100).toPrecision(2))} ¢`;

const table = (title: readonly string[], rows: readonly (readonly string[])[]): string =>
  [title, title.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");

interface Team {
  readonly name: string;
  readonly storedGb: number;
  readonly pushes: number;
  readonly pulls: number;
  /** Share of the pulls that leave the region. */
  readonly outside: number;
}

const TEAMS: readonly Team[] = [
  {
    name: "one product: 20 GB, 300 pushes, 3,000 pulls a month",
    storedGb: 20,
    pushes: 300,
    pulls: 3_000,
    outside: 0.1,
  },
  {
    name: "ten teams: 500 GB, 5,000 pushes, 100,000 pulls",
    storedGb: 500,
    pushes: 5_000,
    pulls: 100_000,
    outside: 0.1,
  },
  {
    name: "a platform: 10 TB, 50,000 pushes, 2,000,000 pulls",
    storedGb: 10_000,
    pushes: 50_000,
    pulls: 2_000_000,
    outside: 0.05,
  },
];

/** The page, as it stands in the file. */
export async function costPage(): Promise<string> {
  const tables = documented();
  const priceOf = (heading: string, name: string): number =>
    Number(tables.get(heading)?.find(([first]) => first === name)?.[3]);
  const pushRows: [string, Parts][] = [];
  for (const [name, work] of Object.entries(PUSHES)) {
    const asked = await count(work, name !== "oras, helm");
    pushRows.push([name, parts(asked, priceOf(WHOLE.pushes, name), IMAGE_GB)]);
  }
  const pullRows: [string, Parts][] = [];
  for (const [name, work] of Object.entries(PULLS)) {
    pullRows.push([name, parts(await count(work, false), priceOf(WHOLE.pulls, name), 0)]);
  }
  const rows = (of: [string, Parts][]): string[][] =>
    of.map(([name, each]) => [name, ...Object.values(each).map((part) => money(part / 1000)), money(sum(each) / 1000)]);
  const title = ["", "S3 requests", "API Gateway", "functions", "logs", "all"];
  const [push, pull] = [sum((pushRows[0] as [string, Parts])[1]) / 1e6, sum((pullRows[0] as [string, Parts])[1]) / 1e6];
  const server = (storedGb: number): number =>
    (PRICES.serverHour + PRICES.addressHour) * PRICES.hoursMonth + storedGb * PRICES.diskGb;
  const months = TEAMS.map(({ name, storedGb, pushes, pulls, outside }) => {
    const traffic = Math.max(0, pulls * outside * IMAGE_GB - 100) * PRICES.egressGb;
    const ours = storedGb * PRICES.storedGb + pushes * push + pulls * pull;
    return [name, money(ours), money(storedGb * PRICES.ecrGb), money(server(storedGb)), money(traffic)];
  });
  const idle =
    (PRICES.callsMillion + PRICES.getMillion) / 1e6 + (ASSUMED.idleMs / 1000) * ASSUMED.eventGb * PRICES.gbSecond;
  const nights = (objects: number): string => money((objects / 1000) * 5e-6 * DAYS);
  const text = `# What it costs

Computed by \`npm run cost\` from the [table of requests](requests.md), which the suites hold true, and the list prices of us-east-1 in \`bench/prices.ts\`; a test makes this page again. **Nobody has seen a bill**: the prices of S3, API Gateway, Lambda and ECR are from their price pages as others quote them, those of Web Functions are not published where we could read them, and how long a call takes on AWS is assumed (${ASSUMED.eventMs} ms of ${ASSUMED.eventGb} GB, ${ASSUMED.idleMs / 1000} s of it where the collector has nothing to do; uploads at ${ASSUMED.uploadMbSecond} MB/s in ${ASSUMED.uploadGb} GB). Free tiers are left out but for the 100 GB of traffic.

## Idle

Nothing is billed by the hour, which a test of the template's resource types holds true. What is left while nobody pushes is

- ${money(PRICES.storedGb)} a month for each GB that is stored; what was deleted or replaced costs the same until the undo window ends (14 days),
- ${nights(1_000_000)} a month for a night's listings of a million objects, a few cents of the function that collects, and ${cents(NIGHT_CALLS * DAYS * idle)} for its ${NIGHT_CALLS} calls a night, most of which find nothing to do,
- logs that are kept, ${money(0.03)} a month for each GB.

Up to ten alarms, ten metrics and three dashboards of an account are free; the stack has eight, ten and one. The metrics of a second registry in the same account cost up to 30 ¢ a month each.

## A thousand pushes

Of an image of ${LAYERS} layers and ${IMAGE_GB * 1000} MB, none of them known before:

${table(title, rows(pushRows))}

## A thousand pulls

Of the same image. Bytes come from S3: within the region for nothing, to the internet for ${money(PRICES.egressGb)} a GB (${money(PRICES.egressGb * IMAGE_GB * 1000)} for a thousand whole pulls), as with ECR and with a server.

${table(title, rows(pullRows))}

## A month

Images of ${IMAGE_GB * 1000} MB; requests of containerd's. A tenth of the pulls leave the region (a twentieth of the platform's): that traffic costs the same everywhere and stands apart. The server is a t4g.small with a public address and a disk of that size, and nobody's time; a second one for when it fails, a load balancer and snapshots are not in it.

${table(["", "Lading", "ECR", "registry:3 on a small server", "traffic"], months)}

ECR is cheaper where requests outweigh what is stored, since it asks ${money(PRICES.ecrGb)} for a GB and nothing for a request: a team with 1 GB and a million pulls a month pays ${money(PRICES.ecrGb)} there, and ${money(PRICES.storedGb + 1e6 * pull)} here.

## CloudFront

\`frontDoor=cloudfront\` adds ${money(PRICES.cloudFrontMillion)} for a million requests beyond the ten million a month that are free; uploads pass through it, downloads do not.

With \`downloads=cloudfront\` they do. Then a GB costs ${cents(PRICES.cloudFrontGb)} wherever it goes, also to clients of the region, who have it from S3 for nothing; the first TB of a month is free. The upload function runs as long as a client takes: ${cents((1000 / ASSUMED.uploadMbSecond) * ASSUMED.uploadGb * PRICES.gbSecond)} a GB at ${ASSUMED.uploadMbSecond} MB/s, and ${cents(1000 * ASSUMED.uploadGb * PRICES.gbSecond)} for a client alone that takes 1 MB/s, which up to 64 at a time share.
`;
  return await format(text, { ...(await resolveConfig(FILE)), filepath: FILE });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) writeFileSync(FILE, await costPage());
