/** The HTTP server under the app: TLS, time limits, what the parser refuses, listening and draining. */
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { HttpConfig, TlsConfig } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";

/** A server for the app, with or without TLS, not yet listening. Throws where a file of the TLS settings cannot be read. */
export async function createHttpServer(http: HttpConfig, onRequest: RequestListener): Promise<Server> {
  const options = { requestTimeout: 0, headersTimeout: limits.headersMs, keepAliveTimeout: limits.keepAliveMs };
  const server =
    http.tls === undefined ? createServer(options, onRequest) : await createTls(http.tls, options, onRequest);
  server.setTimeout(limits.silenceMs);
  server.on("clientError", answerMalformed);
  return server;
}

/** What the HTTP parser refuses never reaches the app; it gets an error in the API's form all the same. */
function answerMalformed(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const [status, message] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", "the request's headers are too large"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "the request did not arrive in time"]
        : ["400 Bad Request", "the request is not well-formed HTTP/1.1"];
  const body = JSON.stringify({ errors: [{ code: "UNSUPPORTED", message }] });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

async function createTls(tls: TlsConfig, options: ServerOptions, onRequest: RequestListener): Promise<Server> {
  // A request may lie in the same packet as the end of the handshake, and is then parsed although its socket is destroyed.
  const admitted = new WeakSet<Socket>();
  const server = createTlsServer({ ...options, ...(await tlsOptions(tls)) }, (incoming, outgoing) => {
    if (admitted.has(incoming.socket)) onRequest(incoming, outgoing);
    else incoming.socket.destroy();
  });
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (isAdmitted(socket, tls)) admitted.add(socket);
    else socket.destroy();
  });
  return server;
}

/** The two rules for client certificates that Node has no setting for; it was told to let everyone through. */
function isAdmitted(socket: TLSSocket, { clientAuth }: TlsConfig): boolean {
  const given = Object.keys(socket.getPeerCertificate()).length > 0;
  switch (clientAuth) {
    case "require-any-client-cert":
      return given;
    case "verify-client-cert-if-given":
      return !given || socket.authorized;
    case "none":
    case "request-client-cert":
    case "require-and-verify-client-cert":
      return true;
  }
}

async function tlsOptions(tls: TlsConfig): Promise<TlsOptions> {
  const asksForCertificate = tls.clientAuth !== "none";
  return {
    cert: await readFile(tls.certificate),
    key: await readFile(tls.key),
    minVersion: tls.minimumVersion,
    requestCert: asksForCertificate,
    rejectUnauthorized: tls.clientAuth === "require-and-verify-client-cert",
    ...(tls.clientCAs.length === 0
      ? {}
      : { ca: await Promise.all(tls.clientCAs.map(async (file) => await readFile(file))) }),
    ...(tls.cipherSuites === undefined ? {} : { ciphers: tls.cipherSuites.join(":") }),
  };
}

/** Listens, or throws what keeps it from doing so. */
export async function listen(server: Server, address: HttpConfig["listen"]): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const listening = (): void => {
      server.off("error", reject);
      resolve();
    };
    if (address.kind === "unix") server.listen(address.path, listening);
    else if (address.host === "") server.listen(address.port, listening);
    else server.listen(address.port, address.host, listening);
  });
}

/** Where a server listens, as an address that a client can be given. */
export function addressOf(server: Server, { listen: address, tls, prefix }: HttpConfig): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { port } = server.address() as AddressInfo;
  const host = address.host === "" || address.host === "0.0.0.0" || address.host === "::" ? "localhost" : address.host;
  return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}${prefix}`;
}

/** Idle connections go at once, requests in flight get `timeoutMs` to end. */
export async function drain(server: Server, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
