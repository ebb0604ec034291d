/** Passes a body on and tells how many bytes were read from it, once, when it ends in whatever way. */
export function observeBody(
  body: ReadableStream<Uint8Array>,
  ended: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  let told = false;
  const tell = (): void => {
    // A body is cancelled while it is being read too, and then that reading ends as well.
    if (told) return;
    told = true;
    ended(bytes);
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (told) return;
          if (done) {
            controller.close();
            tell();
          } else {
            bytes += value.byteLength;
            controller.enqueue(value);
          }
        } catch (error) {
          controller.error(error);
          tell();
        }
      },
      async cancel(reason) {
        tell();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
