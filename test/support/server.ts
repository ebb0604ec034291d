/** The real server in this process, and sockets that send it whatever bytes a test wants. */
import { connect, type Socket } from "node:net";
import { startServer } from "../../functions/registry/server.ts";
import { loadConfig } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/telemetry/logger.ts";

/** A running server on a port of its own. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** What it has logged. */
  readonly lines: string[];
  close(): Promise<void>;
}

/** Starts the server with these variables, on a free port of the loopback. */
export async function startTestServer(env: Record<string, string>): Promise<TestServer> {
  const { config } = loadConfig({
    env: { REGISTRY_HTTP_ADDR: "127.0.0.1:0", REGISTRY_STORAGE_DELETE_ENABLED: "true", ...env },
  });
  const lines: string[] = [];
  const destination = { write: (line: string): void => void lines.push(line) };
  const server = await startServer(config, createLogger({ ...config.log, destination }));
  const url = server.url.replace(/\/$/, "");
  return { url, port: Number(new URL(url).port), lines, close: async () => await server.close() };
}

/** One connection. */
export class RawConnection {
  readonly #socket: Socket;
  #received = "";
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received += chunk.toString("latin1");
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("close", end);
    socket.on("error", end);
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, "127.0.0.1");
    const connection = new RawConnection(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return connection;
  }

  write(text: string | Uint8Array): void {
    this.#socket.write(text);
  }

  /** The next whole answer: its head, and its body by Content-Length. Without one once the server closed. */
  async answer(): Promise<{ status: number; head: string; body: string } | undefined> {
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end >= 0) {
        const head = this.#received.slice(0, end);
        const status = Number(head.slice(9, 12));
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (this.#received.length >= end + 4 + length) {
          const body = this.#received.slice(end + 4, end + 4 + length);
          this.#received = this.#received.slice(end + 4 + length);
          return { status, head, body };
        }
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Ends without a word. */
  destroy(): void {
    this.#socket.destroy();
  }
}
