/** The HTTP server under the app: TLS, time limits, what the parser refuses, listening and draining. */
import { X509Certificate } from "node:crypto";
import { lstat, readFile, unlink } from "node:fs/promises";
import { createServer, type RequestListener, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, type TLSSocket } from "node:tls";
import type { HttpConfig, TlsConfig } from "../../shared/config/config.ts";
import { limits } from "../../shared/oci/limits.ts";

/** How often draining looks for connections that have become idle. */
const SWEEP_MS = 50;

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
  const cert = await readPem("certificate", tls.certificate, (pem) => createSecureContext({ cert: pem }));
  const key = await readPem("key", tls.key, (pem) => createSecureContext({ cert, key: pem }));
  const ca = await Promise.all(
    tls.clientCAs.map(async (file, i) => await readPem(`clientcas.${i}`, file, (pem) => new X509Certificate(pem))),
  );
  return {
    cert,
    key,
    minVersion: tls.minimumVersion,
    requestCert: asksForCertificate,
    rejectUnauthorized: tls.clientAuth === "require-and-verify-client-cert",
    ...(ca.length === 0 ? {} : { ca }),
    ...(tls.cipherSuites === undefined ? {} : { ciphers: tls.cipherSuites.join(":") }),
  };
}

/** A file of the TLS settings. Throws with its key and path where it cannot be read, or where `use` cannot use it. */
async function readPem(key: string, file: string, use: (pem: Buffer) => unknown): Promise<Buffer> {
  let step = "cannot be read";
  try {
    const pem = await readFile(file);
    step = "cannot be used";
    use(pem);
    return pem;
  } catch (error) {
    throw new Error(`http.tls.${key}: the file ${file} ${step}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Which key of the configuration says where to listen. */
type ListenKey = "http.addr" | "http.debug.addr";

/** Listens, or throws a sentence that says what keeps it from doing so and what to do. */
export async function listen(server: Server, address: HttpConfig["listen"], key: ListenKey): Promise<void> {
  try {
    await tryToListen(server, address);
  } catch (error) {
    if (address.kind === "unix" && codeOf(error) === "EADDRINUSE" && (await isAbandoned(address.path))) {
      await unlink(address.path);
      await tryToListen(server, address);
      return;
    }
    throw new Error(listenFailure(address, key, error), { cause: error });
  }
}

async function tryToListen(server: Server, address: HttpConfig["listen"]): Promise<void> {
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

/** Is this a socket that nobody listens on, left by a process that was killed? */
async function isAbandoned(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  return await new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", (error) => resolve(codeOf(error) === "ECONNREFUSED"));
  });
}

function listenFailure(address: HttpConfig["listen"], key: ListenKey, error: unknown): string {
  const where =
    address.kind === "unix" ? address.path : `${bracketed(address.host) || "any address,"} port ${address.port}`;
  const other = `REGISTRY_${key.replaceAll(".", "_").toUpperCase()}`;
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return `${key}: ${where} is in use already; end what listens there, or choose another address with ${key} or ${other}`;
    case "EACCES":
    case "EPERM":
      return `${key}: this user may not listen on ${where}; choose a port above 1023 or a folder it may write to, or give it the right`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${key}: this machine has no such address: ${where}; leave out the host to listen on all that it has`;
    default:
      return `${key}: cannot listen on ${where}: ${reasonOf(error)}`;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** Where a server listens, as an address that a client can be given. */
export function addressOf(
  server: Server,
  { listen: address, tls, prefix }: Pick<HttpConfig, "listen" | "tls" | "prefix">,
): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { port } = server.address() as AddressInfo;
  const host = address.host === "" || address.host === "0.0.0.0" || address.host === "::" ? "localhost" : address.host;
  return `${tls === undefined ? "http" : "https"}://${bracketed(host)}:${port}${prefix}`;
}

/** Idle connections go at once, and others as soon as they are idle; requests in flight get `timeoutMs` to end. */
export async function drain(server: Server, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
    // A connection that a client keeps open after its answer would else hold everything up until it is cut.
    const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
    server.close(() => {
      clearTimeout(timer);
      clearInterval(sweep);
      resolve();
    });
    server.closeIdleConnections();
  });
}
