import { randomUUID } from "node:crypto";

/**
 * UUIDs of version 8, whose meaning is their maker's (RFC 9562). Registries of the distribution make versions 4 and 7: a
 * session of theirs has a start just as ours, but its bytes lie elsewhere, so it would pass for an empty one of ours.
 */
const OWN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A new id of an upload session. */
export function newSessionId(): string {
  const id = randomUUID();
  return `${id.slice(0, 14)}8${id.slice(15)}`;
}

/** Is it an id of ours, whether there is such a session or not? */
export function isSessionId(id: string): boolean {
  return OWN_ID.test(id);
}
