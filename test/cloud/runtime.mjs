// What Lambda's runtime does: loads the bundle, and calls its handler with one event after the other.
/** @type {{ handler: (event: unknown) => Promise<unknown> }} */
// eslint-disable-next-line @typescript-eslint/no-unsafe-assignment -- what a bundle exports is known to nobody
const bundle = await import(String(process.argv[2]));

/** @param {unknown} event */
async function answer(event) {
  try {
    process.send?.({ result: JSON.stringify(await bundle.handler(JSON.parse(String(event)))) });
  } catch (error) {
    process.send?.({ error: String(error) });
  }
}

process.on("message", (event) => void answer(event));
process.send?.({ ready: true });
