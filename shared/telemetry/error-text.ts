/** How many causes are followed: a chain may be a circle. */
const MAX_CAUSES = 4;

/** An error in one sentence: its message and those of its causes. Never empty. */
export function errorSummary(error: unknown): string {
  return chain(error)
    .map((each) => (each instanceof Error ? messageOf(each) : String(each)))
    .join(": ");
}

/** The stack of an error and of its causes, over several lines. */
export function errorStack(error: Error): string {
  return chain(error)
    .map((each) => (each instanceof Error ? (each.stack ?? messageOf(each)) : String(each)))
    .join("\ncaused by: ");
}

function chain(error: unknown): unknown[] {
  const errors: unknown[] = [error];
  let last = error;
  while (last instanceof Error && last.cause !== undefined && last.cause !== null && errors.length <= MAX_CAUSES) {
    last = last.cause;
    errors.push(last);
  }
  return errors;
}

function messageOf(error: Error): string {
  if (error.message !== "") return error.message;
  // A connection refused on every address of a name is an AggregateError without a message of its own.
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join("; ");
  }
  return error.name;
}
