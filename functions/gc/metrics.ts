/** The figures of a run as metrics of CloudWatch. */
import { allRequests, type Summary } from "../../shared/gc/summary.ts";

/** Ten are free in an account; what else is known of a run is in the `summary` of its line. */
const FIGURES = {
  GcMarked: { unit: "Count", of: ({ marked }) => marked },
  GcEligible: { unit: "Count", of: ({ eligible }) => eligible },
  GcDeleted: { unit: "Count", of: ({ deleted }) => deleted },
  GcDeletedBytes: { unit: "Bytes", of: ({ deletedBytes }) => deletedBytes },
  GcDeletedManifests: { unit: "Count", of: ({ deletedManifests }) => deletedManifests },
  GcDeletedTags: { unit: "Count", of: ({ deletedTags }) => deletedTags },
  GcRequests: { unit: "Count", of: ({ requests }) => allRequests(requests) },
  GcSeconds: { unit: "Seconds", of: ({ seconds }) => seconds },
  GcDollars: { unit: "None", of: ({ dollars }) => dollars },
  GcFailed: { unit: "Count", of: ({ outcome }) => (outcome === "failed" ? 1 : 0) },
} satisfies Record<string, { readonly unit: string; readonly of: (summary: Summary) => number }>;

/** What tells the metrics of one deployment from those of another. */
export const METRIC_DIMENSION = "FunctionName";

/** Their names, in the namespace `Lading`. */
export const METRIC_NAMES: readonly string[] = Object.keys(FIGURES);

/**
 * The fields of a log line that CloudWatch reads as these metrics: its embedded metric format.
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export function metricsOf(summary: Summary, functionName: string): Readonly<Record<string, unknown>> {
  const figures = Object.entries(FIGURES);
  const Metrics = figures.map(([Name, { unit }]) => ({ Name, Unit: unit }));
  return {
    _aws: {
      Timestamp: Date.now(),
      CloudWatchMetrics: [{ Namespace: "Lading", Dimensions: [[METRIC_DIMENSION]], Metrics }],
    },
    [METRIC_DIMENSION]: functionName,
    ...Object.fromEntries(figures.map(([name, { of }]) => [name, of(summary)])),
    summary,
  };
}
