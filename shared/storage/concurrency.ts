/**
 * `work` for each item, at most `limit` at a time; results in the order of the items. After a failure no more is begun; it
 * is thrown when what was begun has ended.
 */
export async function mapLimit<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    try {
      for (let index = next++; index < items.length; index = next++) {
        results[index] = await work(items[index] as T, index);
      }
    } catch (error) {
      next = items.length;
      throw error;
    }
  };
  await allEnded(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

/**
 * Waits until all have ended, then throws the first failure of the list, if any. For writes: what goes on after the client
 * was told of a failure could undo what it does next.
 */
export async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
