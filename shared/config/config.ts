import type { TagPatterns } from "../oci/name-pattern.ts";
import type { S3Settings } from "../storage/s3/settings.ts";

/**
 * What the registry is told to do, checked once at start. Every field is decided: no default is
 * left for a reader of the configuration to choose, and no raw string is left to parse.
 */
export interface Config {
  readonly log: LogConfig;
  readonly storage: StorageConfig;
  readonly auth: AuthConfig;
  readonly http: HttpConfig;
  readonly health: HealthConfig;
  readonly validation: ValidationConfig;
  readonly catalog: {
    /** The most repositories in one answer of `/v2/_catalog`. */
    readonly maxEntries: number;
  };
  readonly tags: {
    /** The most tags in one answer to a client that asks for `n` of them. */
    readonly maxEntries: number;
  };
}

export interface LogConfig {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly formatter: "text" | "json";
  /** Written with every line. */
  readonly fields: Readonly<Record<string, string>>;
  /** One line a request. */
  readonly accessLog: boolean;
}

export interface StorageConfig {
  readonly driver:
    | { readonly kind: "filesystem"; readonly rootDirectory: string }
    | { readonly kind: "s3"; readonly settings: S3Settings; readonly logRequests: boolean }
    | { readonly kind: "inmemory" };
  readonly deleteEnabled: boolean;
  readonly readOnly: boolean;
  readonly redirect: RedirectConfig;
  /** How many tag links are read at a time when a manifest is deleted; at least 1. */
  readonly tagConcurrency: number;
  /** Tags that any of these selects never name anything else. */
  readonly immutableTags: readonly TagPatterns[];
  readonly uploadPurging: {
    readonly enabled: boolean;
    /** Upload sessions older than this are removed; above 0. */
    readonly ageMs: number;
    /** Above 0, and within what a timer can hold. */
    readonly intervalMs: number;
    readonly dryRun: boolean;
  };
  readonly gc: {
    /** How long what a client was told of is kept for it. Everything that serves or collects one storage must agree on it. */
    readonly graceMs: number;
    /** Of these the first that is about a tag, or an untagged manifest, decides what becomes of it. */
    readonly retention: readonly RetentionRule[];
    /** Is it recorded, by the day, what is pulled? A function, which stands still after its answer, does it before. */
    readonly recordPulls: "never" | "after the answer" | "before the answer";
    /** Are copies put aside of what is deleted, where the store keeps nothing itself? */
    readonly setAside: boolean;
    /** How long what was deleted is kept, where that is for us to say. */
    readonly trashMs: number;
    /** How many requests to the storage a collection has under way at once at the most, from 1. Absent: its own measure. */
    readonly concurrency?: number | undefined;
    /** Which share of the time a collection is at work, above 0 and at most 1; it rests for the other. */
    readonly share: number;
  };
}

/** Which tags and manifests a collection takes: see `shared/gc/retention-rules.ts`. */
export interface RetentionRule extends TagPatterns {
  /** At least one of these, each above 0. Absent: all tags that the rule is about stay. */
  readonly keep?: {
    readonly last?: number;
    readonly matching?: readonly string[];
    readonly youngerThanMs?: number;
    readonly pulledWithinMs?: number;
  };
  /** Above 0. */
  readonly expireUntaggedMs?: number;
}

/** Whether a client that downloads a blob is sent to the store, where that has an address of its own. */
export interface RedirectConfig {
  readonly disabled: boolean;
  /** HEAD of a blob as well. Absent: where the host cannot tell the length that it has. */
  readonly head?: boolean;
  /** Who is not sent there. */
  readonly except: {
    readonly networks: readonly Network[];
    /** Each the source of a regular expression known to compile with the flags `iu`, and not anchored. */
    readonly clients: readonly string[];
  };
  /** Proxies whose word is taken for the address of the client. */
  readonly trustedProxies: readonly Network[];
}

