import type { DeleteObjectsCommand, S3Client } from "@aws-sdk/client-s3";
import { S3RequestPresigner } from "@aws-sdk/s3-request-presigner";

/** What became of a request that must not be sent again: its cause. */
export class SentOnceError extends Error {
  override readonly name = "SentOnceError";
  constructor(cause: unknown) {
    super("sent once", { cause });
  }
}

/** Headers of a signature that was made already. */
const SIGNATURE = new Set(["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"]);

/**
 * Makes a command one that the store carries out for so many seconds from `signedAt` on, by the store's clock, and that is
 * sent once. What goes wrong is thrown as a SentOnceError.
 *
 * The request is signed in its query, as a URL is for a browser: the signature of a header is good for a quarter of an hour
 * at least, whatever is asked for.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export function signFor(client: S3Client, command: DeleteObjectsCommand, signedAt: Date, seconds: number): void {
  const presigner = new S3RequestPresigner(client.config);
  command.middlewareStack.add(
    (next) => async (args) => {
      // The SDK has signed it for now: that is taken off.
      const request = args.request as Parameters<S3RequestPresigner["presign"]>[0];
      request.headers = Object.fromEntries(
        Object.entries(request.headers).filter(([name]) => !SIGNATURE.has(name.toLowerCase())),
      );
      const unhoistableHeaders = new Set(Object.keys(request.headers).filter((name) => name.startsWith("x-amz-")));
      try {
        const options = { signingDate: signedAt, expiresIn: seconds, unhoistableHeaders };
        return await next({ ...args, request: await presigner.presign(request, options) });
      } catch (error) {
        throw new SentOnceError(error); // an error that the SDK does not know it does not try again
      }
    },
    { step: "finalizeRequest", priority: "low", name: "signedFor" }, // the last
  );
}
