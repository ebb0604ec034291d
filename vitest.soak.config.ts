import { defineConfig } from "vitest/config";

/** Pushes beside collections on a real S3 server, for as long as LADING_SOAK_SECONDS says. */
export default defineConfig({
  test: {
    include: ["test/gc/soak.test.ts"],
    globalSetup: ["test/support/build.ts"],
    setupFiles: ["test/support/keep-logs.ts"],
    hookTimeout: 120_000,
    pool: "forks",
  },
});
