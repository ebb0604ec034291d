/** What handlers see of a request, whichever host it came through. */
import type { Principal } from "../../shared/auth/authenticator.ts";
import type { Authorizer } from "../../shared/auth/authorizer.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import { limits } from "../../shared/oci/limits.ts";
import type { Registry } from "../../shared/registry/registry.ts";
import type { OngoingCommits } from "../../shared/registry/ongoing-commits.ts";
import type { Body } from "../../shared/registry/upload-store.ts";
import type { Redirects } from "./redirects.ts";
import type { UploadAddresses } from "./upload-addresses.ts";

/** Settings of the HTTP API. */
export interface ApiSettings {
  /** Below which path the API lies: begins and ends in a slash. */
  readonly prefix: string;
  /** Where the outside reaches the registry, for absolute Locations; without it they are relative to the host. */
  readonly baseUrl?: string;
  /** Signed addresses for uploads; without it none is given and none is accepted. */
  readonly uploads?: UploadAddresses;
  /** Who gets blobs from the store itself, if that can be; without it nobody does. */
  readonly redirects?: Redirects;
  /** Headers that every answer carries. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly deleteEnabled: boolean;
  readonly readOnly: boolean;
  readonly catalogMaxEntries: number;
  /** Most tags in one answer to a client that says how many it wants. */
  readonly tagsMaxEntries: number;
}

export interface ApiRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  header(name: string): string | undefined;
  body(): Body;
  /** Of the host's peer, where it has one. */
  readonly remoteAddress: string | undefined;
  readonly principal: Principal;
  /** It came to a signed address, which says who the principal is. */
  readonly signed: boolean;
  readonly registry: Registry;
  readonly commits: OngoingCommits;
  readonly authorizer: Authorizer;
  readonly settings: ApiSettings;
}

/**
 * The URL of something in the API, for a Location or Link header: `path` begins with `v2/`. A client that came to the host
 * for uploads of its own accord stays there: some follow no Location to another host.
 */
export function urlOf(request: ApiRequest, path: string): string {
  const { baseUrl, prefix, uploads } = request.settings;
  if (baseUrl === undefined || uploads?.isHost(request.header("host")) === true) return hostlessUrlOf(request, path);
  return `${baseUrl}${prefix}${path}`;
}

/** The same on whichever host the client came to. */
export function hostlessUrlOf(request: ApiRequest, path: string): string {
  return `${forwardedPrefix(request.header("x-forwarded-prefix"))}${request.settings.prefix}${path}`;
}

/** The path that a proxy took off, in a form that can stand in a header; anything else is ignored. */
function forwardedPrefix(value: string | undefined): string {
  if (value === undefined || !/^(?:\/[A-Za-z0-9._~-]+)+\/?$/.test(value)) return "";
  return value.endsWith("/") ? value.slice(0, -1) : value;
}

/** The number of entries that a client wants. Throws PAGINATION_NUMBER_INVALID. */
export function pageLimit(query: URLSearchParams, most: number): number {
  const text = query.get("n");
  if (text === null || text === "") return most;
  if (!/^\d{1,9}$/.test(text)) {
    throw new RegistryError("PAGINATION_NUMBER_INVALID", "n is the number of entries wanted: 0 or more", {
      n: text.slice(0, 40),
    });
  }
  return Math.min(Number(text), most);
}

/** A whole body that must be small. Throws MANIFEST_TOO_LARGE, after reading no more than the limit. */
export async function readManifestBody(request: ApiRequest): Promise<Uint8Array> {
  const tooLarge = (): RegistryError =>
    new RegistryError("MANIFEST_TOO_LARGE", `a manifest has at most ${limits.manifestBytes} bytes`);
  if (Number(request.header("content-length") ?? 0) > limits.manifestBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body()) {
    size += chunk.byteLength;
    if (size > limits.manifestBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
