/** Passes a body on and tells how many bytes were read from it, once, when it ends in whatever way. */
export function observeBody(
  body: ReadableStream<Uint8Array>,
  ended: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            controller.close();
            ended(bytes);
          } else {
            bytes += value.byteLength;
            controller.enqueue(value);
          }
        } catch (error) {
          controller.error(error);
          ended(bytes);
        }
      },
      async cancel(reason) {
        ended(bytes);
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
