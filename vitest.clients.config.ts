import { defineConfig } from "vitest/config";

/** Real clients, registries and proxies, installed by test/tools/install.sh. */
export default defineConfig({
  test: {
    globalSetup: ["test/support/synthesize.ts"],
    setupFiles: ["test/support/keep-logs.ts"],
    testTimeout: 240_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    pool: "forks",
    maxWorkers: 2,
    projects: ["clients", "dropin", "proxies"].map((name) => ({
      extends: true as const,
      test: { name, include: [`test/${name}/**/*.test.ts`] },
    })),
  },
});
