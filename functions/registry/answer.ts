/** What a handler gives: a plain value, rendered in one place. */
export interface Answer {
  readonly status: number;
  /** Several values of one name are sent as several lines. */
  readonly headers: Record<string, string | string[]>;
  readonly body: string | Uint8Array | ReadableStream<Uint8Array> | null;
}

/** An answer without a body. Says so where a body could be: clients wait for one otherwise. */
export function empty(status: number, headers: Answer["headers"] = {}): Answer {
  return { status, headers: status === 204 ? headers : { ...headers, "Content-Length": "0" }, body: null };
}

/** An answer in JSON. */
export function json(value: unknown, headers: Answer["headers"] = {}, type = "application/json"): Answer {
  return { status: 200, headers: { "Content-Type": type, ...headers }, body: JSON.stringify(value) };
}
