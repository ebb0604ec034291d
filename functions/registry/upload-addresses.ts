/** Signed addresses of upload sessions: who is sent to the host for uploads, with what, and who is let in there. */
import { Capabilities, type Grant } from "../../shared/auth/capability.ts";
import type { Principal } from "../../shared/auth/authenticator.ts";
import type { UploadsConfig } from "../../shared/config/config.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import type { RepositoryName } from "../../shared/oci/reference.ts";

/** Where the bodies of uploads go, and what lets them in. */
export interface UploadAddresses {
  readonly capabilities: Capabilities;
  /** Scheme, host, port and perhaps a path, with no slash at the end. Absent: nobody is sent anywhere. */
  readonly host?: string;
  /** Whether a client with this User-Agent follows a Location to another host. */
  follows(userAgent: string): boolean;
  /** Whether a request with this `Host` header came to `host`. */
  isHost(header: string | undefined): boolean;
}

/** As the configuration has it. `now` ends the life of what is signed. */
export function createUploadAddresses(config: UploadsConfig, now: () => Date): UploadAddresses {
  const { secrets, expiryMs, host, clients } = config;
  const patterns = clients.map((source) => new RegExp(source, "iu"));
  const names = host === undefined ? [] : hostHeadersOf(new URL(host));
  return {
    capabilities: new Capabilities({ secrets, lifetimeMs: expiryMs, now }),
    ...(host === undefined ? {} : { host }),
    follows: (userAgent) => patterns.some((pattern) => pattern.test(userAgent)),
    isHost: (header) => header !== undefined && names.includes(header.toLowerCase()),
  };
}

/** With the port, and without it where it is the usual one: clients send both. */
function hostHeadersOf({ protocol, host, hostname, port }: URL): string[] {
  return port === "" ? [host, `${hostname}:${protocol === "https:" ? 443 : 80}`] : [host];
}

/** The last part of a session's signed path: its id, and what proves that this principal may push into it. */
export function signedSession(
  { capabilities }: UploadAddresses,
  name: RepositoryName,
  id: string,
  principal: Principal,
): string {
  return `${id}.${capabilities.mint(grantOf(name, id), principal)}`;
}

/**
 * Who may use a signed address. Throws BLOB_UPLOAD_UNKNOWN, which makes clients begin the upload again, and never asks for
 * credentials: they belong to another host, or were consumed with a body.
 */
export function checkSigned(
  uploads: UploadAddresses | undefined,
  { name, id, capability }: { name: RepositoryName; id: string; capability: string },
): Principal {
  const verdict = uploads?.capabilities.verify(capability, grantOf(name, id)) ?? { kind: "refused" };
  switch (verdict.kind) {
    case "granted":
      return verdict.principal;
    case "expired":
      throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "the address of this upload has expired; start a new upload");
    case "refused":
      throw new RegistryError(
        "BLOB_UPLOAD_UNKNOWN",
        "this is not the address of an upload as it was given out; start a new upload",
      );
  }
}

/** The sentence for a body that is larger than this instance can take: what the limit is, and where there is none. */
export function bodyTooLarge(limitBytes: number, uploads: UploadAddresses | undefined): string {
  const limit = `a request takes at most ${limitBytes} bytes here`;
  return uploads?.host === undefined
    ? `${limit}; send the upload in chunks, or have the registry given an upload address (http.uploads.host)`
    : `${limit}; push to ${uploads.host}, which takes any size, or send the upload in chunks`;
}

function grantOf(repository: RepositoryName, session: string): Grant {
  return { right: "push", repository, session };
}
