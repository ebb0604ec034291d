/** What handlers see of a request, whichever host it came through. */
import type { Principal } from "../../shared/auth/authenticator.ts";
import type { Authorizer } from "../../shared/auth/authorizer.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import { limits } from "../../shared/oci/limits.ts";
import type { Registry } from "../../shared/registry/registry.ts";
import type { Body } from "../../shared/registry/upload-store.ts";

/** Settings of the HTTP API. */
export interface ApiSettings {
  /** Below which path the API lies: begins and ends in a slash. */
  readonly prefix: string;
  /** Where the outside reaches the registry, for absolute Locations; without it they are relative to the host. */
  readonly baseUrl?: string;
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
  readonly principal: Principal;
  readonly registry: Registry;
  readonly authorizer: Authorizer;
  readonly settings: ApiSettings;
}

/** The URL of something in the API, for a Location or Link header: `path` begins with `v2/`. */
export function urlOf(request: ApiRequest, path: string): string {
  const { baseUrl, prefix } = request.settings;
  const outer = forwardedPrefix(request.header("x-forwarded-prefix"));
  return `${baseUrl ?? outer}${prefix}${path}`;
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
