import { describe, expect, it } from "vitest";
import { createMetrics } from "../../shared/telemetry/prometheus-metrics.ts";

describe("createMetrics", () => {
  it("keeps nothing unless enabled", async () => {
    const metrics = createMetrics({ enabled: false });
    metrics.requestStarted();
    metrics.requestEnded({ method: "GET", route: "blob", status: 200, durationSeconds: 1 });
    metrics.uploadedBytes(1);
    metrics.storageOperation({ operation: "get", durationSeconds: 1, failed: true });
    expect(metrics.enabled).toBe(false);
    expect(await metrics.text()).toBe("");
  });

  it("counts requests, uploads, storage operations and comparisons", async () => {
    const metrics = createMetrics({ enabled: true });
    metrics.requestStarted();
    metrics.requestStarted();
    metrics.requestEnded({ method: "GET", route: "blob", status: 200, durationSeconds: 0.02 });
    metrics.requestStarted();
    metrics.requestEnded({ method: "BREW", route: "other", status: 405, durationSeconds: 0.001 });
    metrics.uploadedBytes(10);
    metrics.uploadedBytes(5);
    metrics.storageOperation({ operation: "put", durationSeconds: 0.2, failed: false });
    metrics.storageOperation({ operation: "put", durationSeconds: 0.2, failed: true });
    metrics.bcryptSource(() => ({ comparisons: 7, queueRejected: 2 }));

    await metrics.text();
    const lines = (await metrics.text()).split("\n");
    for (const line of [
      'registry_http_requests_total{handler="blob",method="GET",code="200"} 1',
      'registry_http_requests_total{handler="other",method="other",code="405"} 1',
      'registry_http_request_duration_seconds_bucket{le="0.025",handler="blob",method="GET",code="200"} 1',
      'registry_http_request_duration_seconds_bucket{le="0.01",handler="blob",method="GET",code="200"} 0',
      "registry_http_in_flight_requests 1",
      "registry_http_upload_bytes_total 15",
      'registry_storage_action_seconds_count{action="put"} 2',
      'registry_storage_action_errors_total{action="put"} 1',
      "registry_auth_bcrypt_comparisons_total 7",
      "registry_auth_bcrypt_rejected_total 2",
    ]) {
      expect(lines).toContain(line);
    }
    expect(lines.some((line) => line.startsWith("process_resident_memory_bytes "))).toBe(true);
    expect(metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });
});
