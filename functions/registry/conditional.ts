/**
 * Conditional and range requests on content that never changes.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13 and #section-14
 */
import type { ByteRange } from "../../shared/storage/driver.ts";

/** More ranges than this are answered with the whole: no client needs them, and each costs a request to the store. */
const MAX_RANGES = 256;

export type Precondition = "proceed" | "not-modified" | "failed";

/** What If-Match and If-None-Match ask for, given the etag of the content, quotes included. */
export function checkPreconditions(
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined,
  etag: string,
): Precondition {
  if (ifMatch !== undefined && !matches(ifMatch, etag, false)) return "failed";
  if (ifNoneMatch !== undefined && matches(ifNoneMatch, etag, true)) return "not-modified";
  return "proceed";
}

function matches(header: string, etag: string, weak: boolean): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((item) => {
    const candidate = item.trim();
    return candidate === etag || (weak && candidate === `W/${etag}`);
  });
}

/**
 * The ranges that a Range header asks for, of content of `size` bytes. Undefined: answer with the whole (there is no header,
 * it is not understood, or it asks for more than the whole). Empty: none of them can be satisfied.
 */
export function parseRanges(header: string | undefined, size: number): ByteRange[] | undefined {
  if (header === undefined) return undefined;
  const spec = /^\s*bytes\s*=(.*)$/i.exec(header)?.[1];
  if (spec === undefined) return undefined;
  const items = spec
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
  if (items.length === 0 || items.length > MAX_RANGES) return undefined;
  const ranges: ByteRange[] = [];
  for (const item of items) {
    const match = /^(\d{0,15})-(\d{0,15})$/.exec(item);
    const [first = "", last = ""] = match?.slice(1) ?? [];
    if (match === null || (first === "" && last === "")) return undefined;
    if (first !== "" && last !== "" && Number(last) < Number(first)) return undefined;
    const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
    const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
    if (start <= end) ranges.push({ start, end });
  }
  const wanted = ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);
  return ranges.length > 1 && wanted > size ? undefined : ranges;
}

/** Content-Range of one range. */
export function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end}/${size}`;
}
