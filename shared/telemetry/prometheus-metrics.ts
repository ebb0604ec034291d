import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  noMetrics,
  type BcryptCounts,
  type Metrics,
  type RequestObservation,
  type StorageObservation,
} from "./metrics.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const STORAGE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Metrics for Prometheus if enabled, else metrics that keep nothing and cost nothing. */
export function createMetrics(options: { readonly enabled: boolean }): Metrics {
  return options.enabled ? new PrometheusMetrics() : noMetrics;
}

interface RequestSeries {
  readonly total: Counter.Internal;
  readonly duration: Histogram.Internal<"handler" | "method" | "code">;
}

class PrometheusMetrics implements Metrics {
  readonly enabled = true;
  readonly #registry = new Registry();
  readonly #registers = [this.#registry];
  #inFlight = 0;
  #bcrypt: () => BcryptCounts = () => ({ comparisons: 0, queueRejected: 0 });
  /** The series of a kind of request: looking them up by their labels each time costs more than counting. */
  readonly #requestSeries = new Map<string, RequestSeries>();

  readonly #requests = new Counter({
    name: "registry_http_requests_total",
    help: "Requests answered.",
    labelNames: ["handler", "method", "code"] as const,
    registers: this.#registers,
  });
  readonly #requestSeconds = new Histogram({
    name: "registry_http_request_duration_seconds",
    help: "Time from a request's arrival to the end of its answer.",
    labelNames: ["handler", "method", "code"] as const,
    buckets: REQUEST_SECONDS,
    registers: this.#registers,
  });
  readonly #uploadBytes = new Counter({
    name: "registry_http_upload_bytes_total",
    help: "Bytes of blob content received.",
    registers: this.#registers,
  });
  readonly #storageSeconds = new Histogram({
    name: "registry_storage_action_seconds",
    help: "Time the storage took; its count is the number of operations.",
    labelNames: ["action"] as const,
    buckets: STORAGE_SECONDS,
    registers: this.#registers,
  });
  readonly #storageErrors = new Counter({
    name: "registry_storage_action_errors_total",
    help: "Storage operations that failed.",
    labelNames: ["action"] as const,
    registers: this.#registers,
  });

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#collected(Gauge, "registry_http_in_flight_requests", "Requests being answered.", () => this.#inFlight);
    this.#collected(
      Counter,
      "registry_auth_bcrypt_comparisons_total",
      "Passwords compared with a bcrypt hash.",
      () => this.#bcrypt().comparisons,
    );
    this.#collected(
      Counter,
      "registry_auth_bcrypt_rejected_total",
      "Password comparisons refused because too many were waiting.",
      () => this.#bcrypt().queueRejected,
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  requestStarted(): void {
    this.#inFlight++;
  }

  requestEnded({ method, route, status, durationSeconds }: RequestObservation): void {
    this.#inFlight--;
    const series = this.#seriesOf(route, METHODS.has(method) ? method : "other", status);
    series.total.inc();
    series.duration.observe(durationSeconds);
  }

  uploadedBytes(bytes: number): void {
    this.#uploadBytes.inc(bytes);
  }

  storageOperation({ operation, durationSeconds, failed }: StorageObservation): void {
    this.#storageSeconds.observe({ action: operation }, durationSeconds);
    if (failed) this.#storageErrors.inc({ action: operation });
  }

  bcryptSource(counts: () => BcryptCounts): void {
    this.#bcrypt = counts;
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  #seriesOf(handler: string, method: string, status: number): RequestSeries {
    const key = `${handler} ${method} ${status}`;
    let series = this.#requestSeries.get(key);
    if (series === undefined) {
      const labels = { handler, method, code: String(status) };
      series = { total: this.#requests.labels(labels), duration: this.#requestSeconds.labels(labels) };
      this.#requestSeries.set(key, series);
    }
    return series;
  }

  /** A metric whose value is kept elsewhere and read when asked for. */
  #collected(Kind: typeof Gauge | typeof Counter, name: string, help: string, read: () => number): void {
    new Kind({
      name,
      help,
      registers: this.#registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }
}
