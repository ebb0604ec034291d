import { defineConfig } from "vitest/config";

/** The stack, as the CDK makes it: no account is needed, and no network. */
export default defineConfig({
  test: {
    include: ["test/infra/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
