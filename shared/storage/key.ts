/**
 * Keys that every driver can hold: one or more components of printable ASCII joined by single slashes, none of them `.`
 * or `..`. Checked by every driver on every call, so that no key can leave a folder's root.
 */
const MAX_KEY_BYTES = 1024;
const FORBIDDEN = /[^\x21-\x7e]|\\|\/\/|(?:^|\/)\.{1,2}(?:\/|$)/;

/** Throws for a string that is no key. That is a fault in the caller, never a client's: names are parsed long before. */
export function checkKey(key: string): void {
  if (key === "" || key.length > MAX_KEY_BYTES || key.startsWith("/") || key.endsWith("/") || FORBIDDEN.test(key)) {
    throw new TypeError(`not a storage key: ${JSON.stringify(key)}`);
  }
}

/** Throws for a string that is neither empty nor a key followed by a slash. */
export function checkPrefix(prefix: string): void {
  if (prefix === "") return;
  if (!prefix.endsWith("/")) throw new TypeError(`a prefix ends in '/': ${JSON.stringify(prefix)}`);
  checkKey(prefix.slice(0, -1));
}

/** Throws for a string that is no permit's id: `<run>/<nonce>`, each of letters, digits and dashes. */
export function checkPermitId(id: string): void {
  if (!/^[A-Za-z0-9-]{1,100}\/[A-Za-z0-9-]{1,100}$/.test(id)) {
    throw new TypeError(`not the id of a permit: ${JSON.stringify(id)}`);
  }
}

/** Throws for a string that cannot be the first part of one. */
export function checkRun(run: string): void {
  checkPermitId(`${run}/x`);
}