/** Addresses that begin with the same bits, as node:net has it in `BlockList`. */
export interface Network {
  readonly address: string;
  /** From 0 to the bits of an address. */
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

export type AuthConfig =
  | { readonly kind: "none" }
  | {
      readonly kind: "htpasswd";
      readonly realm: string;
      /** Who sends no credentials may pull. */
      readonly anonymousPull: boolean;
      /** Where the text of an htpasswd file is. */
      readonly users: { readonly kind: "file"; readonly path: string } | ParameterReference;
    };

/** A text that AWS keeps, read at run time and again when it has changed. */
export interface ParameterReference {
  readonly kind: "parameter";
  /** A parameter of Systems Manager, or a secret of Secrets Manager. */
  readonly service: "ssm" | "secretsmanager";
  /** Name or ARN. */
  readonly name: string;
}

/** Where to listen. An empty host is every interface: listen without naming one. */
export interface TcpAddress {
  readonly kind: "tcp";
  readonly host: string;
  readonly port: number;
}

export interface HttpConfig {
  readonly listen: TcpAddress | { readonly kind: "unix"; readonly path: string };
  /** `/`, or a path such as `/x/` with a slash at both ends. */
  readonly prefix: string;
  /** `http.host`: scheme, host, port and perhaps a path, with no slash at the end. */
  readonly baseUrl?: string;
  /** 0: stop at once. Within what a timer can hold. */
  readonly drainTimeoutMs: number;
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly tls?: TlsConfig;
  /** Absent: no address is signed, and none is accepted. */
  readonly uploads?: UploadsConfig;
  readonly debug?: {
    readonly listen: TcpAddress;
    readonly prometheus?: { readonly path: string };
  };
}

/** Signed addresses for the bodies of uploads: what signs them, and who is sent to them. */
export interface UploadsConfig {
  /** The first signs, all are accepted; each has at least 16 characters. At least one, unless there is a parameter. */
  readonly secrets: readonly string[];
  /** Whose lines are secrets that come before those. */
  readonly secretParameter?: ParameterReference;
  /** How long a signed address holds; above 0. */
  readonly expiryMs: number;
  /** Scheme, host, port and perhaps a path, with no slash at the end. Absent: nobody is sent anywhere. */
  readonly host?: string;
  /**
   * Who is sent there: those whose User-Agent matches one of these, each the source of a regular expression known to
   * compile with the flags `iu`, and not anchored.
   */
  readonly clients: readonly string[];
}

/** Paths of PEM files, which are not read here, and what to ask of a client. */
export interface TlsConfig {
  readonly certificate: string;
  readonly key: string;
  readonly clientCAs: readonly string[];
  readonly clientAuth: ClientAuth;
  /** As node:tls names its `minVersion`. */
  readonly minimumVersion: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
  /** OpenSSL names, in order of preference. Absent: the defaults of node:tls. */
  readonly cipherSuites?: readonly string[];
}

/**
 * What is asked of a client's certificate. `none`: nothing. The others are distribution's names:
 * `request-client-cert` asks and accepts any or none; `require-any-client-cert` needs one and does
 * not verify it; `verify-client-cert-if-given` accepts none, or one that verifies;
 * `require-and-verify-client-cert` needs one that verifies.
 */
export type ClientAuth =
  | "none"
  | "request-client-cert"
  | "require-any-client-cert"
  | "verify-client-cert-if-given"
  | "require-and-verify-client-cert";

/** How often to look, and how many failures in a row make the registry unhealthy (at least 1). */
interface Check {
  readonly intervalMs: number;
  readonly threshold: number;
}

export interface FileCheck extends Check {
  /** Unhealthy while this file exists. */
  readonly file: string;
}

export interface HttpCheck extends Check {
  readonly uri: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly statusCode: number;
  readonly timeoutMs: number;
}

export interface TcpCheck extends Check {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

export interface HealthConfig {
  readonly storage: Check & { readonly enabled: boolean };
  readonly file: readonly FileCheck[];
  readonly http: readonly HttpCheck[];
  readonly tcp: readonly TcpCheck[];
}

export interface ValidationConfig {
  /** Accept a manifest of any kind whose blobs or manifests are not here. Our own key. */
  readonly allowSparseManifests: boolean;
  /** Accept an index whose manifests are not here (`validation.manifests.indexes.platforms: none`). */
  readonly allowSparseIndexes: boolean;
  readonly urls: UrlRules;
}

/**
 * Which `urls` a pushed manifest may give for a layer. Each pattern is the source of a regular
 * expression known to compile with the flag `u` and not anchored: use `new RegExp(source, "u")`.
 *
 * `checked: false`: any. Otherwise every URL must be http or https, without a fragment, and
 * - match no pattern of `deny`, and
 * - match a pattern of `allow`, unless `allow` is empty and `deny` is not;
 * - with both empty there is no rule (distribution then allows no URL at all, and so no image that names one).
 */
export interface UrlRules {
  readonly checked: boolean;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}
