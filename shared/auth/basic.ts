/** Parses the `Authorization` header of RFC 7617 (https://www.rfc-editor.org/rfc/rfc7617). */

/** A name and a password as they were sent, not verified. */
export interface BasicCredentials {
  readonly name: string;
  readonly password: string;
}

/** What an `Authorization` header holds. `missing`: no header, or an empty user name, which is how podman says "nobody". */
export type BasicHeader =
  | { readonly kind: "credentials"; readonly credentials: BasicCredentials }
  | { readonly kind: "missing" }
  | { readonly kind: "malformed" };

/** The longest header that is looked at, in characters: far above any name and password bcrypt can verify. */
export const MAX_AUTHORIZATION_LENGTH = 4096;

const BASIC = /^basic +([A-Za-z0-9+/]+)(={0,2}) *$/i;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads Basic credentials: any case of the scheme, base64 with or without its padding, UTF-8, the name up to the
 * first colon. Never throws.
 */
export function parseBasicHeader(authorization: string | undefined): BasicHeader {
  if (authorization === undefined || authorization === "") return { kind: "missing" };
  if (authorization.length > MAX_AUTHORIZATION_LENGTH) return { kind: "malformed" };
  const match = BASIC.exec(authorization);
  const data = match?.[1];
  const padding = match?.[2];
  if (data === undefined || padding === undefined) return { kind: "malformed" };
  if (data.length % 4 === 1 || (padding !== "" && (data.length + padding.length) % 4 !== 0)) {
    return { kind: "malformed" };
  }

  let text: string;
  try {
    text = utf8.decode(Buffer.from(data, "base64"));
  } catch {
    return { kind: "malformed" };
  }
  const colon = text.indexOf(":");
  if (colon === -1) return { kind: "malformed" };
  if (colon === 0) return { kind: "missing" };
  return { kind: "credentials", credentials: { name: text.slice(0, colon), password: text.slice(colon + 1) } };
}

/**
 * The challenge for a realm: `Basic realm="…"`, quotes and backslashes escaped. Text outside ASCII is given as its
 * UTF-8 bytes, one character a byte, the only form a header value can carry.
 *
 * @throws RangeError the realm holds a control character
 */
export function basicChallenge(realm: string): string {
  if (/[\x00-\x1f\x7f]/.test(realm)) throw new RangeError("the realm must not hold control characters or line breaks");
  const escaped = realm.replace(/["\\]/g, "\\$&");
  return `Basic realm="${Buffer.from(escaped, "utf8").toString("latin1")}"`;
}
