/** docs/requests.md: what it says, and what is measured in its words. */
import { readFileSync } from "node:fs";
import { tableRows } from "../../support/markdown.ts";
import type { S3Operation } from "../../support/s3-operation.ts";
import type { RecordedRequest } from "../../support/s3-proxy.ts";
import { Client } from "./client.ts";
import type { Bench, RegistryName } from "./registries.ts";
import { WHOLE, type Row } from "./rows.ts";

export const FILE = "docs/requests.md";

/** What a call asked of the store. */
export interface Measured {
  readonly requests: number;
  /** Serial ones. */
  readonly trips: number;
  readonly lists: number;
  /** Of a million such calls, in dollars. */
  readonly price: number;
  /** Round by round, in a few words. */
  readonly story: string;
}

/** A row on both registries. */
export interface Comparison {
  readonly ours: Measured;
  readonly theirs: Measured;
}

let repositories = 0;

/** Measures a row on a registry. `silenceMs`: see `Rounds`. */
export async function measure(bench: Bench, row: Row, registry: RegistryName, silenceMs?: number): Promise<Measured> {
  const { downloads = "redirected", settings = {}, repository = `rows/r${++repositories}` } = row;
  const send = bench.fresh(registry, downloads, settings);
  const client = new Client(send, repository);
  const work = await row.prepare(client);
  const measured = row.warm === true ? client : client.through(bench.fresh(registry, downloads, settings));
  return inWords(await bench.inRounds(async () => await work(measured), silenceMs));
}

/** The same on both. */
export async function compare(bench: Bench, row: Row, silenceMs?: number): Promise<Comparison> {
  const ours = await measure(bench, row, "Lading", silenceMs);
  return { ours, theirs: await measure(bench, row, "registry 3.1", silenceMs) };
}

/** Which bars a row misses; "" where none. Of a whole push half of the requests is wanted, and of no call less than one. */
export function missed(heading: string, { ours, theirs }: Comparison): string {
  const most = heading === WHOLE.pushes ? theirs.requests / 2 : theirs.requests;
  return [
    ...(ours.requests > most ? ["requests"] : []),
    ...(ours.trips > Math.max(1, theirs.trips / 2) ? ["round trips"] : []),
  ].join(", ");
}

export const TITLE = [
  ...["", "requests", "round trips", "$ a million"],
  ...["3.1: requests", "3.1: round trips", "3.1: $ a million", "misses"],
];
const STORY = "what is asked";

/** The title of the table under a heading. */
export function titleOf(heading: string): string[] {
  return isWhole(heading) ? TITLE : [...TITLE, STORY];
}

/** A row in the words of the table. */
export function cellsOf(heading: string, { name }: Row, comparison: Comparison): string[] {
  const { ours, theirs } = comparison;
  const figures = ({ requests, trips, price }: Measured): string[] => [
    String(requests),
    String(trips),
    price.toFixed(price < 10 ? 1 : 0),
  ];
  const cells = [name, ...figures(ours), ...figures(theirs), missed(heading, comparison)];
  return isWhole(heading) ? cells : [...cells, ours.story];
}

/** Tables by their headings, as they stand in the file: the title first. */
export function documented(): Map<string, string[][]> {
  const tables = new Map<string, string[][]>();
  for (const section of readFileSync(FILE, "utf8").split(/^## /m).slice(1)) {
    const rows = tableRows(section);
    if (rows.length > 0) tables.set(section.split("\n")[0] ?? "", rows);
  }
  return tables;
}

const isWhole = (heading: string): boolean => Object.values(WHOLE).includes(heading);

/** By S3's price list for us-east-1, Standard; per request, in millionths of a dollar. What is not here is free. */
const WRITE = 5;
const READ = 0.4;
const PRICES: Partial<Record<S3Operation, { readonly word: string; readonly price: number }>> = {
  PutObject: { word: "PUT", price: WRITE },
  CopyObject: { word: "copy", price: WRITE },
  CreateMultipartUpload: { word: "begin parts", price: WRITE },
  UploadPart: { word: "part", price: WRITE },
  UploadPartCopy: { word: "copy part", price: WRITE },
  CompleteMultipartUpload: { word: "join parts", price: WRITE },
  ListObjects: { word: "LIST", price: WRITE },
  ListObjectsV2: { word: "LIST", price: WRITE },
  ListMultipartUploads: { word: "LIST uploads", price: WRITE },
  ListParts: { word: "LIST parts", price: WRITE },
  GetObject: { word: "GET", price: READ },
  HeadObject: { word: "HEAD", price: READ },
  DeleteObject: { word: "DELETE", price: 0 },
  DeleteObjects: { word: "DELETE many", price: 0 },
  AbortMultipartUpload: { word: "drop parts", price: 0 },
};

function inWords(rounds: readonly (readonly RecordedRequest[])[]): Measured {
  const all = rounds.flat();
  const known = (operation: S3Operation): { word: string; price: number } => {
    const found = PRICES[operation];
    if (found === undefined) throw new Error(`an operation without a price: ${operation}`);
    return found;
  };
  const told = rounds.map((round) => {
    const counts = new Map<string, number>();
    for (const { operation } of round) {
      const { word } = known(operation);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    return [...counts]
      .map(([word, count]) => (count === 1 ? word : `${count} ${word}`))
      .sort()
      .join(" + ");
  });
  return {
    requests: all.length,
    trips: rounds.length,
    lists: all.filter(({ operation }) => known(operation).word.startsWith("LIST")).length,
    price: all.reduce((sum, { operation }) => sum + known(operation).price, 0),
    story: told.join(", "),
  };
}
