import { defineConfig } from "vitest/config";

/** What the S3 servers that test/tools/install.sh installs promise, and what runs over them. */
export default defineConfig({
  test: {
    include: ["test/s3/**/*.test.ts", "test/cloud/cloud.test.ts", "test/doctor/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    setupFiles: ["test/support/keep-logs.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
