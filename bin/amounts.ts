/** What a run left and found, as the commands say it: of what its record has. */
import type { Amount, Counts, Summary } from "../shared/gc/summary.ts";
import { countOf, sizeOf } from "./console.ts";

/** `1 blob (7 B), 0 manifests and 2 tags`. */
export function amountOf({ blobs, bytes, manifests, tags }: Amount): string {
  return `${countOf(blobs, "blob")} (${sizeOf(bytes)}), ${countOf(manifests, "manifest")} and ${countOf(tags, "tag")}`;
}

/** What there is of each, of what there is any: `7 blobs (1.2 MB), 2 manifests and 1 tag`, or `nothing`. */
export function someOf(amount: Amount, uploads?: Pick<Counts, "uploads" | "uploadBytes">): string {
  const { blobs, bytes, manifests, tags } = amount;
  const parts = [
    ...(blobs > 0 ? [`${countOf(blobs, "blob")} (${sizeOf(bytes)})`] : []),
    ...(manifests > 0 ? [countOf(manifests, "manifest")] : []),
    ...(tags > 0 ? [countOf(tags, "tag")] : []),
    ...(uploads !== undefined && uploads.uploads > 0
      ? [`${countOf(uploads.uploads, "abandoned upload")} (${sizeOf(uploads.uploadBytes)})`]
      : []),
  ];
  const last = parts.pop() ?? "nothing";
  return parts.length === 0 ? last : `${parts.join(", ")} and ${last}`;
}

/** How many things there are in an amount; none where it was not counted. */
export function countAll(amount: Amount | undefined): number {
  return amount === undefined ? 0 : amount.blobs + amount.manifests + amount.tags;
}

/**
 * What is condemned when a run has ended, and from when on it goes, with `hint` behind; then what could go and stays. Of a run
 * that failed only what it knows: what an earlier one condemned. Older records say nothing of it.
 */
export function condemnedLines(summary: Summary, hint = ""): string[] {
  const { outcome, fresh, freshFrom, waiting, waitingFrom, refused } = summary;
  const lines: string[] = [];
  const add = (amount: Amount | undefined, from: string | undefined, by: string): void => {
    if (amount === undefined || from === undefined) return;
    const them = countAll(amount) === 1 ? "it" : "them";
    lines.push(`${someOf(amount)} condemned${by}; a run from ${from} on deletes ${them}${hint}`);
  };
  add(waiting, waitingFrom, " by an earlier run");
  if (outcome === "failed" || fresh === undefined) return lines;
  add(fresh, freshFrom, "");
  const ripe = leftOf(summary) - refused - countAll(fresh) - countAll(waiting);
  if (ripe > 0) lines.push(`${ripe} that could go stay for now: what needs them is there, or they were set again`);
  return lines;
}

/** What is condemned when a run has ended, or was when it began and is too young. */
export function leftOf(summary: Summary): number {
  const { eligible, eligibleManifests, eligibleTags, deleted, deletedManifests, deletedTags, lost } = summary;
  return Math.max(0, eligible + eligibleManifests + eligibleTags - deleted - deletedManifests - deletedTags - lost);
}

/** What is too young, and what is not whole. */
export function foundLines({ young, incomplete }: Summary): string[] {
  const lines: string[] = [];
  if (young !== undefined && young.blobs > 0) {
    const are = young.blobs === 1 ? "is" : "are";
    lines.push(`${countOf(young.blobs, "blob")} (${sizeOf(young.bytes)}) that nothing refers to ${are} too young`);
  }
  if (incomplete > 0) {
    const refer = incomplete === 1 ? "refers" : "refer";
    lines.push(`${countOf(incomplete, "manifest")} ${refer} to blobs that are not stored; "lading verify" says which`);
  }
  return lines;
}
