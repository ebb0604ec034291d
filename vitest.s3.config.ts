import { defineConfig } from "vitest/config";

/** Run against the stack as it is synthesized where they are asked to; else they are the core's. */
const stack = process.env["LADING_TEST_HOST"] === "stack" ? ["test/conformance/**/*.test.ts"] : [];

/** What the S3 servers that test/tools/install.sh installs promise, and what runs over them. */
export default defineConfig({
  test: {
    include: [
      "test/s3/**/*.test.ts",
      "test/cloud/{cloud,deployed,retention}.test.ts",
      "test/doctor/**/*.test.ts",
      ...stack,
    ],
    globalSetup: ["test/support/synthesize.ts"],
    setupFiles: ["test/support/keep-logs.ts"],
    // Only what would never end fails by these: how long a machine under load takes says nothing.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    pool: "forks",
    maxWorkers: 2,
  },
});
