/** How long the S3 driver bears with a store that fails. */
import { describe, expect, it } from "vitest";
import { PATIENCE, Retries, type Patience } from "../../shared/storage/s3/retries.ts";

type Kind = Parameters<Retries["refreshRetryTokenForRetry"]>[1]["errorType"];

/** The pauses before each further attempt of a call that always fails so. */
async function pausesOf(kind: Kind, patience: Patience, retries = new Retries(patience, () => 1)): Promise<number[]> {
  const pauses: number[] = [];
  let token = await retries.acquireInitialRetryToken();
  for (;;) {
    try {
      token = await retries.refreshRetryTokenForRetry(token, { errorType: kind });
    } catch {
      return pauses;
    }
    pauses.push(token.getRetryDelay());
  }
}

describe("a call that fails always", () => {
  it("ends, at the longest, before API Gateway's 30 seconds", async () => {
    expect(await pausesOf("THROTTLING", PATIENCE)).toEqual([1000, 2000, 4000, 8000]);
    expect(await pausesOf("TRANSIENT", PATIENCE)).toEqual([50, 100, 200, 400, 800]);
    expect(PATIENCE.callMs).toBeLessThan(30_000);
  });

  it("waits no longer than all its pauses may take", async () => {
    expect(await pausesOf("THROTTLING", { ...PATIENCE, pausesMs: 5000 })).toEqual([1000, 2000, 2000]);
    expect(await pausesOf("THROTTLING", { ...PATIENCE, pausesMs: 0 })).toEqual([]);
  });

  it("is not repeated where that would not help, or may not be", async () => {
    expect(await pausesOf("CLIENT_ERROR", PATIENCE)).toEqual([]);
    expect(await pausesOf("SERVER_ERROR", PATIENCE)).toEqual([]);
    expect(await pausesOf("TRANSIENT", { ...PATIENCE, attempts: 1 })).toEqual([]);
  });

  it("waits as long as the store wishes, within its own bounds", async () => {
    const retries = new Retries(PATIENCE, () => 0);
    const first = await retries.acquireInitialRetryToken();
    const wish = async (ms: number): Promise<number> => {
      const retryAfterHint = new Date(Date.now() + ms);
      return (
        await retries.refreshRetryTokenForRetry(first, { errorType: "THROTTLING", retryAfterHint })
      ).getRetryDelay();
    };
    expect(await wish(3_600_000)).toBe(15_000);
    expect(await wish(-1000)).toBe(0);
  });
});

describe("a store that fails always", () => {
  it("is sent fewer and fewer requests again, and as many as before when it works", async () => {
    const retries = new Retries(PATIENCE, () => 0);
    const repeated = async (): Promise<number> => (await pausesOf("TRANSIENT", PATIENCE, retries)).length;
    let all = 0;
    for (let calls = 0; calls < 50; calls++) all += await repeated();
    expect(all).toBe(100);
    expect(await repeated()).toBe(0);
    for (let calls = 0; calls < 11; calls++) retries.recordSuccess(await retries.acquireInitialRetryToken());
    expect(await repeated()).toBe(1);
    for (let calls = 0; calls < 2000; calls++) retries.recordSuccess(await retries.acquireInitialRetryToken());
    expect(await repeated()).toBe(5);
  });

  it("takes nothing from what others may repeat where the repetition succeeds", async () => {
    const retries = new Retries(PATIENCE, () => 0);
    for (let calls = 0; calls < 200; calls++) {
      const first = await retries.acquireInitialRetryToken();
      retries.recordSuccess(await retries.refreshRetryTokenForRetry(first, { errorType: "TRANSIENT" }));
    }
    expect(await pausesOf("TRANSIENT", PATIENCE, retries)).toHaveLength(5);
  });
});
