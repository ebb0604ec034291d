import { asError } from "../storage/as-error.ts";
import { mapLimit } from "../storage/concurrency.ts";
import { OverloadedError } from "../storage/driver.ts";

/**
 * `work` for each item, at most `limit` at a time: what each gives, or why it failed, in the order of the items. Once the
 * store has too much to do no more is begun, since each would wait as long: the rest fails for the same reason.
 */
export async function eachTried<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<(R | Error)[]> {
  let trouble: Error | undefined;
  return await mapLimit(items, limit, async (item) => {
    if (trouble !== undefined) return trouble;
    try {
      return await work(item);
    } catch (thrown) {
      const error = asError(thrown);
      if (isPassing(error)) trouble = error;
      return error;
    }
  });
}

/** Is it the store, which may be well again soon, and not the one thing that was asked for? */
export function isPassing(error: Error): boolean {
  return error instanceof OverloadedError;
}
