/** One answered request. */
export interface RequestObservation {
  readonly method: string;
  /** What kind of thing was addressed (`manifest`, `blob`, …): one of a fixed few, never a path. */
  readonly route: string;
  readonly status: number;
  readonly durationSeconds: number;
}

/** One call to the storage driver. */
export interface StorageObservation {
  /** The operation's name (`get`, `put`, …): one of a fixed few. */
  readonly operation: string;
  readonly durationSeconds: number;
  readonly failed: boolean;
}

/** Counted elsewhere, read when the metrics are asked for. */
export interface BcryptCounts {
  readonly comparisons: number;
  readonly queueRejected: number;
}

/** The numbers a registry keeps about itself. No method throws for what it is told. */
export interface Metrics {
  /** False where none are kept; then `text()` is empty. */
  readonly enabled: boolean;
  /** A request arrived; each must be followed by one `requestEnded`. */
  requestStarted(): void;
  requestEnded(observation: RequestObservation): void;
  /** Bytes of blob content received from clients. */
  uploadedBytes(bytes: number): void;
  storageOperation(observation: StorageObservation): void;
  /** Names the source of the password comparison counts; the last one named counts. */
  bcryptSource(counts: () => BcryptCounts): void;
  /** All numbers in Prometheus' text format. */
  text(): Promise<string>;
  /** The media type of `text()`. */
  readonly contentType: string;
}

/** Metrics that keep nothing and cost nothing. */
export const noMetrics: Metrics = {
  enabled: false,
  requestStarted: () => undefined,
  requestEnded: () => undefined,
  uploadedBytes: () => undefined,
  storageOperation: () => undefined,
  bcryptSource: () => undefined,
  text: async () => "",
  contentType: "text/plain",
};
