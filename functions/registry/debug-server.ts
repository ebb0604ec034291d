import { createServer, type Server } from "node:http";
import type { HttpConfig } from "../../shared/config/config.ts";
import type { Health } from "../../shared/telemetry/health.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";

/** Health and metrics, on an address of their own that is not meant for the public. Not yet listening. */
export function createDebugServer(debug: NonNullable<HttpConfig["debug"]>, health: Health, metrics: Metrics): Server {
  return createServer((incoming, outgoing) => {
    const path = (incoming.url ?? "").split("?")[0];
    const send = (status: number, type: string, body: string): void => {
      outgoing.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
      outgoing.end(incoming.method === "HEAD" ? undefined : body);
    };
    if (path === "/debug/health") {
      const failing = health.status();
      send(Object.keys(failing).length === 0 ? 200 : 503, "application/json", JSON.stringify(failing));
    } else if (path === debug.prometheus?.path) {
      metrics.text().then(
        (text) => send(200, metrics.contentType, text),
        () => send(500, "text/plain", "the metrics could not be collected\n"),
      );
    } else send(404, "text/plain", "not found; there are /debug/health and, where enabled, the metrics\n");
  });
}
