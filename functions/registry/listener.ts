/** From Node's requests to the app's, and its answers back. */
import type { RequestListener } from "node:http";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { limits } from "../../shared/oci/limits.ts";
import type { Body } from "../../shared/registry/upload-store.ts";
import type { HostBindings } from "./app.ts";
import { DrainableBody } from "./drainable-body.ts";

type Incoming = HttpBindings["incoming"];

/**
 * Hands each request to the app, with its URL, headers and body as they came. `halfDuplex`: what is in front reads no answer
 * before it has passed on the whole body, so that answers wait for the end of the body.
 */
export function createListener(
  fetch: (request: Request, host: HostBindings) => Response | Promise<Response>,
  { halfDuplex }: { readonly halfDuplex: boolean },
): RequestListener {
  const answer = (request: Request, incoming: Incoming, body: Body): Response | Promise<Response> =>
    fetch(request, {
      url: incoming.url,
      headers: incoming.headers,
      body,
      remoteAddress: incoming.socket.remoteAddress,
      httpVersion: incoming.httpVersion,
    });
  const answerThenDrain = async (request: Request, incoming: Incoming): Promise<Response> => {
    const body = new DrainableBody(incoming);
    const response = await answer(request, incoming, body);
    await body.drain(limits.drainMs);
    return response;
  };
  const listener = getRequestListener(
    (request, { incoming }) => {
      const message = incoming as Incoming;
      return halfDuplex ? answerThenDrain(request, message) : answer(request, message, message);
    },
    { hostname: "localhost" },
  );
  return (incoming, outgoing) => void listener(incoming, outgoing);
}
