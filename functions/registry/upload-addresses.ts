/** Signed addresses of upload sessions: who is sent to the host for uploads, with what, and who is let in there. */
import { Capabilities, type Grant, type Verdict } from "../../shared/auth/capability.ts";
import type { Principal } from "../../shared/auth/authenticator.ts";
import type { ParameterReference, UploadsConfig } from "../../shared/config/config.ts";
import { secretsIn } from "../../shared/config/uploads.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import type { RepositoryName } from "../../shared/oci/reference.ts";
import type { TextSource } from "../../shared/reloading/reloading.ts";

/** What addresses are signed with, of this moment. */
export interface Secrets {
  /** The first signs, all are accepted; at least one. */
  latest(): readonly string[];
  /** Brings them up to date; `urgent`, where one is missing. Never rejects. */
  refresh(urgent?: boolean): Promise<void>;
}

/** Where the bodies of uploads go, and what lets them in. */
export interface UploadAddresses {
  /** Brings what signs up to date: to be called before a request that `capabilities` are asked for. Never rejects. */
  refresh(urgent?: boolean): Promise<void>;
  readonly capabilities: Capabilities;
  /** Scheme, host, port and perhaps a path, with no slash at the end. Absent: nobody is sent anywhere. */
  readonly host?: string;
  /** Whether a client with this User-Agent follows a Location to another host. */
  follows(userAgent: string): boolean;
  /** Whether a request with this `Host` header came to `host`. */
  isHost(header: string | undefined): boolean;
}

/** The most that a text with secrets may have, in bytes. */
const SECRETS_BYTES = 64 * 1024;

/**
 * The secrets of a configuration: those that it gives, or before them those of its parameter, which `source` has. Throws
 * what reading that throws.
 */
export async function openSecrets(
  { secrets, secretParameter }: UploadsConfig,
  source: (parameter: ParameterReference) => TextSource,
  onBadChange: (error: unknown) => void,
): Promise<Secrets> {
  if (secretParameter === undefined) return constantSecrets(secrets);
  const text = source(secretParameter);
  const parse = (lines: string): readonly string[] => [...secretsIn(lines), ...secrets];
  try {
    const lines = await text.open({ maxBytes: SECRETS_BYTES, parse, onBadChange });
    let latest = await lines.current();
    return {
      latest: () => latest,
      refresh: async (urgent) => {
        latest = await lines.current(urgent);
      },
    };
  } catch (error) {
    throw new Error(`http.secret, ${text.name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function constantSecrets(secrets: readonly string[]): Secrets {
  return { latest: () => secrets, refresh: async () => undefined };
}

/** As the configuration has it. `now` ends the life of what is signed. */
export function createUploadAddresses(
  config: UploadsConfig,
  now: () => Date,
  secrets = constantSecrets(config.secrets),
): UploadAddresses {
  const { expiryMs, host, clients } = config;
  const patterns = clients.map((source) => new RegExp(source, "iu"));
  const names = host === undefined ? [] : hostHeadersOf(new URL(host));
  return {
    refresh: async (urgent) => await secrets.refresh(urgent),
    capabilities: new Capabilities({ secrets: () => secrets.latest(), lifetimeMs: expiryMs, now }),
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
 * Who may use a signed address. One that another instance has signed with a secret that is new here is good. Throws BLOB_UPLOAD_UNKNOWN, which makes clients begin the upload again, and never asks for
 * credentials: they belong to another host, or were consumed with a body.
 */
export async function checkSigned(
  uploads: UploadAddresses | undefined,
  { name, id, capability }: { name: RepositoryName; id: string; capability: string },
): Promise<Principal> {
  const verify = (): Verdict => uploads?.capabilities.verify(capability, grantOf(name, id)) ?? { kind: "refused" };
  let verdict = verify();
  if (verdict.kind === "refused") {
    await uploads?.refresh(true);
    verdict = verify();
  }
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
