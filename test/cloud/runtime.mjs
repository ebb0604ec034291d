// What Lambda's runtime does: loads the bundle, and calls its handler with one event after the other.
/** @type {{ handler: (event: unknown, context: { functionName: string | undefined, getRemainingTimeInMillis(): number }) => Promise<unknown> }} */
// eslint-disable-next-line @typescript-eslint/no-unsafe-assignment -- what a bundle exports is known to nobody
const bundle = await import(String(process.argv[2]));

/** @param {{ event: string, timeoutMs: number }} message */
async function answer({ event, timeoutMs }) {
  const end = performance.now() + timeoutMs;
  const context = {
    functionName: process.env["AWS_LAMBDA_FUNCTION_NAME"],
    getRemainingTimeInMillis: () => Math.max(0, end - performance.now()),
  };
  try {
    process.send?.({ result: JSON.stringify(await bundle.handler(JSON.parse(event), context)) });
  } catch (error) {
    process.send?.({ error: String(error) });
  }
}

process.on("message", (message) => void answer(/** @type {{ event: string, timeoutMs: number }} */ (message)));
process.send?.({ ready: true });
