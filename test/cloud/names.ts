/** The names that the parts of the cloud have on this machine, each one of its own, as they have with AWS. */
import { lookup } from "node:dns/promises";
import { appendFileSync } from "node:fs";

/** Clients take what ends in .localhost for a place that needs no TLS. */
export const HOSTNAMES = {
  api: "registry.lading.localhost",
  uploads: "uploads.lading.localhost",
  store: "s3.lading.localhost",
} as const;

/** What a file of hosts needs, in one line. */
export const HOSTS_LINE = `127.0.0.1 ${Object.values(HOSTNAMES).join(" ")}`;

/** Makes the names mean 127.0.0.1 for every program here, in /etc/hosts. Throws with a sentence where that may not be. */
export async function knowNames(): Promise<void> {
  if (await areKnown()) return;
  try {
    appendFileSync("/etc/hosts", `${HOSTS_LINE}\n`);
  } catch (error) {
    throw new Error(`clients have to find the functions by their names: add this line to /etc/hosts\n${HOSTS_LINE}`, {
      cause: error,
    });
  }
  if (!(await areKnown())) throw new Error(`/etc/hosts is not asked for names here, and has to be: ${HOSTS_LINE}`);
}

/** A URL with a name in the place of 127.0.0.1: some clients follow no redirect to an address of this machine. */
export function withName(url: string, name: string): string {
  const named = new URL(url);
  named.hostname = name;
  return named.href.replace(/\/$/, "");
}

async function areKnown(): Promise<boolean> {
  const addresses = await Promise.all(
    Object.values(HOSTNAMES).map(async (name) => (await lookup(name).catch(() => undefined))?.address),
  );
  return addresses.every((address) => address === "127.0.0.1");
}
